//! What a pod asks of its volume: `volumeAttributes`, parsed once into [`Attributes`].
//!
//! Everything unknown is refused with the field and the reason, so that a typing error never makes a volume
//! that lacks a file. Keys under `csi.storage.k8s.io/` are kubelet's; a token there is refused, because a
//! pod's author can write it (a pod's token comes in the request's `secrets`). Must not touch a file or a
//! value.

mod document;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use crate::format::Format;
use crate::path::{FileMode, FilePath, ModeError, PathError};

/// Most secrets of a volume.
pub const MAX_SECRETS: usize = 64;
/// Most files that a volume names itself; keys of a whole secret come on top.
pub const MAX_FILES: usize = 256;

/// Longest path of a notice, in bytes.
const NOTIFY_PATH: usize = 256;
/// What kubelet's own keys begin with.
pub const KUBELET_PREFIX: &str = "csi.storage.k8s.io/";
/// The key for tokens, of which one in the attributes is spoofed.
pub const TOKENS_ATTRIBUTE: &str = "csi.storage.k8s.io/serviceAccount.tokens";

/// What a pod asks of its volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The secrets, 1 to [`MAX_SECRETS`].
    pub secrets: Vec<RequestedSecret>,
    /// The files that are made of them.
    pub files: Vec<FileEntry>,
    /// Mode of files that say none; by default who reads depends on the pod's fsGroup.
    pub mode: Option<FileMode>,
    /// Largest size of the volume in bytes, where the pod narrows it.
    pub size: Option<u64>,
    /// Whether the volume has a socket that is asked for its secrets.
    pub socket: bool,
    /// When its files are read.
    pub reads: ReadMode,
    /// Where the pod wants to be told of a change.
    pub notify: Option<NotifyTarget>,
}

/// When a pod's programs read the files of their volume. The files follow their secrets either way; it says
/// with which version the pod counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// Whenever they change.
    #[default]
    Follows,
    /// Once, when they start.
    AtStart,
}

/// Where a pod wants to be told of a change, at its own address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyTarget {
    /// A TCP port of the pod's own address.
    pub port: NonZeroU16,
    /// The path of HTTP.
    pub path: String,
}

/// A secret of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedSecret {
    /// What templates call it.
    pub alias: String,
    /// Its namespace; none: the pod's.
    pub namespace: Option<String>,
    /// The name that it has in the store.
    pub name: String,
    /// Which version.
    pub version: RequestedVersion,
}

/// Which version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedVersion {
    /// The one with this stage, followed as it moves.
    Stage(String),
    /// This one for ever.
    Id(String),
}

/// One or more files of a volume. Secrets are meant by their place in [`Attributes::secrets`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEntry {
    /// Each key of a secret, under its own name.
    All {
        /// The secret whose keys they are.
        secret: usize,
        /// The folder that they are in.
        directory: Option<FilePath>,
        /// The mode of each; none: [`Attributes::default_mode`].
        mode: Option<FileMode>,
    },
    /// A file with a path of its own.
    One {
        /// Where it is in the volume.
        path: FilePath,
        /// The mode that it asks for; none: [`Attributes::default_mode`].
        mode: Option<FileMode>,
        /// What its bytes are made of.
        content: FileContent,
    },
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileContent {
    /// The bytes of a key, unchanged.
    Key {
        /// The secret that has the key.
        secret: usize,
        /// The name of the key in its value.
        key: String,
    },
    /// What a template makes of keys.
    Template {
        /// The template as it was written.
        text: String,
        /// The secret whose keys are its names; none: all secrets, by alias.
        secret: Option<usize>,
    },
    /// Keys in a file format.
    Format {
        /// Which file format.
        format: Format,
        /// The secrets whose keys are in it.
        secrets: Vec<usize>,
        /// The keys in their order; none: all.
        keys: Option<Vec<String>>,
        /// The secret and its key that a key store's password is; there where the format is one.
        password: Option<(usize, String)>,
    },
}

