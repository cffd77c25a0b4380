//! GetSecretPolicy and SetSecretPolicy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_crds::v1alpha1::PolicyStatement;

/// What is sent, and what holds then: statements as in a SecretPolicy for secrets.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnPolicy {
    pub statements: Vec<PolicyStatement>,
}
