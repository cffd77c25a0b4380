//! RotateSecret and UpdateSecretRotationPolicy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_crds::period::Period;

/// What is sent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSecretRequest {
    #[schemars(length(min = 1, max = 64))]
    pub token: String,
}

/// What comes of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Rotation")]
pub struct RotateSecretAnswer {
    /// Id of the version that the rotation makes.
    pub version_id: String,
    /// Whether it is there already.
    pub done: bool,
}

/// What is sent, and what holds then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationPolicy {
    pub enabled: bool,
    /// Needed the first time; afterwards it stays where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Period>,
}
