//! CreateSealingKey and RenewSealedValues. What GetClusterKey answers is [`crate::manifest::ClusterKey`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A key to seal for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Made")]
pub struct SealingKeyAnswer {
    /// What to send with the sealed value.
    pub id: String,
    /// 1,216 bytes in base64url without padding.
    pub key: String,
    pub suite: Cow<'static, str>,
    /// Seconds that it waits.
    pub valid_seconds: u64,
}

/// Texts by key of the value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Texts")]
pub struct SealedTexts {
    /// The secret's name in the store.
    pub name: String,
    pub keys: BTreeMap<String, String>,
}
