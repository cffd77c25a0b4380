//! Where a file lies in a volume, and what may be done with it. Parsed once: a held path leads nowhere else.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// Longest path of a file in a volume, in bytes. With the volume's own path before it, it stays below the
/// kernel's 4,096.
const PATH_BYTES: usize = 1_024;
/// Longest name of a file or folder, in bytes (NAME_MAX).
const NAME_BYTES: usize = 255;

/// A path inside a volume: relative, without `.`, `..` or empty parts, and no part starts with `..`, as the
/// volume's own files do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct FilePath(String);

/// A text is no path inside a volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path `{shown}` is not valid: {rule}")]
pub struct PathError {
    shown: String,
    rule: &'static str,
}

impl FilePath {
    /// The path as text, with `/` between its parts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts of the path: folders, and at last the file.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The first part: what stands in the volume's top folder.
    #[must_use]
    pub fn top(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The folders above the file, outermost first.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0
            .match_indices('/')
            .filter_map(|(index, _)| self.0.get(..index))
    }

    /// This path below a folder.
    ///
    /// # Errors
    /// Where the two together are too long.
    pub fn below(&self, folder: Option<&Self>) -> Result<Self, PathError> {
        folder.map_or_else(
            || Ok(self.clone()),
            |folder| format!("{}/{}", folder.0, self.0).parse(),
        )
    }
}

impl FromStr for FilePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let rule = if text.len() > PATH_BYTES {
            "it is longer than 1,024 bytes"
        } else if text.starts_with('/') {
            "it starts with `/`: write it from the volume's top folder on"
        } else if text.split('/').any(str::is_empty) {
            "a part of it is empty"
        } else if text.split('/').any(|part| part == "." || part.starts_with("..")) {
            "no part may be `.` or start with `..`"
        } else if text.split('/').any(|part| part.len() > NAME_BYTES) {
            "a part of it is longer than 255 bytes"
        } else if text.chars().any(char::is_control) {
            "it holds a control character"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(PathError {
            shown: text.chars().take(80).filter(|c| !c.is_control()).collect(),
            rule,
        })
    }
}

impl TryFrom<String> for FilePath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        text.parse()
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who may do what with a file: the nine bits of `chmod`, and at least one of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FileMode(u32);

/// A text is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// It means nothing.
    #[error(
        "the mode `{0}` is not valid: write three octal digits with a leading 0, in quotes, such as \"0440\""
    )]
    Illegal(String),
    /// It means two things: Kubernetes prints modes as decimal numbers.
    #[error(
        "the mode `{text}` is ambiguous: write \"0{decimal:o}\" for what Kubernetes prints as {text}, or \"0{text}\" for {text} in octal"
    )]
    Decimal {
        /// As it was written.
        text: String,
        /// What it is as a decimal number.
        decimal: u32,
    },
}

impl FileMode {
    /// Everybody in the pod reads.
    pub const ALL: Self = Self(0o444);
    /// The owner and the group read.
    pub const GROUP: Self = Self(0o440);

    /// As `chmod` takes them.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The same where the pod has an fsGroup: its group reads, as Kubernetes has it for volumes of its own
    /// that are read only (`SetVolumeOwnership` in its `pkg/volume`).
    #[must_use]
    pub const fn for_group(self, group: bool) -> Self {
        if group { Self(self.0 | Self::GROUP.0) } else { self }
    }
}

/// Whether somebody may have meant this mode: the owner reads, nobody writes or runs what they may not read,
/// and nobody may do more than those named before them.
const fn is_sensible(mode: u32) -> bool {
    let (owner, group, others) = (mode >> 6 & 7, mode >> 3 & 7, mode & 7);
    let reads = owner & 4 != 0 && (group == 0 || group & 4 != 0) && (others == 0 || others & 4 != 0);
    mode <= 0o777 && reads && group & !owner == 0 && others & !group == 0
}

