//! From values to files: what a pod asks for and what its secrets hold decide every byte, name and mode of
//! its volume, but for the random ones in a key store.

use std::collections::BTreeMap;

use serde::Serialize;
use strongroom_model::{SecretBytes, Value};

use crate::attributes::{Attributes, FileContent, FileEntry, RequestedSecret};
use crate::format::{Entries, FormatError};
use crate::mismatch::{Detail, Mismatch};
use crate::path::{FileMode, FilePath, PathError};
use crate::template::{Renderer, Scope, TemplateError};

/// The file that says which versions a volume shows.
pub const VERSION_FILE: &str = "..strongroom.json";

/// Most files in a volume.
const MAX_FILES: usize = 1_024;
/// Most key stores of a volume: each takes a processor for long, since its password is stretched.
pub const MAX_STORES: usize = 8;
/// What a file takes at least: tmpfs counts pages.
const PAGE_BYTES: u64 = 4_096;
/// Room that is not for files, in bytes: folders, links.
pub const SLACK_BYTES: u64 = 32_768;

/// The files of a volume, all of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// By path.
    pub files: BTreeMap<FilePath, PlannedFile>,
    /// Text of [`VERSION_FILE`].
    pub version_file: String,
}

impl Plan {
    /// What it takes of memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let files = self.files.values();
        files.fold(SLACK_BYTES, |sum, file| {
            sum.saturating_add(pages(file.bytes.expose().len()))
        })
    }
}

/// What a file of so many bytes takes: whole pages.
fn pages(bytes: usize) -> u64 {
    (u64::try_from(bytes).unwrap_or(u64::MAX) / PAGE_BYTES + 1).saturating_mul(PAGE_BYTES)
}

/// One file as it is to be written.
#[derive(Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Who may read it; where the pod has an fsGroup, so may that.
    pub mode: FileMode,
    /// All that it holds.
    pub bytes: SecretBytes,
    /// What it opens with, where it is a key store: its bytes hold random ones, and what is in it tells
    /// whether another is the same.
    pub password: Option<SecretBytes>,
}

/// What is known of a secret of the volume.
#[derive(Clone, Copy, Debug)]
pub struct SecretInput<'a> {
    /// The version to show.
    pub version_id: &'a str,
    /// The value of that version.
    pub value: &'a Value,
    /// Whether access to it has ended while its files stay.
    pub ended: bool,
    /// Whether it comes from the node's cache.
    pub offline: bool,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A key that the secret does not have.
    #[error("secret `{secret}` has no key `{key}`")]
    NoKey {
        /// Name of the secret in the store.
        secret: String,
        /// The key that the pod names.
        key: String,
    },
    /// A key whose name is no file's.
    #[error("secret `{secret}`: {source}: set its path with `keys`")]
    KeyName {
        /// Name of the secret in the store.
        secret: String,
        /// The rule for paths that it breaks.
        source: PathError,
    },
    /// A template cannot be used, whatever the values are.
    #[error("{0}")]
    Template(#[from] TemplateError),
    /// A format cannot be used, whatever the values are.
    #[error("file `{path}`: {source}")]
    Format {
        /// Path of the file in the volume.
        path: String,
        /// What keeps the keys out of that format.
        source: FormatError,
    },
    /// Two files in one place.
    #[error("two files have the path `{0}`: give one of the secrets a `directory`")]
    PathTwice(String),
    /// A file where a folder is needed.
    #[error("`{folder}` is both a file and the directory of `{file}`")]
    FileAndFolder {
        /// The path that is both.
        folder: String,
        /// The file below.
        file: String,
    },
    /// More than one volume may have, all keys counted.
    #[error("the volume would have {0} files; at most {MAX_FILES}")]
    TooManyFiles(usize),
    /// Too many key stores.
    #[error(
        "the volume would have {0} key stores; at most {MAX_STORES}: mount more volumes, or read PEM files"
    )]
    TooManyStores(usize),
    /// The values do not fit the templates and formats, or the volume.
    #[error("{mismatch}; `kubectl strongroom render --pod {pod}` says where and why")]
    Mismatch {
        /// What is asked of the values.
        mismatch: Mismatch,
        /// The pod's name, for the command that the message names.
        pod: String,
    },
}

