//! The native Secret that a value becomes: data, type and metadata. Who owns it, and when it is written, is
//! decided elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::NativeSecret;
use strongroom_render::mismatch::Mismatch;
use strongroom_render::native::{self, DataError, Recipe};

use self::owners::Part;
use crate::value::Value;

pub mod claim;
pub mod edits;
pub mod foreign_metadata;
pub mod owners;
pub mod repairs;

#[cfg(test)]
mod tests;

/// Type of a Secret that names none: <https://kubernetes.io/docs/concepts/configuration/secret/#secret-types>.
pub const OPAQUE: &str = "Opaque";
/// Annotation of our native Secrets: the version whose value they hold.
pub const VERSION_ANNOTATION: &str = "strongroom.dev/version";
/// Annotation of our native Secrets: the ManagedSecret they come from. A hint for people; ownership is the
/// stored UID.
pub const SOURCE_ANNOTATION: &str = "strongroom.dev/managed-secret";
/// Annotation of native Secrets that others made and we took over: what the spec leaves open stays as it was.
pub const ADOPTED_ANNOTATION: &str = "strongroom.dev/adopted";
/// Annotation of our native Secrets that stay as they are for now: why, in the word of the condition.
pub const HELD_ANNOTATION: &str = "strongroom.dev/held";
/// Annotation of our native Secrets: the id of the stored secret. With the right content it shows that an
/// unrecorded create was ours.
pub const SECRET_ID_ANNOTATION: &str = "strongroom.dev/secret-id";
/// Label of our native Secrets, so that people can list them.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "strongroom");
/// Labels and annotations with this prefix are ours.
const OWN_PREFIX: &str = "strongroom.dev/";

/// Why a value does not become a native Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NativeSecretError {
    /// A type that is a credential for the cluster itself.
    #[error(
        "strongroom does not write Secrets of type `{type_}`, because they are credentials for the cluster itself"
    )]
    RefusedType {
        /// The type, such as `kubernetes.io/service-account-token`.
        type_: String,
    },
    /// A label or annotation that is ours.
    #[error("`{key}` starts with `strongroom.dev/`: only strongroom sets such labels and annotations")]
    ReservedMetadata {
        /// The label or annotation.
        key: String,
    },
    /// The data cannot be made, whatever is in the value.
    #[error(transparent)]
    Data(DataError),
    /// The value does not fit the templates or the type.
    #[error("{mismatch}; `kubectl strongroom render {managed_secret}` says where and why")]
    Mismatch {
        /// What is asked of the value.
        mismatch: Mismatch,
        /// Name of the ManagedSecret.
        managed_secret: String,
        /// Whether it has templates.
        templated: bool,
    },
}

impl NativeSecretError {
    /// The reason of the condition.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Data(DataError::Template(_) | DataError::Mismatch(_))
            | Self::Mismatch { templated: true, .. } => Reason::TemplateInvalid,
            Self::RefusedType { .. }
            | Self::ReservedMetadata { .. }
            | Self::Data(DataError::UnknownKey { .. } | DataError::MissingForType { .. })
            | Self::Mismatch { templated: false, .. } => Reason::NativeSecretInvalid,
        }
    }
}

/// What a native Secret is to hold.
#[derive(Debug, PartialEq, Eq)]
pub struct NativeSecretContent {
    /// Its `type`, which never changes: another one needs a new Secret.
    pub type_: String,
    /// Whether it is marked immutable.
    pub immutable: bool,
    /// The labels that we set; others may set more.
    pub labels: BTreeMap<String, String>,
    /// The annotations that we set; others may set more.
    pub annotations: BTreeMap<String, String>,
    /// Its `data`, not yet in base64.
    pub data: Value,
}

/// Where a native Secret comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Name of the ManagedSecret.
    pub managed_secret: &'a str,
    /// Id of the version that its data are of.
    pub version_id: &'a str,
}

