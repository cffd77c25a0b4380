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
    /// The id of the key that it is sealed for.
    pub key: String,
    pub encapsulated: String,
    pub ciphertext: String,
}

/// Which version, and what of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetSecretValueQuery {
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub stage: Option<String>,
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub version_id: Option<String>,
    #[serde(default)]
    pub key: Option<String>,
    /// Whom the answer is sealed for.
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

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Batch")]
pub struct BatchGetSecretValueRequest {
    pub secrets: Vec<BatchItem>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "BatchGetSecretValueOne")]
pub struct BatchItem {
    pub name: String,
    #[serde(default)]
    pub stage: Option<String>,
    #[serde(default)]
    pub version_id: Option<String>,
}

/// What is sent.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["data"]}, {"required": ["sealed"]}]))]
pub struct PutSecretValueRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "propertyNames" = {"pattern": "^[-_a-zA-Z0-9]{1,128}$"}))]
    pub data: Option<ValueData>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedData>,
    #[serde(default)]
    pub stages: Vec<String>,
}