/// Why a pod does not get its volume: its own text is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributesError {
    /// A token where a pod's author can write one.
    #[error(
        "volumeAttributes contain a ServiceAccount token, which is accepted only from kubelet; remove `{TOKENS_ATTRIBUTE}`"
    )]
    Token,
    /// An attribute that means nothing.
    #[error(
        "volumeAttributes: unknown attribute `{0}`; known are `secrets`, `set`, `mode`, `size`, `socket`, `reads`, `notifyPort` and `notifyPath`"
    )]
    Unknown(String),
    /// Neither of `secrets` and `set`, or both.
    #[error("volumeAttributes: give exactly one of `secrets` and `set`")]
    SecretsOrSet,
    /// A document that cannot be read.
    #[error("volumeAttributes: `{field}`: {what}")]
    Document {
        /// Its key in `volumeAttributes`.
        field: &'static str,
        /// What is wrong and where, by the reader.
        what: String,
    },
    /// A number that is out of bounds.
    #[error("volumeAttributes: `{field}`: {count} are too many; at most {most}")]
    TooMany {
        /// What there is too much of: `secrets` or `files`.
        field: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// `secrets`, or those of `set`, are empty.
    #[error("volumeAttributes: `{0}` names no secret")]
    NoSecret(&'static str),
    /// A name that no secret can have.
    #[error("volumeAttributes: the {what} `{text}` is not valid: {rule}")]
    Name {
        /// What sort of name, such as `namespace`.
        what: &'static str,
        /// What was written, shortened.
        text: String,
        /// The alphabet and length that are legal, in words.
        rule: &'static str,
    },
    /// Two ways to say which version.
    #[error("volumeAttributes: secret `{0}` has both `stage` and `versionId`; give only one")]
    StageAndVersion(String),
    /// A file that says too much or too little.
    #[error("volumeAttributes: file `{path}`: {what}")]
    File {
        /// Where it was to be, in the volume.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// Two files in one place.
    #[error("volumeAttributes: two files have the path `{0}`")]
    PathTwice(String),
    /// A file where a folder is needed.
    #[error("volumeAttributes: `{folder}` is both a file and the directory of `{file}`")]
    FileAndFolder {
        /// The path that is both.
        folder: String,
        /// The file below.
        file: String,
    },
    /// No file in a volume can be there.
    #[error("volumeAttributes: {0}")]
    Path(#[from] PathError),
    /// Not three octal digits, or a mode that nobody means.
    #[error("volumeAttributes: {0}")]
    Mode(#[from] ModeError),
    /// Not a number of bytes, or too small a one.
    #[error(
        "volumeAttributes: `size` is `{0}`: write a number of bytes, or a number with Ki or Mi, of at least 64Ki"
    )]
    Size(String),
    /// Not 1 to 65535.
    #[error("volumeAttributes: `notifyPort` is `{0}`: write a number from 1 to 65535, in quotes")]
    Port(String),
    /// A path of HTTP.
    #[error(
        "volumeAttributes: `notifyPath` is `{0}`: write a path that starts with `/`, of at most {NOTIFY_PATH} letters, digits and `/-._~`"
    )]
    NotifyPath(String),
    /// A path without a port.
    #[error("volumeAttributes: `notifyPath` needs `notifyPort`")]
    NotifyPort,
    /// Neither `Follows` nor `AtStart`.
    #[error("volumeAttributes: `reads` is `{0}`: write `Follows` or `AtStart`")]
    Reads(String),
    /// Neither `true` nor `false`.
    #[error("volumeAttributes: `{field}` is `{text}`: write \"true\" or \"false\", in quotes")]
    Truth {
        /// Its key in `volumeAttributes`.
        field: &'static str,
        /// What was written, shortened.
        text: String,
    },
}