/// A difference between a native Secret as it is and as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// Data, labels or annotations: a write repairs it.
    Content,
    /// The type, or the data of an immutable Secret: only a new Secret repairs it.
    Replace,
}

/// Something that only a new Secret could change, with what of the spec would keep the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImmutableField {
    /// It is of another type.
    Type {
        /// The type that it has.
        found: String,
    },
    /// It is immutable, and the spec wants it otherwise.
    Immutable,
    /// It is immutable, and its data are others.
    Data,
}

impl fmt::Display for ImmutableField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { found } => {
                write!(f, "its type is `{found}`: set `spec.secret.type: {found}`, or leave the type out")
            }
            Self::Immutable => {
                f.write_str("it is immutable: set `spec.secret.immutable: true`, or leave that out")
            }
            Self::Data => f.write_str(
                "it is immutable and `spec.secret` asks for other data: take `keys` and `template` out of `spec.secret`",
            ),
        }
    }
}

/// Whether Secrets of this type are credentials for the cluster itself, which are neither written nor
/// imported.
#[must_use]
pub fn refused_type(type_: &str) -> bool {
    matches!(
        type_,
        "kubernetes.io/service-account-token" | "bootstrap.kubernetes.io/token"
    )
}

/// What the native Secret of this spec is to hold.
///
/// # Errors
/// A [`NativeSecretError`]; it names keys and fields, never bytes.
pub fn content(
    spec: &NativeSecret,
    value: &Value,
    origin: Origin<'_>,
) -> Result<NativeSecretContent, NativeSecretError> {
    let type_ = spec.type_.clone().unwrap_or_else(|| OPAQUE.to_owned());
    if refused_type(&type_) {
        return Err(NativeSecretError::RefusedType { type_ });
    }
    let recipe = Recipe {
        type_: &type_,
        keys: spec.keys.as_deref(),
        templates: spec.template.as_ref(),
    };
    let data = native::data(recipe, value).map_err(|error| match error {
        DataError::Mismatch(mismatch) => NativeSecretError::Mismatch {
            mismatch,
            managed_secret: origin.managed_secret.to_owned(),
            templated: spec
                .template
                .as_ref()
                .is_some_and(|templates| !templates.is_empty()),
        },
        other => NativeSecretError::Data(other),
    })?;

    let mut labels = own_metadata(spec.labels.as_ref())?;
    labels
        .entry(MANAGED_BY.0.to_owned())
        .or_insert_with(|| MANAGED_BY.1.to_owned());
    let mut annotations = own_metadata(spec.annotations.as_ref())?;
    annotations.insert(SOURCE_ANNOTATION.to_owned(), origin.managed_secret.to_owned());
    annotations.insert(VERSION_ANNOTATION.to_owned(), origin.version_id.to_owned());
    Ok(NativeSecretContent {
        type_,
        immutable: spec.immutable == Some(true),
        labels,
        annotations,
        data,
    })
}

fn own_metadata(
    wanted: Option<&BTreeMap<String, String>>,
) -> Result<BTreeMap<String, String>, NativeSecretError> {
    let wanted = wanted.cloned().unwrap_or_default();
    match wanted.keys().find(|key| key.starts_with(OWN_PREFIX)) {
        Some(key) => Err(NativeSecretError::ReservedMetadata { key: key.clone() }),
        None => Ok(wanted),
    }
}

