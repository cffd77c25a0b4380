//! Parts of our objects, for whoever keeps or reads many objects and needs little of each: the rest is
//! skipped, not parsed. An object that does not fit elsewhere still gives its parts.
//!
//! Each view is made from the type it is a part of, so that a field which is renamed there does not compile
//! here; that both read the same JSON alike is a test (`tests/views.rs`).

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::v1alpha1::{
    Delivery, EncryptionKeySpec, EncryptionKeyState, EncryptionKeyStatus, ManagedSecretSpec,
    ManagedSecretStatus, PolicyIdentities, SecretPolicySpec, SecretPolicyStatus, Source, VersionConsumers,
};

/// An object of ours, of which only parts of the spec and of the status are read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(
    default,
    bound(deserialize = "S: Default + Deserialize<'de>, T: Default + Deserialize<'de>")
)]
pub struct PartialObject<S, T = IgnoredAny> {
    /// What is read of `spec`.
    pub spec: S,
    /// What is read of `status`.
    pub status: T,
}

/// A view: each field as the whole has it.
macro_rules! views {
    ($(
        $(#[$doc:meta])*
        $view:ident of $whole:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $view {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl From<$whole> for $view {
            fn from(whole: $whole) -> Self {
                Self {
                    $($field: whole.$field.into(),)*
                }
            }
        }
    )*};
}

views! {
    /// Which key the value of a ManagedSecret lies under.
    KeyReference of ManagedSecretSpec {
        /// Name of the EncryptionKey.
        encryption_key: Option<String>,
    }

    /// Where the value of a ManagedSecret comes from.
    ValueOrigin of ManagedSecretSpec {
        /// Absent where there is none that is known.
        source: Option<Source>,
    }

    /// Who has which version, as the status of a ManagedSecret counts it.
    CountedConsumers of ManagedSecretStatus {
        /// By version.
        consumers: Vec<VersionConsumers>,
    }

    /// Which secrets must lie under an EncryptionKey.
    KeyRequirement of EncryptionKeySpec {
        /// Names and patterns.
        required_for: Option<Vec<String>>,
    }

    /// Whether an EncryptionKey can be used, as its status says.
    ObservedKeyState of EncryptionKeyStatus {
        /// Absent before the controller first looked.
        state: Option<EncryptionKeyState>,
    }

    /// What a SecretPolicy is attached to.
    PolicyAttachment of SecretPolicySpec {
        /// Whose rights the statements are.
        identities: Option<PolicyIdentities>,
        /// Which secrets they are about.
        secrets: Option<Vec<String>>,
    }

    /// What is in force of a SecretPolicy, as its status says.
    PolicyInForce of SecretPolicyStatus {
        /// Absent where nothing ever was.
        generation_in_force: Option<i64>,
    }
}

/// The part of a ManagedSecret that the API uses: who may read it, and how its values arrive and are
/// delivered.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretAccess {
    /// Absent: the name of the object.
    pub store_name: Option<String>,
    /// Names of ServiceAccounts, and patterns.
    pub readers: Option<Vec<String>>,
    /// Name of the EncryptionKey.
    pub encryption_key: Option<String>,
    /// How volumes get it.
    pub delivery: Option<Delivery>,
    /// Whether values arrive over the API.
    pub source: SourceKind,
    /// The native Secret that it is written to.
    pub secret: Option<NativeSecretName>,
}

impl From<ManagedSecretSpec> for SecretAccess {
    fn from(whole: ManagedSecretSpec) -> Self {
        Self {
            store_name: whole.store_name,
            readers: whole.readers,
            encryption_key: whole.encryption_key,
            delivery: whole.delivery,
            source: whole.source.into(),
            secret: whole.secret.map(|native| NativeSecretName { name: native.name }),
        }
    }
}

/// A native Secret, by name alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NativeSecretName {
    /// In the namespace of the object.
    pub name: String,
}

/// Which source it is, and nothing of what stands in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceKind {
    external: Option<IgnoredAny>,
}

impl SourceKind {
    /// Whether values arrive over the API.
    #[must_use]
    pub const fn is_external(self) -> bool {
        self.external.is_some()
    }
}

impl From<Source> for SourceKind {
    fn from(whole: Source) -> Self {
        Self {
            external: match whole {
                Source::External(_) => Some(IgnoredAny),
                Source::Generate(_) | Source::Import(_) | Source::Sealed(_) => None,
            },
        }
    }
}
