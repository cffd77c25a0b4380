//! CreateSealingKey and RenewSealedValues. What GetClusterKey answers is [`crate::manifest::ClusterKey`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A key that one value can be sealed for (HPKE, RFC 9180).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Made")]
pub struct SealingKeyAnswer {
    /// What to send as `key` of the sealed value.
    pub id: String,
    /// The public key, 1,216 bytes in base64url without padding.
    pub key: String,
    /// KEM, KDF and AEAD, as in `X-Wing,HKDF-SHA256,ChaCha20-Poly1305`.
    pub suite: Cow<'static, str>,
    /// Seconds for which a value that is sealed for it is taken.
    pub valid_seconds: u64,
}

/// The sealed texts of a manifest.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Texts")]
pub struct SealedTexts {
    /// The secret's name in the store.
    pub name: String,
    /// A text, `strongroom1.…`, for each key of the value.
    pub keys: BTreeMap<String, String>,
}
