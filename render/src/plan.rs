//! From values to files: what a pod asks for and what its secrets hold decide every byte, name and mode of its volume, but for the random ones in
//! a key store.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use strongroom_value::{KeyBytes, Value};

use crate::attributes::{Attributes, Content, Files, WantedSecret};
use crate::format::{Entries, FormatError};
use crate::path::{FileMode, FilePath, PathError};
use crate::template::{Renderer, Scope, TemplateError};

/// The file that says which versions a volume shows.
pub const VERSION_FILE: &str = "..strongroom.json";

/// Most files in a volume.
const FILES: usize = 1_024;
/// What a file takes at least: tmpfs counts pages.
const PAGE: u64 = 4_096;
/// Room that is not for files, in bytes: folders, links.
pub const SLACK: u64 = 32_768;

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
        pages(&self.files).saturating_add(SLACK)
    }
}

/// What files take: whole pages.
fn pages(files: &BTreeMap<FilePath, PlannedFile>) -> u64 {
    let pages = |bytes: usize| (u64::try_from(bytes).unwrap_or(u64::MAX) / PAGE + 1) * PAGE;
    files.values().map(|file| pages(file.bytes.expose().len())).sum()
}

/// A file.
#[derive(Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its mode.
    pub mode: FileMode,
    /// Its bytes.
    pub bytes: KeyBytes,
    /// What it opens with, where it is a key store: its bytes hold random ones, and what is in it tells whether another is the same.
    pub password: Option<KeyBytes>,
}

/// What is known of a secret of the volume.
#[derive(Clone, Copy, Debug)]
pub struct Fact<'a> {
    /// The version to show.
    pub version_id: &'a str,
    /// Its value.
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
        /// The secret.
        secret: String,
        /// The key.
        key: String,
    },
    /// A key whose name is no file's.
    #[error("secret `{secret}`: {source}: say where it goes with `keys`")]
    KeyName {
        /// The secret.
        secret: String,
        /// Why not.
        source: PathError,
    },
    /// A template.
    #[error("{0}")]
    Template(#[from] TemplateError),
    /// A format.
    #[error("file `{path}`: {source}")]
    Format {
        /// The file.
        path: String,
        /// Why not.
        source: FormatError,
    },
    /// Two files in one place.
    #[error("two files are to be at `{0}`: give one of the secrets a `directory`")]
    PathTwice(String),
    /// A file where a folder is needed.
    #[error("`{folder}` is to be a file, and a folder for `{file}`")]
    FileAndFolder {
        /// The file and folder.
        folder: String,
        /// The file below.
        file: String,
    },
    /// Too many.
    #[error("the volume would have {0} files; at most {FILES}")]
    TooManyFiles(usize),
    /// Too much.
    #[error(
        "the files take {bytes} bytes, and twice as much during a change, but the volume has {size}: raise `size`, or mount less"
    )]
    TooLarge {
        /// What the files take.
        bytes: u64,
        /// The volume's size.
        size: u64,
    },
}

/// Plans the files. `facts` stand in the order of [`Attributes::secrets`]; `size` is that of the volume in bytes, `group` whether the pod
/// has an fsGroup.
///
/// # Errors
/// A [`PlanError`]; nothing of the volume is to be changed then.
pub fn plan(attributes: &Attributes, facts: &[Fact<'_>], group: bool, size: u64) -> Result<Plan, PlanError> {
    let default = attributes.default_mode(group);
    let mut files = Placed::default();
    let mut rendering = Rendering::new(attributes, facts);
    for wanted in &attributes.files {
        match wanted {
            Files::All {
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
                    files.put(path, mode.unwrap_or(default), (bytes.duplicate(), None))?;
                }
            }
            Files::One { path, mode, content } => {
                let bytes = rendering.content(path, content)?;
                files.put(path.clone(), mode.unwrap_or(default), bytes)?;
            }
        }
    }
    let files = files.checked(size)?;
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
    secrets: Vec<Shown<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
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
    let shown = |(secret, (version_id, ended)): (&'a WantedSecret, _)| Shown {
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
    facts: &'a [Fact<'a>],
    /// By the secret whose keys are the names, or none for all secrets; made when first needed.
    renderers: BTreeMap<Option<usize>, Renderer>,
}

