//! ListDeletedSecrets and PurgeDeletedSecrets.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which page of the deleted secrets is answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListDeletedSecretsQuery {
    /// `next` of the page before; absent at the beginning.
    #[serde(default)]
    pub after: Option<String>,
}

/// Secrets of one namespace in their recovery windows, in pages.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeletedSecrets")]
pub struct DeletedSecretsPage {
    pub secrets: Vec<DeletedSecretAnswer>,
    /// What to send as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// When the page was made (RFC 3339): as `deletedBefore` of a purge, it spares what was deleted later.
    pub time: Timestamp,
    /// What the namespace takes of the store.
    pub used: StoreUsage,
    /// What the namespace may take of the store.
    pub limit: StoreLimit,
}

/// A secret in its recovery window.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeletedSecret")]
pub struct DeletedSecretAnswer {
    /// Name of the secret in the store.
    pub name: String,
    /// When it was deleted (RFC 3339).
    pub deleted: Timestamp,
    /// When its recovery window ends (RFC 3339).
    pub until: Timestamp,
    /// Number of its versions.
    pub versions: usize,
    /// Bytes that it takes of the store.
    pub bytes: u64,
}

/// How much of the store a namespace takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Room")]
pub struct StoreUsage {
    /// Secrets, those in recovery windows included.
    pub secrets: u64,
    /// Bytes of their rows.
    pub bytes: u64,
}

/// How much of the store a namespace may take; what is absent has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RoomLimit")]
pub struct StoreLimit {
    /// Secrets, those in recovery windows included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<u64>,
    /// Bytes of their rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Which of the deleted secrets of a namespace are destroyed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PurgeDeletedSecretsRequest {
    /// What was deleted, or deleted again, after this stays: the `time` of the list that somebody has seen.
    pub deleted_before: Timestamp,
}

/// How much was destroyed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Purged")]
pub struct PurgeDeletedSecretsAnswer {
    /// Secrets that are destroyed.
    pub destroyed: u64,
    /// Bytes that they took of the store.
    pub bytes: u64,
    /// Whether there are more: send the same again.
    pub more: bool,
}