impl FromStr for FileMode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let refused = || ModeError::Illegal(text.chars().take(16).filter(|c| !c.is_control()).collect());
        let digits = text.strip_prefix('0').unwrap_or(text);
        let decimal = text
            .parse::<u32>()
            .ok()
            .filter(|_| digits == text && text.len() == 3);
        if let Some(decimal) = decimal.filter(|decimal| is_sensible(*decimal)) {
            return Err(ModeError::Decimal {
                text: text.to_owned(),
                decimal,
            });
        }
        let octal = digits.len() == 3 && digits.bytes().all(|c| (b'0'..=b'7').contains(&c));
        let bits = u32::from_str_radix(digits, 8).map_err(|_| refused())?;
        (octal && bits & 0o444 != 0)
            .then_some(Self(bits))
            .ok_or_else(refused)
    }
}

impl TryFrom<String> for FileMode {
    type Error = ModeError;

    fn try_from(text: String) -> Result<Self, ModeError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn legal_paths_are_kept() {
        for text in ["a", "a/b/c.txt", ".env", "a.b", "ä"] {
            assert_eq!(
                text.parse::<FilePath>().map(|path| path.to_string()),
                Ok(text.to_owned())
            );
        }
        let path: FilePath = "a/b/c".parse().unwrap();
        assert_eq!(path.top(), "a");
        assert_eq!(path.folders().collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(
            path.below(Some(&"d".parse().unwrap())).unwrap().as_str(),
            "d/a/b/c"
        );
    }

    #[test]
    fn paths_that_lead_out_or_clash_with_our_own_are_refused() {
        for (text, rule) in [
            ("", "empty"),
            ("/etc/passwd", "starts with `/`"),
            ("a//b", "empty"),
            ("a/", "empty"),
            ("../a", "`..`"),
            ("a/../b", "`..`"),
            ("a/./b", "`.`"),
            ("..data", "`..`"),
            ("a/..data", "`..`"),
            ("a\0b", "control"),
            ("a\nb", "control"),
            (&"x".repeat(256), "255"),
            (&"x/".repeat(600), "1,024"),
        ] {
            let said = text.parse::<FilePath>().expect_err(text).to_string();
            assert!(said.contains(rule), "{text:?}: {said}");
        }
    }

    #[test]
    fn modes_are_octal_and_somebody_reads() {
        assert_eq!("0440".parse(), Ok(FileMode::GROUP));
        assert_eq!("400".parse::<FileMode>().map(FileMode::bits), Ok(0o400));
        for text in [
            "", "0", "44", "04444", "4440", "0888", "-444", "0o44", "0333", "+44",
        ] {
            assert!(text.parse::<FileMode>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_mode_as_kubernetes_prints_it_is_refused_with_the_octal_one() {
        for (text, said) in [
            (
                "420",
                "write \"0644\" for what Kubernetes prints as 420, or \"0420\"",
            ),
            ("256", "write \"0400\""),
            ("288", "write \"0440\""),
            ("292", "write \"0444\""),
            ("416", "write \"0640\""),
            ("384", "write \"0600\""),
            ("493", "write \"0755\""),
            ("511", "write \"0777\""),
        ] {
            let error = text.parse::<FileMode>().expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        // As decimal numbers nobody means these.
        for text in ["400", "440", "444", "600", "640", "644", "755"] {
            assert_eq!(
                text.parse::<FileMode>().map(FileMode::bits),
                Ok(u32::from_str_radix(text, 8).expect(text))
            );
            let zero = format!("0{text}");
            assert!(zero.parse::<FileMode>().is_ok(), "{zero}");
        }
        assert!("0420".parse::<FileMode>().is_ok());
    }

    #[test]
    fn the_group_of_a_pod_reads_whatever_the_mode_says() {
        for (mode, bits) in [("0400", 0o440), ("0600", 0o640), ("0440", 0o440), ("0755", 0o755)] {
            let mode: FileMode = mode.parse().unwrap();
            assert_eq!(mode.for_group(true).bits(), bits);
            assert_eq!(mode.for_group(false), mode);
        }
    }

    proptest! {
        #[test]
        fn a_path_never_leads_out(text in "[a./\0]{0,12}") {
            if let Ok(path) = text.parse::<FilePath>() {
                for part in path.parts() {
                    prop_assert!(!part.is_empty() && part != "." && !part.starts_with(".."));
                }
            }
        }
    }
}
