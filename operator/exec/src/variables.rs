//! The variables of a volume: a file each, named as its variable. All are of one moment, also where the
//! volume changes meanwhile.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The link through which a volume changes in one step (`docs/volumes.md`).
const DATA: &str = "..data";
/// How often the volume may change while it is read, before that is given up.
const MAX_ATTEMPTS: usize = 16;

/// Values by the names of their variables.
pub(super) type Variables = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// The variables cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum VariablesError {
    /// The folder, or a file of it.
    #[error("reading `{}`: {source}", path.display())]
    Read {
        /// The folder if it cannot be listed, or a file in it.
        path: PathBuf,
        source: io::Error,
    },
    /// A file whose name is no variable's.
    #[error("`{0}` is not a valid variable name: use letters, digits and `_`, and no digit first")]
    Name(String),
    /// A value that no variable can have. Which one it is says something of it, and this is read by whoever
    /// sees the pod.
    #[error(
        "the value of a variable has a NUL byte, which variables cannot contain: mount it as a file; one of {0}, `kubectl strongroom render --pod` \
         says which"
    )]
    Nul(String),
    /// The volume changes faster than it can be read.
    #[error("`{}` changed during every attempt to read it", .0.display())]
    Changing(PathBuf),
    /// Nothing is there.
    #[error("`{}` has no variable", .0.display())]
    None(PathBuf),
}

/// Reads them.
///
/// # Errors
/// [`VariablesError`], and nothing is read then: a program never starts with some of its variables.
pub(super) fn read(folder: &Path) -> Result<Variables, VariablesError> {
    let linked = folder.join(DATA);
    let version = || std::fs::read_link(&linked).map_err(failed(&linked));
    for _ in 0..MAX_ATTEMPTS {
        // Resolved once, so that all files are of the version that was there at that moment.
        let before = version()?;
        let read = read_version(&folder.join(&before));
        // A version goes file by file once another one is there: what was read of it then may be a part.
        if version()? == before {
            return match read {
                Ok(variables) if variables.is_empty() => Err(VariablesError::None(folder.to_owned())),
                done => done,
            };
        }
    }
    Err(VariablesError::Changing(folder.to_owned()))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> VariablesError {
    let path = path.to_owned();
    move |source| VariablesError::Read { path, source }
}

fn read_version(of_now: &Path) -> Result<Variables, VariablesError> {
    let mut variables = Variables::new();
    for entry in std::fs::read_dir(of_now).map_err(failed(of_now))? {
        let entry = entry.map_err(failed(of_now))?;
        let Some(name) = variable(entry.file_name())? else {
            continue;
        };
        let path = entry.path();
        let value = Zeroizing::new(std::fs::read(&path).map_err(failed(&path))?);
        variables.insert(name, value);
    }
    if variables.values().any(|value| value.contains(&0)) {
        return Err(VariablesError::Nul(names(&variables)));
    }
    Ok(variables)
}

/// The names of the variables.
pub(super) fn names(variables: &Variables) -> String {
    let names = variables.keys().map(|name| format!("`{name}`"));
    names.collect::<Vec<_>>().join(", ")
}

/// The variable that a file is; `None`: it is the volume's own.
fn variable(file: OsString) -> Result<Option<String>, VariablesError> {
    let name = file
        .into_string()
        .map_err(|file| VariablesError::Name(file.to_string_lossy().into_owned()))?;
    if name.starts_with("..") {
        return Ok(None);
    }
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if first && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        Ok(Some(name))
    } else {
        Err(VariablesError::Name(name))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A volume with these files, as the node plugin lays it out.
    fn volume(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        swap(folder.path(), "1", files);
        folder
    }

    fn swap(folder: &Path, version: &str, files: &[(&str, &[u8])]) {
        let data = folder.join(format!("..{version}"));
        std::fs::create_dir(&data).unwrap();
        for (name, value) in files {
            std::fs::write(data.join(name), value).unwrap();
        }
        symlink(format!("..{version}"), folder.join("..next")).unwrap();
        let before = std::fs::read_link(folder.join(DATA)).ok();
        std::fs::rename(folder.join("..next"), folder.join(DATA)).unwrap();
        if let Some(before) = before {
            std::fs::remove_dir_all(folder.join(before)).unwrap();
        }
    }

    #[test]
    fn each_file_is_a_variable_byte_by_byte() {
        let it = volume(&[
            ("A", b"a'\"$\n"),
            ("_b2", b""),
            ("C", b"\xff"),
            ("..strongroom.json", b"{}"),
        ]);
        let read = read(it.path()).unwrap();
        let read: Vec<_> = read
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        let expected: [(&str, &[u8]); 3] = [("A", b"a'\"$\n"), ("C", b"\xff"), ("_b2", b"")];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_no_variable_is_refused_and_no_value_is_told() {
        let refused = |files: &[(&str, &[u8])]| read(volume(files).path()).unwrap_err().to_string();
        for name in ["2A", "tls.crt", "a-b", "a b", "ä"] {
            let said = refused(&[("GOOD", b"x"), (name, b"x")]);
            assert!(
                said.starts_with(&format!("`{name}` is not a valid variable name")),
                "{said}"
            );
        }
        let said = refused(&[("KEY", b"hunter\0two"), ("B", b"x")]);
        assert!(
            said.contains("has a NUL byte") && said.contains("`B`, `KEY`"),
            "{said}"
        );
        assert!(!said.contains("hunter"));
        // The same, whichever it is and wherever.
        assert_eq!(said, refused(&[("KEY", b"x"), ("B", b"\0")]));
        assert!(refused(&[("..strongroom.json", b"{}")]).ends_with("has no variable"));
        let nowhere = tempfile::tempdir().unwrap();
        assert!(matches!(read(nowhere.path()), Err(VariablesError::Read { .. })));
    }

    #[test]
    fn all_variables_are_of_one_version_while_the_volume_changes() {
        let it = volume(&[("A", b"0"), ("B", b"0")]);
        let folder = it.path().to_owned();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for version in 2..1_000_u32 {
                    let value = version.to_string();
                    let value = value.as_bytes();
                    swap(&folder, &version.to_string(), &[("A", value), ("B", value)]);
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                // A thread that does nothing but swap may outrun even so many attempts.
                match read(it.path()) {
                    Ok(seen) => {
                        assert_eq!(seen.get("A"), seen.get("B"));
                        assert_eq!(seen.len(), 2);
                    }
                    Err(error) => assert!(matches!(error, VariablesError::Changing(_)), "{error}"),
                }
            }
        });
    }
}