/// What a plan is made for, beside the attributes and the values.
#[derive(Clone, Copy, Debug)]
pub struct PlanTarget<'a> {
    /// The pod's name.
    pub pod: &'a str,
    /// Whether it has an fsGroup.
    pub group: bool,
    /// The size of the volume, in bytes.
    pub size: u64,
}

/// Whether a new volume asks for no more key stores than it may. One that runs is not asked any more.
///
/// # Errors
/// [`PlanError::TooManyStores`].
pub fn check_store_count(attributes: &Attributes) -> Result<(), PlanError> {
    let is_store = |files: &&FileEntry| matches!(files, FileEntry::One { content: FileContent::Format { format, .. }, .. } if format.is_store());
    let stores = attributes.files.iter().filter(is_store).count();
    if stores > MAX_STORES {
        return Err(PlanError::TooManyStores(stores));
    }
    Ok(())
}

/// Plans the files. `facts` stand in the order of [`Attributes::secrets`]. What does not depend on the values
/// is looked at first, so that what is said of values is the same for all that don't fit.
///
/// # Errors
/// A [`PlanError`]; nothing of the volume is to be changed then.
pub fn plan(
    attributes: &Attributes,
    facts: &[SecretInput<'_>],
    place: PlanTarget<'_>,
) -> Result<Plan, PlanError> {
    let mut rendering = Rendering::new(attributes, facts);
    let files = laid_out(&rendering, attributes.default_mode(place.group), place.group)?;
    for (path, file) in &files {
        rendering.check(path, &file.made_of)?;
    }
    let made = rendering.files(&files, place.size);
    let files = match made {
        Ok(made) => made,
        Err(detail) => {
            let mut places = Vec::new();
            for (path, file) in &files {
                places.extend(rendering.demand(path, &file.made_of)?);
            }
            places.push(format!(
                "the files take at most {} bytes of this volume, since a change needs room for two versions: raise `size`, or mount less",
                place.size.saturating_sub(SLACK_BYTES) / 2
            ));
            return Err(PlanError::Mismatch {
                mismatch: Mismatch::new(&places, detail),
                pod: place.pod.to_owned(),
            });
        }
    };
    let state = if facts.iter().any(|fact| fact.ended) {
        State::Ended
    } else if facts.iter().any(|fact| fact.offline) {
        State::Offline
    } else {
        State::Current
    };
    let version_file = version_file(
        state,
        attributes,
        facts.iter().map(|fact| (fact.version_id, fact.ended)),
    );
    Ok(Plan { files, version_file })
}

/// The plan of a volume whose pod lost access, where files must go: no file but the one that says so.
#[must_use]
pub fn wiped(attributes: &Attributes) -> Plan {
    Plan {
        files: BTreeMap::new(),
        version_file: version_file(State::Revoked, attributes, std::iter::repeat(("", true))),
    }
}

/// What the version file says of the whole.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Everything is what the pod asked for.
    Current,
    /// It was what the pod asked for when the node last heard of it; there is no gateway now.
    Offline,
    /// The files are the last that the pod was given; access has ended.
    Ended,
    /// The files are gone with the access.
    Revoked,
}

#[derive(Serialize)]
struct VersionFile<'a> {
    state: State,
    secrets: Vec<SecretEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version_id: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
}

fn version_file<'a>(
    state: State,
    attributes: &'a Attributes,
    versions: impl Iterator<Item = (&'a str, bool)>,
) -> String {
    let shown = |(secret, (version_id, ended)): (&'a RequestedSecret, _)| SecretEntry {
        namespace: secret.namespace.as_deref(),
        name: &secret.name,
        version_id,
        ended,
    };
    let file = VersionFile {
        state,
        secrets: attributes.secrets.iter().zip(versions).map(shown).collect(),
    };
    // Texts and truth values: nothing that JSON cannot say.
    let mut text = serde_json::to_string(&file).unwrap_or_default();
    text.push('\n');
    text
}

/// What files are made of.
struct Rendering<'a> {
    attributes: &'a Attributes,
    facts: &'a [SecretInput<'a>],
    /// By the secret whose keys are the names, or none for all secrets; made when first needed.
    renderers: BTreeMap<Option<usize>, Renderer>,
}

