//! ExplainAccess.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns::VERSION_ID_PATTERN;

/// What is to be explained.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Question")]
pub struct ExplainAccessQuery {
    #[serde(default)]
    pub action: Option<String>,
    /// `namespace/serviceaccount`, or a user as the API server knows him.
    #[serde(default)]
    pub principal: Option<String>,
    /// Stage of the version that would be read.
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub stage: Option<String>,
}

/// The answer to "why?".
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Explained")]
pub struct ExplainAccessAnswer {
    pub allowed: bool,
    pub principal: String,
    pub action: Cow<'static, str>,
    /// In words, one sentence a line.
    pub explanation: String,
    /// Statements that decided, as far as the caller may see them.
    pub statements: Vec<String>,
    /// RBAC alone allows it: `get` on the ManagedSecret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_rbac: bool,
    /// SecretPolicies that would allow it, as YAML.
    pub missing_policies: Vec<String>,
    /// What the secret itself says to such a request.
    pub secret: String,
    /// What the customer's key that it lies under says to it; absent where it lies under none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}
