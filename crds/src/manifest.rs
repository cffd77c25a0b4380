//! Reading manifests that people wrote.

use kube::core::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::v1alpha1::{EncryptionKey, ManagedSecret, RotationSchedule, SecretPolicy, SecretProduct};

/// Largest manifest that is read, in bytes; etcd takes no larger object.
const MANIFEST_BYTES: usize = 1_572_864;

/// An object of one of our kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// An EncryptionKey.
    EncryptionKey(Box<EncryptionKey>),
    /// A ManagedSecret.
    ManagedSecret(Box<ManagedSecret>),
    /// A RotationSchedule.
    RotationSchedule(Box<RotationSchedule>),
    /// A SecretPolicy.
    SecretPolicy(Box<SecretPolicy>),
    /// A SecretProduct.
    SecretProduct(Box<SecretProduct>),
}

/// Why a manifest was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// More bytes than an object may have.
    TooLarge,
    /// Not YAML, or not the YAML of an object.
    NotYaml {
        /// What the parser says.
        what: String,
    },
    /// An object of an API version or kind that is not ours.
    UnknownKind {
        /// The `apiVersion`.
        api_version: String,
        /// The `kind`, of whatever group.
        kind: String,
    },
    /// A field is missing, of the wrong type or out of its range.
    Malformed {
        /// What is wrong, and where.
        what: String,
    },
    /// Fields that the kind does not have.
    UnknownFields {
        /// Where they stand in the object, such as `spec.statements[0].efect`.
        paths: Vec<String>,
    },
}

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the manifest is larger than {MANIFEST_BYTES} bytes"),
            Self::NotYaml { what } => write!(f, "not a YAML object: {what}"),
            Self::UnknownKind { api_version, kind } => {
                write!(
                    f,
                    "`{kind}` of `{api_version}` is not a kind of strongroom.dev/v1alpha1"
                )
            }
            Self::Malformed { what } => write!(f, "malformed object: {what}"),
            Self::UnknownFields { paths } => {
                write!(f, "unknown fields: {}", paths.join(", "))
            }
        }
    }
}

impl std::error::Error for ManifestError {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeMeta {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
}

/// Reads one YAML or JSON document as the API server with strict field validation would: an unknown field is
/// an error. CEL rules are not evaluated. Any text gives an answer, none a panic.
///
/// # Errors
/// A [`ManifestError`] that names the field.
pub fn parse_manifest(text: &str) -> Result<Manifest, ManifestError> {
    if text.len() > MANIFEST_BYTES {
        return Err(ManifestError::TooLarge);
    }
    let object: Value = serde_saphyr::from_str(text).map_err(|error| ManifestError::NotYaml {
        what: error.to_string(),
    })?;
    let meta: TypeMeta = TypeMeta::deserialize(&object).map_err(|_| ManifestError::NotYaml {
        what: "there is no apiVersion and kind".to_owned(),
    })?;
    if meta.api_version != ManagedSecret::api_version(&()) {
        return Err(ManifestError::UnknownKind {
            api_version: meta.api_version,
            kind: meta.kind,
        });
    }
    match meta.kind.as_str() {
        "EncryptionKey" => Ok(Manifest::EncryptionKey(Box::new(strict(&object)?))),
        "ManagedSecret" => Ok(Manifest::ManagedSecret(Box::new(strict(&object)?))),
        "RotationSchedule" => Ok(Manifest::RotationSchedule(Box::new(strict(&object)?))),
        "SecretPolicy" => Ok(Manifest::SecretPolicy(Box::new(strict(&object)?))),
        "SecretProduct" => Ok(Manifest::SecretProduct(Box::new(strict(&object)?))),
        _ => Err(ManifestError::UnknownKind {
            api_version: meta.api_version,
            kind: meta.kind,
        }),
    }
}

/// Reads an object and refuses the fields that reading loses.
fn strict<K: DeserializeOwned + Serialize>(object: &Value) -> Result<K, ManifestError> {
    let malformed = |error: serde_json::Error| ManifestError::Malformed {
        what: error.to_string(),
    };
    let kind: K = K::deserialize(object).map_err(malformed)?;
    let kept = serde_json::to_value(&kind).map_err(malformed)?;
    let mut paths = Vec::new();
    lost_fields(object, Some(&kept), &mut String::new(), &mut paths);
    if paths.is_empty() {
        Ok(kind)
    } else {
        Err(ManifestError::UnknownFields { paths })
    }
}

/// Collects the paths of the fields of `read` that are not in `kept`. A null, an empty list and an empty
/// object count as absent, as they do for the API server's optional fields.
fn lost_fields(read: &Value, kept: Option<&Value>, path: &mut String, lost: &mut Vec<String>) {
    let length = path.len();
    match (read, kept) {
        (Value::Object(read), Some(Value::Object(kept))) => {
            for (name, value) in read {
                path.push('.');
                path.push_str(name);
                lost_fields(value, kept.get(name), path, lost);
                path.truncate(length);
            }
        }
        (Value::Array(read), Some(Value::Array(kept))) => {
            for (index, value) in read.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                lost_fields(value, kept.get(index), path, lost);
                path.truncate(length);
            }
        }
        (Value::Null, None) => {}
        (Value::Array(items), None) if items.is_empty() => {}
        (Value::Object(fields), None) if fields.is_empty() => {}
        (_, None) => lost.push(path.trim_start_matches('.').to_owned()),
        (_, Some(_)) => {}
    }
}
