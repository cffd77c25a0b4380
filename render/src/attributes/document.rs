//! The YAML documents in the attributes `secrets` and `set`, and what they mean.
//!
//! [`OrText`] and [`OneOrMany`] are no `serde_with`: that tries one form after the other on a copy, as an
//! untagged enum does, which no longer knows where anything stands, and answers a mistake with two
//! complaints.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use strongroom_model::{PRODUCT_SEPARATOR, SECRET_NAME_BYTES, is_secret_name_byte};

use super::{AttributesError, FileContent, FileEntry, RequestedSecret, RequestedVersion, shown};
use crate::document;
use crate::format::Format;
use crate::path::{FileMode, FilePath};

/// Largest document, in bytes.
const DOCUMENT_BYTES: usize = 262_144;

type Parsed = (Vec<RequestedSecret>, Vec<FileEntry>);

/// The attribute `secrets`: a name, or a list of secrets, each with files of its own.
pub(super) fn secrets(text: &str) -> Result<Parsed, AttributesError> {
    let items: OneOrMany<OrText<Item>> = read("secrets", text)?;
    let mut parsed = (Vec::new(), Vec::new());
    for OrText(item) in items.0 {
        let secret = parsed.0.len();
        let reference = Reference {
            name: item.name,
            namespace: item.namespace,
            stage: item.stage,
            version_id: item.version_id,
        };
        let alias = reference.name.clone();
        parsed.0.push(reference.requested(alias)?);
        let directory = item.directory;
        if item.keys.is_none() && item.files.is_empty() {
            parsed.1.push(FileEntry::All {
                secret,
                directory,
                mode: item.mode,
            });
            continue;
        }
        for OrText(key) in item.keys.unwrap_or_default() {
            let path = match key.path {
                Some(path) => path,
                None => key.key.parse()?,
            };
            parsed.1.push(FileEntry::One {
                path: path.below(directory.as_ref())?,
                mode: key.mode.or(item.mode),
                content: FileContent::Key { secret, key: key.key },
            });
        }
        for file in item.files {
            let path = file.path.below(directory.as_ref())?;
            let wrong = |what: &str| wrong(&path, what);
            let content = match (file.template, file.format) {
                (Some(text), None) if file.keys.is_none() && file.password.is_none() => {
                    FileContent::Template {
                        text,
                        secret: Some(secret),
                    }
                }
                (None, Some(format)) => {
                    let place = |other: Option<&str>| match other {
                        None => Ok(secret),
                        Some(_) => Err(wrong(
                            "`password` is a key of this secret; that of another goes with `set`",
                        )),
                    };
                    FileContent::Format {
                        format,
                        secrets: vec![secret],
                        password: password(&path, (format, &file.keys), file.password, place)?,
                        keys: file.keys,
                    }
                }
                (Some(_), None) => return Err(wrong("`keys` and `password` go with `format`")),
                _ => return Err(wrong("give exactly one of `template` and `format`")),
            };
            parsed.1.push(FileEntry::One {
                mode: file.mode.or(item.mode),
                path,
                content,
            });
        }
    }
    if parsed.0.is_empty() {
        return Err(AttributesError::NoSecret("secrets"));
    }
    Ok(parsed)
}

