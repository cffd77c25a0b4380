//! What a pod asks for: its annotations, parsed once.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use strongroom_render::document;

use super::{EnvironmentError, PREFIX};

/// Most variables, and most secrets that they are of: what a volume can have of files and of secrets.
pub(super) use strongroom_render::attributes::{MAX_FILES as VARIABLES, MAX_SECRETS as SECRETS};

/// How the variables come to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The container's command is started by `strongroom-exec`.
    Exec,
    /// kubelet reads them from a file.
    File,
}

/// What a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EnvironmentRequest {
    pub(super) mode: Mode,
    /// By the variable's name; at least one.
    pub(super) variables: BTreeMap<String, Variable>,
    /// The containers that are named.
    pub(super) containers: Option<Vec<String>>,
}

/// What a variable is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) secret: Reference,
    pub(super) content: VariableContent,
}

/// A secret, and which of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) version_id: Option<String>,
}

/// What of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VariableContent {
    /// The bytes of this key.
    Key(String),
    /// A text that is made of its keys.
    Template(String),
}

impl EnvironmentRequest {
    /// What the pod asks for; `None`: nothing of this.
    ///
    /// # Errors
    /// [`EnvironmentError`] for everything that is not understood: a typing error must not make a pod without
    /// its variables.
    pub(super) fn from_pod(pod: &Value) -> Result<Option<Self>, EnvironmentError> {
        let annotations = pod
            .pointer("/metadata/annotations")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(key, _)| key.starts_with(PREFIX));
        let (mut mode, mut variables, mut containers, mut first) = (None, None, None, None);
        for (key, value) in annotations {
            let text = value
                .as_str()
                .ok_or(EnvironmentError::NoPod("metadata.annotations"))?;
            first = first.or(Some(key));
            match key.strip_prefix(PREFIX) {
                Some("") => mode = Some(text),
                Some("-vars") => variables = Some(text),
                Some("-containers") => containers = Some(text),
                _ => return Err(EnvironmentError::Unknown(key.clone())),
            }
        }
        let mode = match (mode, first) {
            (None, None) => return Ok(None),
            (None, Some(other)) => return Err(EnvironmentError::NoMode(other.clone())),
            (Some("exec"), _) => Mode::Exec,
            (Some("file"), _) => Mode::File,
            (Some(other), _) => return Err(EnvironmentError::Mode(other.chars().take(64).collect())),
        };
        Ok(Some(Self {
            mode,
            variables: read(variables.ok_or(EnvironmentError::NoVariables)?)?,
            containers: containers.map(|text| {
                let names = text.split(',').map(str::trim);
                names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
            }),
        }))
    }
}

fn read(text: &str) -> Result<BTreeMap<String, Variable>, EnvironmentError> {
    let declared: Option<BTreeMap<String, VariableDeclaration>> =
        document::read(text).map_err(|error| EnvironmentError::Document(error.to_string()))?;
    let declared = declared.unwrap_or_default();
    if declared.is_empty() {
        return Err(EnvironmentError::NoVariables);
    }
    if declared.len() > VARIABLES {
        return Err(EnvironmentError::TooMany(VARIABLES, SECRETS));
    }
    declared
        .into_iter()
        .map(|(name, declared)| match declared.variable(&name) {
            Ok(variable) => Ok((name, variable)),
            Err(what) => Err(EnvironmentError::Variable { name, what }),
        })
        .collect()
}

/// A variable as it is written: a map, or `secret/key`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Map {
    secret: String,
    namespace: Option<String>,
    stage: Option<String>,
    version_id: Option<String>,
    #[serde(default, deserialize_with = "document::named")]
    key: Option<String>,
    template: Option<String>,
}

struct VariableDeclaration(Map);

impl VariableDeclaration {
    fn variable(self, name: &str) -> Result<Variable, &'static str> {
        let Map {
            secret,
            namespace,
            stage,
            version_id,
            key,
            template,
        } = self.0;
        let begins = name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !begins
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err("not a valid variable name: use letters, digits and `_`, and no digit first");
        }
        if secret.is_empty() {
            return Err("name the secret: `secret/key`, or a map with `secret` and `key`");
        }
        if stage.is_some() && version_id.is_some() {
            return Err("give only one of `stage` and `versionId`");
        }
        let content = match (key, template) {
            (Some(key), None) if !key.is_empty() => VariableContent::Key(key),
            (None, Some(template)) => VariableContent::Template(template),
            _ => return Err("give exactly one of `key` and `template`"),
        };
        Ok(Variable {
            secret: Reference {
                name: secret,
                namespace,
                stage,
                version_id,
            },
            content,
        })
    }
}

impl<'de> Deserialize<'de> for VariableDeclaration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Map;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`secret/key`, or a map with `secret` and `key`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Map, E> {
                // A secret's name may have a slash, a key has none.
                let (secret, key) = text.rsplit_once('/').unwrap_or(("", text));
                Ok(Map {
                    secret: secret.to_owned(),
                    key: Some(key.to_owned()),
                    ..Map::default()
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Map, A::Error> {
                Map::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_any(Either).map(Self)
    }
}
