//! Kind EncryptionKey: a customer's key, under which secrets of its namespace lie.
#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function, where `pub` reaches nobody"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_model::SECRET_NAME_BYTES;

use super::text::secret_name_pattern;
use crate::period::{Period, RECOVERY_WINDOW_RULE};

/// A key of this namespace, under which its secrets lie.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "strongroom.dev",
    version = "v1alpha1",
    kind = "EncryptionKey",
    doc = "An EncryptionKey is a customer's key, under which secrets of its namespace lie. Its material never leaves the store.",
    plural = "encryptionkeys",
    shortname = "ekey",
    category = "strongroom",
    namespaced,
    status = "EncryptionKeyStatus",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')")
        .message("the name of an EncryptionKey has up to 63 lower-case letters, digits and `-`"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Secrets", type_ = "integer", json_path = ".status.secrets"),
    printcolumn(name = "Next Rotation", type_ = "string", json_path = ".status.nextRotation"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct EncryptionKeySpec {
    /// Whether the key works. While it does not, the secrets under it can be neither read nor written nor
    /// rotated; enabling it brings everything back as it was. Absent: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Names of secrets of this namespace that must lie under this key; `*` stands for any characters, as in
    /// `card-*`. A ManagedSecret of such a name that names no key or another one is refused. Those from
    /// before say `KeyRequired`. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = SECRET_NAME_BYTES), regex(pattern = secret_name_pattern("*"))),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub required_for: Option<Vec<String>>,
    /// When the key gets a new version, under which the secrets are wrapped anew. Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<KeyRotation>,
    /// What happens to the key when this object is deleted. Absent: it is destroyed after 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<KeyDeletion>,
}

/// When a key gets a new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRotation {
    /// The time from one version to the next, 7d to 365d.
    #[x_kube(validation = Rule::new("self.matches('^([7-9]|[1-9][0-9]|[12][0-9]{2}|3[0-5][0-9]|36[0-5])d$')")
        .message("every must be 7d to 365d, in whole days"))]
    pub every: Period,
}

/// What happens to a key when its object is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyDeletion {
    /// How long the key can still be had back, by applying the object again, 7d to 30d. Absent: 30d.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(RECOVERY_WINDOW_RULE)
        .message("window must be 7d to 30d, in whole days"))]
    pub window: Option<Period>,
}

/// Whether a key can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "a documented variant turns the schema's plain enum into oneOf"
)]
pub enum EncryptionKeyState {
    Enabled,
    Disabled,
    PendingDeletion,
}

/// What Strongroom last saw and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EncryptionKeyStatus {
    /// The generation of the spec that this status describes; -1 until the controller first looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and others where they say something. The reason names the cause, the message what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Id of the key in the store, 32 hexadecimal digits; never used for another key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub key_id: Option<String>,
    /// Whether it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<EncryptionKeyState>,
    /// The version that new values come under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_version: Option<i64>,
    /// Number of secrets that depend on the key, those in a recovery window included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<i64>,
    /// Number of versions of secrets that the key wraps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_versions: Option<i64>,
    /// Number of versions of its secrets that are still wrapped by another key or an older version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrap_pending: Option<i64>,
    /// When the primary version was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rotation: Option<Time>,
    /// When the next version is made; absent without a rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<Time>,
    /// When the key last opened or wrapped a value, to the hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Time>,
}