/// The attribute `set`: secrets by alias, and files that are made of any of them.
pub(super) fn set(text: &str) -> Result<Parsed, AttributesError> {
    let set: Set = read("set", text)?;
    let aliases: BTreeMap<String, usize> = set.secrets.keys().cloned().zip(0..).collect();
    let mut secrets = Vec::new();
    for (alias, OrText(reference)) in set.secrets {
        secrets.push(reference.requested(alias)?);
    }
    if secrets.is_empty() {
        return Err(AttributesError::NoSecret("set"));
    }
    let mut files = Vec::new();
    for file in set.files {
        let path = &file.path;
        let place = |alias: &str| {
            let unknown = || wrong(path, &format!("`secrets` has no `{}`", shown(alias)));
            aliases.get(alias).copied().ok_or_else(unknown)
        };
        let passworded = file.password.is_some();
        let places = |aliases: &[String]| aliases.iter().map(|alias| place(alias)).collect::<Result<_, _>>();
        let content = match (&file.secret, &file.key, file.template, file.format) {
            (Some(secret), Some(key), None, None) => FileContent::Key {
                secret: place(secret)?,
                key: key.clone(),
            },
            (None, None, Some(text), None) => FileContent::Template { text, secret: None },
            (secret, None, None, Some(format)) => FileContent::Format {
                format,
                secrets: match (secret, &file.secrets) {
                    (Some(secret), None) => vec![place(secret)?],
                    (None, Some(aliases)) => places(aliases)?,
                    (None, None) => (0..secrets.len()).collect(),
                    _ => return Err(wrong(path, "give only one of `secret` and `secrets`")),
                },
                password: {
                    let own = |other: Option<&str>| match other.or(secret.as_deref()) {
                        Some(alias) => place(alias),
                        None => Err(wrong(
                            path,
                            "name the secret of the `password`: `{secret: …, key: …}`",
                        )),
                    };
                    password(path, (format, &file.keys), file.password, own)?
                },
                keys: file.keys.clone(),
            },
            _ => {
                let what = "give exactly one of `secret` with `key`, `template`, and `format`";
                return Err(wrong(path, what));
            }
        };
        let formatted = matches!(content, FileContent::Format { .. });
        if !formatted && (file.secrets.is_some() || file.keys.is_some() || passworded) {
            return Err(wrong(path, "`secrets`, `keys` and `password` go with `format`"));
        }
        files.push(FileEntry::One {
            path: file.path.clone(),
            mode: file.mode,
            content,
        });
    }
    if files.is_empty() {
        return Err(AttributesError::Document {
            field: "set",
            what: "`files` is empty: the volume would be".to_owned(),
        });
    }
    Ok((secrets, files))
}

/// Where the password of a key store is: there where the format is one. `place` says which secret is meant by
/// an alias, or by none.
fn password(
    path: &FilePath,
    (format, keys): (Format, &Option<Vec<String>>),
    password: Option<OrText<Password>>,
    place: impl FnOnce(Option<&str>) -> Result<usize, AttributesError>,
) -> Result<Option<(usize, String)>, AttributesError> {
    match (format.is_store(), password) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(wrong(
            path,
            "`password` goes with a key store: `pkcs12` or `pkcs12-truststore`",
        )),
        (true, _) if keys.is_some() => {
            let what = "a key store is made of `tls.key`, `tls.crt` and `ca.crt`: `keys` does not go with it";
            Err(wrong(path, what))
        }
        (true, None) => Err(wrong(
            path,
            "a key store has a `password`: name the key that holds it",
        )),
        (true, Some(OrText(password))) => Ok(Some((place(password.secret.as_deref())?, password.key))),
    }
}

fn wrong(path: &FilePath, what: &str) -> AttributesError {
    AttributesError::File {
        path: path.to_string(),
        what: what.to_owned(),
    }
}