impl<'a> Rendering<'a> {
    const fn new(attributes: &'a Attributes, facts: &'a [SecretInput<'a>]) -> Self {
        Self {
            attributes,
            facts,
            renderers: BTreeMap::new(),
        }
    }

    fn secret(&self, index: usize) -> Option<(&'a RequestedSecret, &'a SecretInput<'a>)> {
        self.attributes.secrets.get(index).zip(self.facts.get(index))
    }

    fn key(&self, index: usize, key: &str) -> Result<&'a SecretBytes, PlanError> {
        let found = self.secret(index);
        found
            .and_then(|(_, fact)| fact.value.key(key))
            .ok_or_else(|| PlanError::NoKey {
                secret: found.map(|(named, _)| named.name.clone()).unwrap_or_default(),
                key: key.to_owned(),
            })
    }

    /// The names that a template has: those of one secret, or of all.
    fn renderer(&mut self, secret: Option<usize>) -> &mut Renderer {
        let (attributes, facts) = (self.attributes, self.facts);
        self.renderers.entry(secret).or_insert_with(|| {
            Renderer::new(match secret.and_then(|index| facts.get(index)) {
                Some(fact) => Scope::from_value(fact.value),
                None => {
                    let named = attributes.secrets.iter().zip(facts);
                    Scope::from_secrets(named.map(|(secret, fact)| (secret.alias.as_str(), fact.value)))
                }
            })
        })
    }

    fn entries(
        &self,
        secrets: &[usize],
        keys: Option<&[String]>,
        password: Option<&(usize, String)>,
    ) -> Result<Entries<'a>, EntriesError> {
        let of = secrets.iter().filter_map(|index| self.secret(*index));
        let values: Vec<&Value> = of.map(|(_, fact)| fact.value).collect();
        let password = match password {
            Some((secret, key)) => Some(self.key(*secret, key).map_err(EntriesError::Plan)?),
            None => None,
        };
        let entries = Entries::select(&values, keys).map_err(EntriesError::Format)?;
        Ok(entries.with_password(password))
    }

    /// Looks for what is wrong with a file whatever is in the values.
    fn check(&mut self, path: &FilePath, made_of: &EntrySource<'_>) -> Result<(), PlanError> {
        match made_of {
            EntrySource::Bytes(_) => Ok(()),
            EntrySource::Content(FileContent::Key { secret, key }) => self.key(*secret, key).map(|_| ()),
            EntrySource::Content(FileContent::Template { text, secret }) => {
                Ok(self.renderer(*secret).check(path.as_str(), text)?)
            }
            EntrySource::Content(FileContent::Format {
                format,
                secrets,
                keys,
                password,
            }) => {
                let entries = self.entries(secrets, keys.as_deref(), password.as_ref());
                let checked =
                    entries.and_then(|entries| entries.check(*format).map_err(EntriesError::Format));
                checked.map_err(|error| error.at(path))
            }
        }
    }

    /// All files, or where the values do not fit, or not into a volume of this size, and why. No more is made
    /// than fits.
    fn files(
        &mut self,
        files: &BTreeMap<FilePath, PlannedEntry<'_>>,
        size: u64,
    ) -> Result<BTreeMap<FilePath, PlannedFile>, Detail> {
        let mut taken = 0;
        let made = |(path, file): (&FilePath, &PlannedEntry<'_>)| {
            let (bytes, password) = self.content(path, &file.made_of)?;
            taken = u64::saturating_add(taken, pages(bytes.expose().len()));
            fits(taken, size)?;
            let planned = PlannedFile {
                mode: file.mode,
                bytes,
                password,
            };
            Ok((path.clone(), planned))
        };
        files.iter().map(made).collect()
    }

    /// The bytes of a file, and what they open with where they are a key store.
    fn content(
        &mut self,
        path: &FilePath,
        made_of: &EntrySource<'_>,
    ) -> Result<(SecretBytes, Option<SecretBytes>), Detail> {
        let told = |error: PlanError| Detail::new(error.to_string());
        match made_of {
            EntrySource::Bytes(bytes) => Ok((bytes.duplicate(), None)),
            EntrySource::Content(FileContent::Key { secret, key }) => {
                Ok((self.key(*secret, key).map_err(told)?.duplicate(), None))
            }
            EntrySource::Content(FileContent::Template { text, secret }) => {
                Ok((self.renderer(*secret).render(path.as_str(), text)?, None))
            }
            EntrySource::Content(FileContent::Format {
                format,
                secrets,
                keys,
                password,
            }) => {
                let entries = self.entries(secrets, keys.as_deref(), password.as_ref());
                let entries = entries.map_err(|error| told(error.at(path)))?;
                let written = entries.write(*format).map_err(EntriesError::Format);
                let bytes = written.map_err(|error| told(error.at(path)))?;
                Ok((bytes, entries.password().map(SecretBytes::duplicate)))
            }
        }
    }

    /// What a file asks of the values.
    fn demand(&mut self, path: &FilePath, made_of: &EntrySource<'_>) -> Result<Option<String>, PlanError> {
        match made_of {
            EntrySource::Bytes(_) | EntrySource::Content(FileContent::Key { .. }) => Ok(None),
            EntrySource::Content(FileContent::Template { text, secret }) => {
                Ok(Some(self.renderer(*secret).demand(path.as_str(), text)?))
            }
            EntrySource::Content(FileContent::Format {
                format,
                secrets,
                keys,
                password,
            }) => {
                let entries = self.entries(secrets, keys.as_deref(), password.as_ref());
                let entries = entries.map_err(|error| error.at(path))?;
                Ok(Some(format!("file `{path}`: {}", entries.demand(*format))))
            }
        }
    }
}

