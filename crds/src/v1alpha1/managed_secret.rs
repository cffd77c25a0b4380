//! Kind ManagedSecret: what secret exists, where its value comes from, and which native Secret shows it.
#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function, where `pub` reaches nobody"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_model::SECRET_NAME_BYTES;

use super::key_source::KeySource;
use super::native_secret::NativeSecret;
use super::text::{OBJECT_NAME, secret_name_pattern};
use crate::period::{Period, RECOVERY_WINDOW_RULE};

/// A secret of this namespace: where its value comes from, and which native Secret shows it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "strongroom.dev",
    version = "v1alpha1",
    kind = "ManagedSecret",
    doc = "A ManagedSecret is a secret of its namespace, kept encrypted in Strongroom's store with all its versions.",
    plural = "managedsecrets",
    shortname = "ms",
    category = "strongroom",
    namespaced,
    status = "ManagedSecretStatus",
    derive = "PartialEq",
    validation = Rule::new("(has(self.spec.storeName) ? self.spec.storeName : self.metadata.name) == \
        (has(oldSelf.spec.storeName) ? oldSelf.spec.storeName : oldSelf.metadata.name)")
        .message("storeName cannot be changed: make a new ManagedSecret")
        .field_path(".spec.storeName")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("has(self.spec.storeName) || size(self.metadata.name) <= 192")
        .message("a name in the store has at most 192 characters: choose a shorter metadata.name, or set spec.storeName")
        .field_path(".spec.storeName"),
    validation = Rule::new("!(has(oldSelf.spec.secret) && has(oldSelf.spec.secret.immutable) && oldSelf.spec.secret.immutable) || \
        !(has(self.spec.secret) && has(self.spec.secret.immutable) && self.spec.secret.immutable) || \
        self.spec.secret.name != oldSelf.spec.secret.name || \
        !has(self.spec.source.generate) || !has(oldSelf.spec.source.generate) || \
        (oldSelf.spec.source.generate.keys.all(key, key in self.spec.source.generate.keys) && \
         self.spec.source.generate.keys.all(key, key in oldSelf.spec.source.generate.keys && \
          (!has(self.spec.source.generate.keys[key].literal) || \
           (has(oldSelf.spec.source.generate.keys[key].literal) && \
            self.spec.source.generate.keys[key].literal == oldSelf.spec.source.generate.keys[key].literal))))")
        .message("the native Secret is immutable, so literals and the names of the keys cannot change: remove secret.immutable, or \
            choose another secret.name")
        .field_path(".spec.source.generate.keys")
        .reason(Reason::FieldValueForbidden),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Current", type_ = "string", json_path = ".status.stages.Current"),
    printcolumn(name = "Next Rotation", type_ = "string", json_path = ".status.nextRotation"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
// Where both were there before, an object whose spec does not change is let through: the API server looks at
// what changes.
#[x_kube(validation = Rule::new(
    "!(has(self.secret) && has(self.secret.immutable) && self.secret.immutable) || !has(self.source.generate) || \
     self.source.generate.keys.all(key, !has(self.source.generate.keys[key].x509) || \
      (has(self.source.generate.keys[key].x509.renewBefore) && \
       self.source.generate.keys[key].x509.renewBefore == 'never'))")
    .message("an immutable Secret keeps its value, so its certificate cannot be renewed: remove secret.immutable, or set \
        renewBefore of the x509 key to never")
    .field_path(".secret.immutable")
    .reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("!has(self.storeName) || !self.storeName.contains('!') || !has(self.readers)")
    .message("the secret belongs to a product, and policies alone say who reads it: remove readers")
    .field_path(".readers")
    .reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("!has(self.storeName) || !self.storeName.contains('!') || !has(self.source.__import__)")
    .message("the secret belongs to a product, which makes its value: choose another source than import")
    .field_path(".source")
    .reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new(
    "!has(self.storeName) || !self.storeName.contains('!') || !has(self.deletion) || !has(self.deletion.policy) || \
     self.deletion.policy != 'Retain'")
    .message("the secret of a product has no life without its object: remove deletion.policy")
    .field_path(".deletion.policy")
    .reason(Reason::FieldValueForbidden))]