impl<'a> Rendering<'a> {
    const fn new(attributes: &'a Attributes, facts: &'a [Fact<'a>]) -> Self {
        Self {
            attributes,
            facts,
            renderers: BTreeMap::new(),
        }
    }

    fn secret(&self, index: usize) -> Option<(&'a WantedSecret, &'a Fact<'a>)> {
        self.attributes.secrets.get(index).zip(self.facts.get(index))
    }

    fn key(&self, index: usize, key: &str) -> Result<&'a KeyBytes, PlanError> {
        let found = self.secret(index);
        found
            .and_then(|(_, fact)| fact.value.key(key))
            .ok_or_else(|| PlanError::NoKey {
                secret: found.map(|(named, _)| named.name.clone()).unwrap_or_default(),
                key: key.to_owned(),
            })
    }

    /// The bytes of a file, and what they open with where they are a key store.
    fn content(
        &mut self,
        path: &FilePath,
        content: &Content,
    ) -> Result<(KeyBytes, Option<KeyBytes>), PlanError> {
        match content {
            Content::Key { secret, key } => Ok((self.key(*secret, key)?.duplicate(), None)),
            Content::Template { text, secret } => {
                let (attributes, facts) = (self.attributes, self.facts);
                let renderer = self.renderers.entry(*secret).or_insert_with(|| {
                    Renderer::new(match secret.and_then(|index| facts.get(index)) {
                        Some(fact) => Scope::of_value(fact.value),
                        None => {
                            let named = attributes.secrets.iter().zip(facts);
                            Scope::of_secrets(named.map(|(secret, fact)| (secret.alias.as_str(), fact.value)))
                        }
                    })
                });
                Ok((renderer.render(path.as_str(), text)?, None))
            }
            Content::Format {
                format,
                secrets,
                keys,
                password,
            } => {
                let refused = |source| PlanError::Format {
                    path: path.to_string(),
                    source,
                };
                let values: Vec<&Value> = secrets
                    .iter()
                    .filter_map(|index| self.secret(*index))
                    .map(|(_, fact)| fact.value)
                    .collect();
                let password = match password {
                    Some((secret, key)) => Some(self.key(*secret, key)?),
                    None => None,
                };
                let entries = Entries::of(&values, keys.as_deref()).map_err(refused)?;
                let bytes = entries.under(password).write(*format).map_err(refused)?;
                Ok((bytes, password.map(KeyBytes::duplicate)))
            }
        }
    }
}

/// Files at their places.
#[derive(Default)]
struct Placed(BTreeMap<FilePath, PlannedFile>);

impl Placed {
    fn put(
        &mut self,
        path: FilePath,
        mode: FileMode,
        (bytes, password): (KeyBytes, Option<KeyBytes>),
    ) -> Result<(), PlanError> {
        if self.0.contains_key(&path) {
            return Err(PlanError::PathTwice(path.to_string()));
        }
        self.0.insert(
            path,
            PlannedFile {
                mode,
                bytes,
                password,
            },
        );
        Ok(())
    }

    fn checked(self, size: u64) -> Result<BTreeMap<FilePath, PlannedFile>, PlanError> {
        if self.0.len() > FILES {
            return Err(PlanError::TooManyFiles(self.0.len()));
        }
        let places: BTreeSet<&str> = self.0.keys().map(FilePath::as_str).collect();
        for path in self.0.keys() {
            if let Some(folder) = path.folders().find(|folder| places.contains(folder)) {
                return Err(PlanError::FileAndFolder {
                    folder: folder.to_owned(),
                    file: path.to_string(),
                });
            }
        }
        let bytes = pages(&self.0);
        // While one version takes the place of another, both are there.
        if bytes.saturating_mul(2).saturating_add(SLACK) > size {
            return Err(PlanError::TooLarge { bytes, size });
        }
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests;