/// What keys of a format are not there.
enum EntriesError {
    Plan(PlanError),
    Format(FormatError),
}

impl EntriesError {
    fn at(self, path: &FilePath) -> PlanError {
        match self {
            Self::Plan(error) => error,
            Self::Format(source) => PlanError::Format {
                path: path.to_string(),
                source,
            },
        }
    }
}

/// A file before its bytes are known.
struct PlannedEntry<'a> {
    mode: FileMode,
    made_of: EntrySource<'a>,
}

/// What a file is made of.
enum EntrySource<'a> {
    /// A key of a whole secret.
    Bytes(&'a SecretBytes),
    /// What the pod says.
    Content(&'a FileContent),
}

/// The files at their places.
fn laid_out<'a>(
    rendering: &Rendering<'a>,
    default: FileMode,
    group: bool,
) -> Result<BTreeMap<FilePath, PlannedEntry<'a>>, PlanError> {
    let mut files = BTreeMap::new();
    let mut put = |path: FilePath, mode: Option<FileMode>, made_of| {
        let mode = mode.unwrap_or(default).for_group(group);
        let said = path.to_string();
        match files.insert(path, PlannedEntry { mode, made_of }) {
            None => Ok(()),
            Some(_) => Err(PlanError::PathTwice(said)),
        }
    };
    for wanted in &rendering.attributes.files {
        match wanted {
            FileEntry::All {
                secret,
                directory,
                mode,
            } => {
                let Some((named, fact)) = rendering.secret(*secret) else {
                    continue;
                };
                for (key, bytes) in fact.value.iter() {
                    let path: Result<FilePath, _> = key.parse();
                    let path = path
                        .and_then(|path| path.below(directory.as_ref()))
                        .map_err(|source| PlanError::KeyName {
                            secret: named.name.clone(),
                            source,
                        })?;
                    put(path, *mode, EntrySource::Bytes(bytes))?;
                }
            }
            FileEntry::One { path, mode, content } => {
                put(path.clone(), *mode, EntrySource::Content(content))?
            }
        }
    }
    if files.len() > MAX_FILES {
        return Err(PlanError::TooManyFiles(files.len()));
    }
    for path in files.keys() {
        let taken = |folder: &&str| {
            folder
                .parse()
                .is_ok_and(|folder: FilePath| files.contains_key(&folder))
        };
        if let Some(folder) = path.folders().find(taken) {
            return Err(PlanError::FileAndFolder {
                folder: folder.to_owned(),
                file: path.to_string(),
            });
        }
    }
    Ok(files)
}

/// Whether there is room for files that take so many bytes.
fn fits(bytes: u64, size: u64) -> Result<(), Detail> {
    // While one version takes the place of another, both are there.
    if bytes.saturating_mul(2).saturating_add(SLACK_BYTES) > size {
        return Err(Detail::new(format!(
            "the files take {bytes} bytes or more, and twice as much during a change, but the volume has {size}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