impl NativeSecretContent {
    /// The native Secret as it is sent. Its bytes are not wiped any more: keep it short.
    #[must_use]
    pub fn to_secret(&self, namespace: &str, name: &str) -> Secret {
        let data = self
            .data
            .iter()
            .map(|(key, bytes)| (key.to_owned(), ByteString(bytes.expose().to_vec())));
        Secret {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(name.to_owned()),
                labels: Some(self.labels.clone()),
                annotations: Some(self.annotations.clone()),
                ..ObjectMeta::default()
            },
            type_: Some(self.type_.clone()),
            immutable: Some(self.immutable),
            data: Some(data.collect()),
            string_data: None,
        }
    }

    /// Takes on what the spec leaves open of a Secret that others made: its type, its immutability, and the
    /// label that says who manages it.
    pub fn adopt(&mut self, spec: &NativeSecret, found: &Secret) {
        if let (None, Some(type_)) = (&spec.type_, &found.type_) {
            self.type_.clone_from(type_);
        }
        if spec.immutable.is_none() {
            self.immutable = found.immutable == Some(true);
        }
        let labels = [&spec.labels, &found.metadata.labels].map(|labels| labels.as_ref()?.get(MANAGED_BY.0));
        if let [None, Some(theirs)] = labels
            && theirs != MANAGED_BY.1
        {
            self.labels.remove(MANAGED_BY.0);
        }
        self.annotations
            .insert(ADOPTED_ANNOTATION.to_owned(), "true".to_owned());
    }

    /// What of a native Secret only a new one could change.
    #[must_use]
    pub fn immutable_fields(&self, found: &Secret) -> Vec<ImmutableField> {
        let immutable = found.immutable == Some(true);
        let type_ = found.type_.as_deref().unwrap_or(OPAQUE);
        let mut fixed = Vec::new();
        if type_ != self.type_ {
            let found = type_.to_owned();
            fixed.push(ImmutableField::Type { found });
        }
        if immutable && !self.immutable {
            fixed.push(ImmutableField::Immutable);
        }
        if immutable && !self.same_data(found) {
            fixed.push(ImmutableField::Data);
        }
        fixed
    }

    fn same_data(&self, found: &Secret) -> bool {
        let no_data = BTreeMap::new();
        let found = found.data.as_ref().unwrap_or(&no_data);
        found.len() == self.data.iter().count()
            && self
                .data
                .iter()
                .all(|(key, bytes)| found.get(key).is_some_and(|found| found.0 == bytes.expose()))
    }

    /// The copies of an old value that tools left on a Secret, and that the spec does not ask for.
    pub fn copies(&self, found: &Secret) -> impl Iterator<Item = &'static str> {
        claim::copies(&found.metadata).filter(|key| !self.annotations.contains_key(*key))
    }

    /// How a native Secret differs from this content, if it does. Labels and annotations that others set are
    /// theirs, but for copies of its data; those that are ours go when the spec names them no more.
    #[must_use]
    pub fn drift(&self, found: &Secret) -> Option<Drift> {
        let holds = |found: Option<&BTreeMap<String, String>>, wanted: &BTreeMap<String, String>| {
            wanted
                .iter()
                .all(|(key, value)| found.and_then(|found| found.get(key)) == Some(value))
        };
        let same_metadata = holds(found.metadata.labels.as_ref(), &self.labels)
            && holds(found.metadata.annotations.as_ref(), &self.annotations)
            && !self.owns_surplus(found);
        if !self.immutable_fields(found).is_empty() {
            Some(Drift::Replace)
        } else if !self.same_data(found)
            || !same_metadata
            || self.immutable != (found.immutable == Some(true))
            || self.copies(found).next().is_some()
        {
            Some(Drift::Content)
        } else {
            None
        }
    }

    /// Whether our manager owns what this content lacks, or owns anything in a way that no apply takes back.
    fn owns_surplus(&self, found: &Secret) -> bool {
        let entries = found.metadata.managed_fields.as_deref().unwrap_or_default();
        owners::applied(entries).is_some()
            || Part::ALL
                .into_iter()
                .any(|part| owners::ours(entries, part).iter().any(|key| !self.has(part, key)))
    }

    /// Whether this content names the key.
    fn has(&self, part: Part, key: &str) -> bool {
        match part {
            Part::Labels => self.labels.contains_key(key),
            Part::Annotations => self.annotations.contains_key(key),
            Part::Data => self.data.key(key).is_some(),
        }
    }
}
