//! Values: GetSecretValue, BatchGetSecretValue, PutSecretValue.
//!
//! A value comes as it is, or sealed for a key that was made for the call.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::encoded::Encoded;
use super::patterns::VERSION_ID_PATTERN;
use crate::sealed::HpkeCiphertext;

/// A value as it is: each key in base64.
pub type ValueData = BTreeMap<String, Encoded>;

/// A value that is sealed; it opens to the JSON of what an unsealed request has as `data`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SealedData {
    /// `id` of the sealing key that it is sealed for.
    pub key: String,
    /// The encapsulated key (`enc` of RFC 9180), 1,120 bytes in base64url without padding.
    pub encapsulated: String,
    /// The ciphertext of RFC 9180, in base64url without padding.
    pub ciphertext: String,
}

/// Which version is read, and in which form it is answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetSecretValueQuery {
    /// Stage of the version; Current where neither this nor an id is given.
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub stage: Option<String>,
    /// Id of the version; where a stage is given too, the version must have it.
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub version_id: Option<String>,
    /// A key of the value: the answer is its bytes alone.
    #[serde(default)]
    pub key: Option<String>,
    /// The public key that the answer is sealed for (HPKE, RFC 9180), 1,216 bytes in base64url without
    /// padding.
    #[serde(default)]
    pub recipient: Option<String>,
}

/// A version with its value, for whoever reads it. The gateway writes it by hand, into a buffer that is
/// wiped.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueAnswer {
    pub namespace: String,
    pub name: String,
    pub version_id: String,
    pub sequence: u32,
    pub created: Timestamp,
    pub data_type: Cow<'static, str>,
    pub stages: Vec<String>,
    /// The keys of the value.
    pub data: ValueData,
}

/// A value that only its recipient can read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedAnswer {
    pub namespace: String,
    pub name: String,
    pub version_id: String,
    pub suite: Cow<'static, str>,
    pub sealed: HpkeCiphertext,
}

/// Values to read, each of which is decided and recorded by itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Batch")]
pub struct BatchGetSecretValueRequest {
    /// 1 to 20, no two of them the same.
    pub secrets: Vec<BatchItem>,
}

/// One value of a batch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "BatchGetSecretValueOne")]
pub struct BatchItem {
    /// Name of the secret in the store.
    pub name: String,
    /// Stage of the version; Current where neither this nor an id is given.
    #[serde(default)]
    pub stage: Option<String>,
    /// Id of the version.
    #[serde(default)]
    pub version_id: Option<String>,
}

/// A value for a new version, in `data` or in `sealed`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["data"]}, {"required": ["sealed"]}]))]
pub struct PutSecretValueRequest {
    /// The value: up to 64 KiB in all, each key in base64 (RFC 4648 section 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "propertyNames" = {"pattern": "^[-_a-zA-Z0-9]{1,128}$"}))]
    pub data: Option<ValueData>,
    /// The same, sealed for a key of CreateSealingKey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedData>,
    /// Stages of the new version; Current where there is none.
    #[serde(default)]
    pub stages: Vec<String>,
}
