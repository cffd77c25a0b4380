//! What is known of one `ManagedSecret` while it is looked at: what is decided on, and what a step needs
//! beside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use strongroom_crds::v1alpha1::{ManagedSecret, RotationSchedule};
use strongroom_model::id::{KeyId, NamespaceId};
use strongroom_model::name::VersionId;
use strongroom_rules::managed_secret::facts::SecretFacts;
use strongroom_rules::rotation::RotationRequester;
use strongroom_store::value::Value;
use strongroom_store::vault::SecretView;

use super::import::ImportContent;
use super::native::RenderedSecret;
use crate::controllers::cluster::NativeRevision;
use crate::controllers::identity::Identity;

/// What was read of one object.
pub(super) struct ObservedSecret {
    /// What to decide on.
    pub(super) facts: SecretFacts,
    /// Namespace, name and UID of the object.
    pub(super) identity: Identity,
    pub(super) object: ManagedSecret,
    /// Its namespace in the store.
    pub(super) namespace: Option<NamespaceId>,
    /// The customer's key that it is to come under, where there is one of the wanted name.
    pub(super) key: Option<KeyId>,
    /// Its secret in the store.
    pub(super) view: Option<SecretView>,
    /// Id and value of the current version, where it had to be opened.
    pub(super) current: Option<(VersionId, Value)>,
    /// What the native Secret has to be, where the current version was opened.
    pub(super) desired: Option<RenderedSecret>,
    /// The native Secret, where it was read.
    pub(super) native: Option<Secret>,
    /// The state of the native Secret that is judged, whether it was read or is known.
    pub(super) over: Option<NativeRevision>,
    /// The native Secret was found right before, with the same spec and the same version.
    pub(super) was_settled: bool,
    /// The content to import or to readopt.
    pub(super) import: Option<ImportContent>,
    /// The one schedule that covers it.
    pub(super) schedule: Option<Arc<RotationSchedule>>,
    /// Keys whose generator changed after they were made.
    pub(super) changed_generators: Vec<String>,
    /// Who asks for the rotation that is due by request.
    pub(super) requesters: Vec<RotationRequester>,
    /// What a sealed source is sealed for.
    pub(super) sealed_for: Option<SealedFor>,
    /// When the object was last verified to be as wanted.
    pub(super) verified: Option<Timestamp>,
}

/// Which keys of the cluster a sealed source is sealed for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SealedFor {
    /// Ids of the keys that the sealed texts name.
    pub(super) ids: BTreeSet<String>,
    /// The id of the newest one, where it is known.
    pub(super) newest: Option<String>,
}