impl Attributes {
    /// Parses what kubelet passes on.
    ///
    /// # Errors
    /// The first [`AttributesError`].
    pub fn parse(context: &BTreeMap<String, String>) -> Result<Self, AttributesError> {
        let (mut secrets, mut set, mut mode, mut size) = (None, None, None, None);
        let (mut socket, mut port, mut path) = (false, None, None);
        let mut reads = ReadMode::default();
        for (key, text) in context {
            match key.as_str() {
                TOKENS_ATTRIBUTE => return Err(AttributesError::Token),
                "secrets" => secrets = Some(text),
                "set" => set = Some(text),
                "mode" => mode = Some(text.parse()?),
                "size" => size = Some(parse_size(text)?),
                "socket" => socket = parse_truth("socket", text)?,
                "reads" => {
                    reads = match text.as_str() {
                        "Follows" => ReadMode::Follows,
                        "AtStart" => ReadMode::AtStart,
                        other => return Err(AttributesError::Reads(shown(other))),
                    }
                }
                "notifyPort" => port = Some(parse_port(text)?),
                "notifyPath" => path = Some(parse_notify_path(text)?),
                key if key.starts_with(KUBELET_PREFIX) => {}
                other => return Err(AttributesError::Unknown(shown(other))),
            }
        }
        let (secrets, files) = match (secrets, set) {
            (Some(text), None) => document::secrets(text)?,
            (None, Some(text)) => document::set(text)?,
            _ => return Err(AttributesError::SecretsOrSet),
        };
        if secrets.len() > MAX_SECRETS {
            return Err(AttributesError::TooMany {
                field: "secrets",
                count: secrets.len(),
                most: MAX_SECRETS,
            });
        }
        if files.len() > MAX_FILES {
            return Err(AttributesError::TooMany {
                field: "files",
                count: files.len(),
                most: MAX_FILES,
            });
        }
        check_places(&files)?;
        Ok(Self {
            secrets,
            files,
            mode,
            size,
            socket,
            reads,
            notify: match (port, path) {
                (Some(port), path) => Some(NotifyTarget {
                    port,
                    path: path.unwrap_or_else(|| "/".to_owned()),
                }),
                (None, None) => None,
                (None, Some(_)) => return Err(AttributesError::NotifyPort),
            },
        })
    }

    /// Mode of files that say none.
    #[must_use]
    pub fn default_mode(&self, group: bool) -> FileMode {
        let by_default = if group { FileMode::GROUP } else { FileMode::ALL };
        self.mode.unwrap_or(by_default).for_group(group)
    }
}

/// What can be known of places before there is a value: no two files in one, and no file where a folder must
/// be.
fn check_places(files: &[FileEntry]) -> Result<(), AttributesError> {
    let mut places: BTreeSet<&str> = BTreeSet::new();
    let named = || {
        files.iter().filter_map(|files| match files {
            FileEntry::One { path, .. } => Some(path),
            FileEntry::All { .. } => None,
        })
    };
    for path in named() {
        if !places.insert(path.as_str()) {
            return Err(AttributesError::PathTwice(path.to_string()));
        }
    }
    for path in named() {
        if let Some(folder) = path.folders().find(|folder| places.contains(folder)) {
            return Err(AttributesError::FileAndFolder {
                folder: folder.to_owned(),
                file: path.to_string(),
            });
        }
    }
    Ok(())
}

/// Bytes, Ki or Mi.
fn parse_size(text: &str) -> Result<u64, AttributesError> {
    let refused = || AttributesError::Size(shown(text));
    let (digits, unit) = match (text.strip_suffix("Ki"), text.strip_suffix("Mi")) {
        (Some(digits), _) => (digits, 1_024),
        (_, Some(digits)) => (digits, 1_048_576),
        _ => (text, 1),
    };
    if !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(refused());
    }
    let number: u64 = digits.parse().map_err(|_| refused())?;
    number
        .checked_mul(unit)
        .filter(|bytes| *bytes >= 65_536)
        .ok_or_else(refused)
}

fn parse_port(text: &str) -> Result<NonZeroU16, AttributesError> {
    let digits = text.bytes().all(|c| c.is_ascii_digit());
    let port = text.parse().ok().filter(|_| digits);
    port.ok_or_else(|| AttributesError::Port(shown(text)))
}

fn parse_notify_path(text: &str) -> Result<String, AttributesError> {
    let alphabet = |c: u8| c.is_ascii_alphanumeric() || b"/-._~".contains(&c);
    if text.starts_with('/') && text.len() <= NOTIFY_PATH && text.bytes().all(alphabet) {
        Ok(text.to_owned())
    } else {
        Err(AttributesError::NotifyPath(shown(text)))
    }
}

/// A truth value, which Kubernetes passes on as text.
fn parse_truth(field: &'static str, text: &str) -> Result<bool, AttributesError> {
    text.parse().map_err(|_| AttributesError::Truth {
        field,
        text: shown(text),
    })
}

/// A text of a pod's author as a message may show it.
fn shown(text: &str) -> String {
    text.chars().take(80).filter(|c| !c.is_control()).collect()
}