pub struct ManagedSecretSpec {
    /// Name of the secret in the store. Absent: metadata.name. It cannot be changed. Letters, digits and
    /// `_/+=.@-`. A product names its secrets `<productCode>!<identifier>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = SECRET_NAME_BYTES))]
    #[x_kube(validation = Rule::new(
        "!self.contains('!') || (self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?![^!]+$') && !self.startsWith('strongroom!'))")
        .message("a name with `!` is the code of a SecretProduct, `!` and an identifier; the code `strongroom` is reserved"))]
    #[x_kube(validation = Rule::new("!self.matches('(^|/|!)[.][.]?(/|$)')")
        .message("a part of a name in the store is not `.` or `..`"))]
    #[x_kube(validation = Rule::new(format!("self.matches('{}')", secret_name_pattern("!")))
        .message("a name in the store has letters, digits and `_/+=.@-` only"))]
    pub store_name: Option<String>,
    /// What people should know about the secret. It is shown to whoever may describe it. At most 500
    /// characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub description: Option<String>,
    /// Where the value comes from. Set exactly one.
    #[x_kube(validation = Rule::new("has(oldSelf.__import__) || !has(self.__import__)")
        .message("a secret of another source cannot become an imported one: make a new ManagedSecret")
        .reason(Reason::FieldValueForbidden))]
    pub source: Source,
    /// Names of ServiceAccounts of this namespace that may read the secret over the API: the short form of a
    /// SecretPolicy.
    /// `*` stands for any characters, as in `batch-*`. Setting it needs the verb grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 253), regex(pattern = "^[-a-z0-9.*]+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub readers: Option<Vec<String>>,
    /// How volumes of pods get the secret. Absent: as each field says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// Name of the EncryptionKey of this namespace under which the value lies. It can be changed: the
    /// versions move, their values do not. Absent: a key that Strongroom keeps for the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    )]
    pub encryption_key: Option<String>,
    /// The native Secret of this namespace that always holds the current version. Absent: none is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<NativeSecret>,
    /// What happens to the secret when this object is deleted. Absent: it can be restored for 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// Stop working on this object: nothing is generated, imported, rotated or written, and its native Secret
    /// stays as it is. Absent: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// How volumes of pods get a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// What happens to the files of running pods when their access ends, or the secret does. Absent: Keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_revoke: Option<OnRevoke>,
    /// For how long a node that cannot reach Strongroom serves the secret to new pods of a ServiceAccount
    /// that was allowed it on that node, as in `12h`. A node that is cut off learns of nothing that is taken
    /// away meanwhile. `0s`: not at all. Absent: 24h.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(0s|[1-9][0-9]{0,4}[smhdw])$"))]
    pub offline_max_age: Option<String>,
}

/// What happens to files when access ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnRevoke {
    /// They stay as they are for as long as the pod runs.
    Keep,
    /// They go at once, with all others of the volume.
    Wipe,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Make the value.
    Generate(GenerateSource),
    /// Adopt a native Secret that exists: its content becomes the first version, and from then on strongroom
    /// owns it.
    Import(ImportSource),
    /// Values arrive over the API.
    External(ExternalSource),
    /// The value stands here, sealed for this cluster by `kubectl strongroom seal`, so that it can lie in
    /// Git.
    Sealed(SealedSource),
}

/// A value that stands in the object, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SealedSource {
    /// The keys of the value by name, each sealed for its place: for this cluster, this namespace, this
    /// secret and this key. When one of them changes, the value becomes a new version; what was sealed anew
    /// without a change does not. In all at most 140,000 characters: what 64 KiB in 32 keys make.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^[-._a-zA-Z0-9]{1,128}$'))")
        .message("a key has 1 to 128 letters, digits, `-`, `_` or `.`"))]
    #[x_kube(validation = Rule::new("self.map(key, size(self[key])).sum() <= 140000")
        .message("the sealed texts are longer than those of a value, which has at most 64 KiB"))]
    pub keys: BTreeMap<String, SealedKey>,
}

/// What `kubectl strongroom seal` wrote for one key of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend(
    "maxLength" = 90_000,
    "pattern" = "^strongroom1[.][0-9a-f]{16}[.][-_A-Za-z0-9]+[.][-_A-Za-z0-9]+$"
))]
pub struct SealedKey(pub String);

/// Values arrive over the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSource {
    /// Whether the object is not Ready before the first value has arrived. With `false` it is Ready without
    /// one, for a release that waits for its objects and brings the value afterwards. Absent: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
}

/// Make the value, each key in its own way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenerateSource {
    /// The keys of the value by name, and how each is made. A key that is added or taken out, and a literal
    /// that is edited, make a new version at once that keeps the others. A generator that is edited makes
    /// nothing anew by itself: the condition `GeneratorCurrent` has the command. In all at most 64 KiB.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^[-._a-zA-Z0-9]{1,128}$'))")
        .message("a key has 1 to 128 letters, digits, `-`, `_` or `.`"))]
    #[x_kube(validation = Rule::new(
        "self.map(key, has(self[key].literal) ? size(self[key].literal) : 0).sum() <= 65536")
        .message("the literals are larger than 64 KiB in all"))]
    #[x_kube(validation = Rule::new("self.filter(key, has(self[key].x509)).size() <= 1")
        .message("at most one x509 key: make one ManagedSecret per certificate"))]
    #[x_kube(validation = Rule::new(
        "self.all(key, !(has(self[key].ed25519) || has(self[key].rsa) || has(self[key].ecdsa)) || !((key + '.pub') in self))")
        .message("a key pair `<name>` makes `<name>.pub` as well: remove that key"))]
    #[x_kube(validation = Rule::new(
        "self.all(key, !has(self[key].x509) || \
         (!((key + '.key') in self) && !((key + '.crt') in self) && !('ca.crt' in self)))")
        .message("an x509 key `<name>` makes `<name>.key`, `<name>.crt` and `ca.crt` as well: remove those keys"))]
    #[x_kube(validation = Rule::new(
        "!('ca' in self) || !has(self.ca.x509) || !has(self.ca.x509.ca) || !has(self.ca.x509.ca.managedSecret)")
        .message("an x509 key named `ca` must sign itself, because `ca.crt` is the root: choose another name"))]
    pub keys: BTreeMap<String, KeySource>,
}

