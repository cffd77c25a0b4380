//! Secrets without their values: CreateSecret, DescribeSecret, ListSecrets, UpdateSecret, DeleteSecret,
//! RestoreSecret.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::patterns::{DNS_LABEL_PATTERN, LABEL_PATTERN, SECRET_NAME_PATTERN, VERSION_ID_PATTERN};
use super::value::{SealedData, ValueData};

/// A secret without its value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Secret")]
pub struct SecretAnswer {
    pub namespace: String,
    pub name: String,
    /// The customer's key that it comes under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_key: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rotation: Option<Timestamp>,
    /// While the secret is in its recovery window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Timestamp>,
    pub stages: BTreeMap<String, String>,
}

/// A page of secrets.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Page")]
pub struct SecretsPage {
    pub secrets: Vec<SecretAnswer>,
    /// What to send as `after` for the next page; absent on the last one.
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
    /// `next` of the page before.
    pub after: Option<String>,
    /// Whose name holds this text.
    pub name: Option<String>,
    /// Whose description holds this text.
    pub description: Option<String>,
    /// With this label, as `key` or `key=value`; several times for several.
    #[schemars(length(max = 10))]
    pub label: Option<Vec<String>>,
}

/// What is sent.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["data"]}, {"required": ["sealed"]}]))]
pub struct CreateSecretRequest {
    #[schemars(regex(pattern = SECRET_NAME_PATTERN))]
    pub name: String,
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub version_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "propertyNames" = {"pattern": "^[-_a-zA-Z0-9]{1,128}$"}))]
    pub data: Option<ValueData>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedData>,
    #[serde(default)]
    #[schemars(length(min = 1, max = 500))]
    pub description: Option<String>,
    #[serde(default)]
    #[schemars(extend(
        "maxProperties" = 48,
        "propertyNames" = {"pattern": LABEL_PATTERN},
        "additionalProperties" = {"type": "string", "pattern": LABEL_PATTERN}
    ))]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    #[schemars(regex(pattern = DNS_LABEL_PATTERN))]
    pub encryption_key: Option<String>,
}

/// What is sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateSecretRequest {
    /// Null removes it.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1, max = 500))]
    pub description: Option<Option<String>>,
    /// Null removes a label.
    #[serde(default)]
    #[schemars(extend(
        "maxProperties" = 48,
        "propertyNames" = {"pattern": LABEL_PATTERN},
        "additionalProperties" = {"type": ["string", "null"], "pattern": LABEL_PATTERN}
    ))]
    pub labels: BTreeMap<String, Option<String>>,
}

/// Tells `null` from a field that is not there.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// How.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "How")]
pub struct DeleteSecretQuery {
    /// 7 to 30.
    #[serde(default)]
    #[schemars(range(min = 7, max = 30))]
    pub recovery_window_days: Option<u32>,
    #[serde(default)]
    pub force: bool,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Deleted")]
pub struct DeleteSecretAnswer {
    /// When the secret is destroyed; absent: it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Timestamp>,
}
