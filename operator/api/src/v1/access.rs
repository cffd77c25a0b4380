//! ExplainAccess.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access_check::AccessCheck;
use super::patterns::{DNS_LABEL_PATTERN, VERSION_ID_PATTERN};

/// Whose access to the secret is explained, and to what.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Question")]
pub struct ExplainAccessQuery {
    /// An action, such as `DescribeSecret` or `secrets:DescribeSecret`; GetSecretValue where absent.
    #[serde(default)]
    pub action: Option<String>,
    /// `NAMESPACE/SERVICEACCOUNT`, or a username as the API server knows it; the caller where absent.
    #[serde(default)]
    pub principal: Option<String>,
    /// Stage of the version that would be read; Current where absent.
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub stage: Option<String>,
    /// EncryptionKey under which CreateSecret would make the secret, or UpdateSecret would move it.
    #[serde(default)]
    #[schemars(regex(pattern = DNS_LABEL_PATTERN))]
    pub encryption_key: Option<String>,
    /// Gateway that the principal would ask: `shared`, or the name of a dedicated one; the shared one where
    /// absent.
    #[serde(default)]
    #[schemars(regex(pattern = DNS_LABEL_PATTERN))]
    pub via: Option<String>,
}

/// Whether a principal may do something with a secret, and why.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Explained")]
pub struct ExplainAccessAnswer {
    /// Whether policies or RBAC allow it.
    pub allowed: bool,
    /// Who is asked about, such as `serviceaccount shop/app` or `user jane`.
    pub principal: String,
    /// What is asked about, such as `secrets:GetSecretValue`.
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
    /// What the product that owns the secret says to it, before any policy; absent where no product owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// What the secret itself says to such a request.
    pub secret: String,
    /// What the customer's key that it lies under says to it; absent where it lies under none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// All that Strongroom looked at, in order.
    #[serde(default)]
    pub checks: Vec<AccessCheck>,
}