/// Adopt a native Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportSource {
    /// The native Secret, in this namespace.
    pub secret_ref: SecretReference,
}

/// A native Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the native Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
}

/// What happens to a secret when its ManagedSecret is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.recoveryWindow) || !has(self.policy) || self.policy != 'Retain'")
    .message("a retained secret has no recovery window: remove recoveryWindow or policy"))]
pub struct Deletion {
    /// How long the secret can be restored, 7d to 30d. Absent: 30d.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(RECOVERY_WINDOW_RULE)
        .message("recoveryWindow must be 7d to 30d, in whole days"))]
    pub recovery_window: Option<Period>,
    /// Delete opens the recovery window and removes the native Secret. Retain leaves the secret in the store
    /// and its native Secret where it is. Absent: Delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<DeletionPolicy>,
}

/// What deletion of the object means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "a documented variant turns the schema's plain enum into oneOf"
)]
pub enum DeletionPolicy {
    #[default]
    Delete,
    Retain,
}

/// What Strongroom last saw and did. Metadata only: never a value, nor a hash of one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedSecretStatus {
    /// The generation of the spec that this status describes; -1 until the controller first looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and others where they say something. The reason names the cause, the message what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Id of the secret in the store, 32 hexadecimal digits; never used for another secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub secret_id: Option<String>,
    /// Version by stage: Current, Previous, Pending and custom ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub stages: BTreeMap<String, String>,
    /// The newest versions, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub versions: Vec<VersionStatus>,
    /// Who has which version: volumes as their nodes acknowledged it, callers of the API by what they read
    /// last within a day, pods with the native Secret by their specs and start times. The newest versions
    /// first; a version that nobody has is not among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub consumers: Vec<VersionConsumers>,
    /// The native Secret that was written last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_secret: Option<NativeSecretStatus>,
    /// Set while the secret is in its recovery window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_deletion: Option<PendingDeletion>,
    /// When the value was last rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rotation: Option<Time>,
    /// When the value is rotated next, or its certificate renewed, whichever comes first; absent where
    /// neither does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<Time>,
    /// Name of the RotationSchedule that rotates this secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub rotation_schedule: Option<String>,
    /// The certificate that the current version holds: the one that the source makes, or `tls.crt` of a value
    /// that comes from elsewhere. Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
    /// Of a sealed source: ids of the cluster's keys that its texts are sealed for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 16)))]
    pub sealed_for: Vec<String>,
    /// When the current version was last found readable in the store, and the native Secret equal to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_verified: Option<Time>,
}

/// A certificate. It says what everybody can read in the certificate itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Its key in the value, such as `tls.crt`.
    #[schemars(length(max = 253))]
    pub key: String,
    /// When it begins.
    pub not_before: Time,
    /// When it ends.
    pub not_after: Time,
    /// When it is renewed; absent where it is not by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
}

/// Metadata of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionStatus {
    /// The version's id.
    #[schemars(length(max = 64))]
    pub id: String,
    /// Number of the version, counted from 1 for each secret.
    pub seq: i64,
    /// When it was made.
    pub created: Time,
    /// Stages that label the version, such as `Current`; absent if it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)))]
    pub stages: Vec<String>,
}

/// How many have a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionConsumers {
    /// The version's id.
    #[schemars(length(max = 64))]
    pub version_id: String,
    /// Volumes of `csi.strongroom.dev` that show it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub volumes: u32,
    /// Callers of the API that read it last.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub readers: u32,
    /// Pods that have it from the native Secret.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pods: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The native Secret that was written last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NativeSecretStatus {
    /// Name of the native Secret.
    #[schemars(length(max = 253))]
    pub name: String,
    /// UID of the native Secret: what makes it ours.
    #[schemars(length(max = 128))]
    pub uid: String,
    /// The version it holds.
    #[schemars(length(max = 64))]
    pub version_id: String,
    /// The versions that it held before, the newest first: what pods have that started then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub former: Vec<FormerVersion>,
}

/// A version that a native Secret held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FormerVersion {
    /// The version's id.
    #[schemars(length(max = 64))]
    pub version_id: String,
    /// When another one took its place.
    pub until: Time,
}

/// A secret in its recovery window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingDeletion {
    /// Id of the secret that can be restored.
    #[schemars(length(max = 32))]
    pub secret_id: String,
    /// When the window ends and the secret is destroyed.
    pub until: Time,
}