fn read<T: DeserializeOwned>(field: &'static str, text: &str) -> Result<T, AttributesError> {
    let refused = |what: String| AttributesError::Document { field, what };
    if text.len() > DOCUMENT_BYTES {
        return Err(refused(format!("it is larger than {DOCUMENT_BYTES} bytes")));
    }
    document::read(text).map_err(|error| refused(error.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Item {
    name: String,
    namespace: Option<String>,
    stage: Option<String>,
    version_id: Option<String>,
    directory: Option<FilePath>,
    mode: Option<FileMode>,
    keys: Option<Vec<OrText<KeyFile>>>,
    #[serde(default)]
    files: Vec<MadeFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    key: String,
    path: Option<FilePath>,
    mode: Option<FileMode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MadeFile {
    path: FilePath,
    mode: Option<FileMode>,
    template: Option<String>,
    format: Option<Format>,
    keys: Option<Vec<String>>,
    password: Option<OrText<Password>>,
}

/// The key that holds a password, and its secret where that is another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Password {
    secret: Option<String>,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    secrets: BTreeMap<String, OrText<Reference>>,
    files: Vec<SetFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Reference {
    name: String,
    namespace: Option<String>,
    stage: Option<String>,
    version_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetFile {
    path: FilePath,
    mode: Option<FileMode>,
    #[serde(default, deserialize_with = "document::named")]
    secret: Option<String>,
    #[serde(default, deserialize_with = "document::named")]
    key: Option<String>,
    template: Option<String>,
    format: Option<Format>,
    secrets: Option<Vec<String>>,
    keys: Option<Vec<String>>,
    password: Option<OrText<Password>>,
}

impl Reference {
    fn requested(self, alias: String) -> Result<RequestedSecret, AttributesError> {
        let legal = |what, text: &str, most, alphabet: fn(u8) -> bool, rule| {
            if text.is_empty() || text.len() > most || !text.bytes().all(alphabet) {
                return Err(AttributesError::Name {
                    what,
                    text: shown(text),
                    rule,
                });
            }
            Ok(())
        };
        let name = "up to 192 of letters, digits and `_/+=.-@!`";
        let of_name: fn(u8) -> bool = |c| is_secret_name_byte(c) || char::from(c) == PRODUCT_SEPARATOR;
        legal("secret name", &self.name, SECRET_NAME_BYTES, of_name, name)?;
        legal("alias", &alias, SECRET_NAME_BYTES, of_name, name)?;
        if let Some(namespace) = &self.namespace {
            let rule = "up to 63 lower-case letters, digits and `-`";
            let of_namespace: fn(u8) -> bool = |c| c.is_ascii_alphanumeric() || c == b'-';
            legal("namespace", namespace, 63, of_namespace, rule)?;
        }
        let label = "up to 64 of letters, digits and `_.-`";
        let of_label: fn(u8) -> bool = |c| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
        let version = match (self.stage, self.version_id) {
            (Some(_), Some(_)) => return Err(AttributesError::StageAndVersion(self.name)),
            (None, Some(id)) => {
                legal("version id", &id, 64, of_label, label)?;
                RequestedVersion::Id(id)
            }
            (stage, None) => {
                let stage = stage.unwrap_or_else(|| "Current".to_owned());
                legal("stage", &stage, 64, of_label, label)?;
                RequestedVersion::Stage(stage)
            }
        };
        Ok(RequestedSecret {
            alias,
            namespace: self.namespace,
            name: self.name,
            version,
        })
    }
}

/// What can be said by its name alone.
trait ByName: DeserializeOwned {
    /// What the name alone means.
    fn by_name(name: String) -> Self;
}

impl ByName for Item {
    fn by_name(name: String) -> Self {
        Self {
            name,
            namespace: None,
            stage: None,
            version_id: None,
            directory: None,
            mode: None,
            keys: None,
            files: Vec::new(),
        }
    }
}

impl ByName for KeyFile {
    fn by_name(key: String) -> Self {
        Self {
            key,
            path: None,
            mode: None,
        }
    }
}

impl ByName for Password {
    fn by_name(key: String) -> Self {
        Self { secret: None, key }
    }
}

impl ByName for Reference {
    fn by_name(name: String) -> Self {
        Self {
            name,
            namespace: None,
            stage: None,
            version_id: None,
        }
    }
}

/// A map, or the name alone.
struct OrText<T>(T);

impl<'de, T: ByName> Deserialize<'de> for OrText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: ByName> Visitor<'de> for Either<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a map with it")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
                Ok(T::by_name(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_any(Either(PhantomData)).map(Self)
    }
}

/// A list, or its only element by name.
struct OneOrMany<T>(Vec<T>);

impl<'de, T: ByName> Deserialize<'de> for OneOrMany<OrText<T>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: ByName> Visitor<'de> for Either<T> {
            type Value = Vec<OrText<T>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a list")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                if name.is_empty() {
                    return Err(E::custom("it is empty"));
                }
                Ok(vec![OrText(T::by_name(name.to_owned()))])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(items)
            }
        }
        deserializer.deserialize_any(Either(PhantomData)).map(Self)
    }
}
