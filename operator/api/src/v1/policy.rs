//! GetSecretPolicy and SetSecretPolicy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_crds::v1alpha1::PolicyStatement;

/// Statements about one secret, as in a SecretPolicy for secrets; the answer has what holds then.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnPolicy {
    /// As in `spec.statements` of a SecretPolicy.
    pub statements: Vec<PolicyStatement>,
}
