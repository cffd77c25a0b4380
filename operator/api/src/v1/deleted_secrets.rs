//! ListDeletedSecrets and PurgeDeletedSecrets.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From where on.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListDeletedSecretsQuery {
    /// `next` of the page before; absent at the beginning.
    #[serde(default)]
    pub after: Option<String>,
}

/// A page.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeletedSecrets")]
pub struct DeletedSecretsPage {
    pub secrets: Vec<DeletedSecretAnswer>,
    /// What to send as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// When this was so.
    pub time: Timestamp,
    /// What the namespace has of the store.
    pub used: StoreUsage,
    /// What it may have.
    pub limit: StoreLimit,
}

/// A secret in its recovery window.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeletedSecret")]
pub struct DeletedSecretAnswer {
    pub name: String,
    /// When it was deleted.
    pub deleted: Timestamp,
    /// When its recovery window ends.
    pub until: Timestamp,
    pub versions: usize,
    /// Bytes that it takes of the store.
    pub bytes: u64,
}

/// Some of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Room")]
pub struct StoreUsage {
    /// Secrets, those in recovery windows included.
    pub secrets: u64,
    /// Bytes of their rows.
    pub bytes: u64,
}

/// The end of that, where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RoomLimit")]
pub struct StoreLimit {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// What is sent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PurgeDeletedSecretsRequest {
    /// What was deleted, or deleted again, after this stays: the `time` of the list that somebody has seen.
    pub deleted_before: Timestamp,
}

/// What comes of it.
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
