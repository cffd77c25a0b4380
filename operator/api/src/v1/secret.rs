//! Secrets without their values: CreateSecret, DescribeSecret, ListSecrets, UpdateSecret, DeleteSecret,
//! RestoreSecret.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::patterns::{DNS_LABEL_PATTERN, LABEL_PATTERN, SECRET_NAME_PATTERN, VERSION_ID_PATTERN};
use super::value::{SealedData, ValueData};
use crate::hosting::HostingMode;

/// A secret without its value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Secret")]
pub struct SecretAnswer {
    pub namespace: String,
    pub name: String,
    /// Name of the EncryptionKey that it lies under; absent where that is the namespace's default key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_key: Option<String>,
    /// Code of the product that owns the secret; absent where the secret is no default secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owning_product: Option<String>,
    /// How a default secret is hosted; absent where the secret is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosting: Option<HostingMode>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// When it was made (RFC 3339).
    pub created: Timestamp,
    /// When it changed last (RFC 3339).
    pub updated: Timestamp,
    /// When it was rotated last (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rotation: Option<Timestamp>,
    /// When it is destroyed (RFC 3339); only while it is in its recovery window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Timestamp>,
    /// Id of the version that has the stage, for each stage.
    pub stages: BTreeMap<String, String>,
}

/// Secrets of a namespace that the caller may list, in order of their names, in pages.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Page")]
pub struct SecretsPage {
    pub secrets: Vec<SecretAnswer>,
    /// What to send as `after` for the next page; absent on the last one. It is a name of this page, or a
    /// text that tells no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which secrets are listed. `label` may be there several times in a query, so that a gateway reads it by
/// hand.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct ListSecretsQuery {
    /// Secrets a page, 1 to 100; 50 where absent.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// `next` of the page before, or a name; absent at the beginning.
    pub after: Option<String>,
    /// A text that the name contains.
    pub name: Option<String>,
    /// A text that the description contains.
    pub description: Option<String>,
    /// A label that the secret has, as `key` or `key=value`; several times for several.
    #[schemars(length(max = 10))]
    pub label: Option<Vec<String>>,
}

/// A secret and its first version; the value is in `data` or in `sealed`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["data"]}, {"required": ["sealed"]}]))]
pub struct CreateSecretRequest {
    /// Name of the secret in the store.
    #[schemars(regex(pattern = SECRET_NAME_PATTERN))]
    pub name: String,
    /// Id of the version, of the caller's choice: the idempotency token of the request.
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub version_id: String,
    /// The value: up to 64 KiB in all, each key in base64 (RFC 4648 section 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "propertyNames" = {"pattern": "^[-_a-zA-Z0-9]{1,128}$"}))]
    pub data: Option<ValueData>,
    /// The same, sealed for a key of CreateSealingKey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedData>,
    /// A text for people, 1 to 500 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 500))]
    pub description: Option<String>,
    /// Labels as Kubernetes has them, at most 48.
    #[serde(default)]
    #[schemars(extend(
        "maxProperties" = 48,
        "propertyNames" = {"pattern": LABEL_PATTERN},
        "additionalProperties" = {"type": "string", "pattern": LABEL_PATTERN}
    ))]
    pub labels: BTreeMap<String, String>,
    /// Name of the EncryptionKey that it comes under; absent: the namespace's default key.
    #[serde(default)]
    #[schemars(regex(pattern = DNS_LABEL_PATTERN))]
    pub encryption_key: Option<String>,
}

/// A change of the metadata, or of a default secret's key, as a JSON merge patch (RFC 7396).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateSecretRequest {
    /// A text for people, 1 to 500 characters; null removes it.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1, max = 500))]
    pub description: Option<Option<String>>,
    /// Labels as Kubernetes has them, at most 48; null removes one.
    #[serde(default)]
    #[schemars(extend(
        "maxProperties" = 48,
        "propertyNames" = {"pattern": LABEL_PATTERN},
        "additionalProperties" = {"type": ["string", "null"], "pattern": LABEL_PATTERN}
    ))]
    pub labels: BTreeMap<String, Option<String>>,
    /// Name of the EncryptionKey under which a default secret comes, by its product alone: from free hosting
    /// to paid. Null is back to the namespace's default key, where the tenant allows it.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = DNS_LABEL_PATTERN))]
    pub encryption_key: Option<Option<String>>,
}

/// Tells `null` from a field that is not there.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// What becomes of the secret; `recoveryWindowDays` and `force` exclude each other.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "How")]
pub struct DeleteSecretQuery {
    /// Days of the recovery window, 7 to 30.
    #[serde(default)]
    #[schemars(range(min = 7, max = 30))]
    pub recovery_window_days: Option<u32>,
    /// Destroys the secret at once, without a recovery window.
    #[serde(default)]
    pub force: bool,
}

/// What becomes of the secret.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Deleted")]
pub struct DeleteSecretAnswer {
    /// When it is destroyed (RFC 3339); absent where it already is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Timestamp>,
}
