//! RotateSecret and UpdateSecretRotationPolicy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_crds::period::Period;

/// A rotation, for which the same token counts once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSecretRequest {
    /// The idempotency token, of the caller's choice: printable ASCII without spaces.
    #[schemars(length(min = 1, max = 64))]
    pub token: String,
}

/// The version that a rotation makes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Rotation")]
pub struct RotateSecretAnswer {
    /// Id of the version.
    pub version_id: String,
    /// Whether the version is there already.
    pub done: bool,
}

/// Whether and how often a secret is rotated; the answer has what holds then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationPolicy {
    /// Whether the secret is rotated at all.
    pub enabled: bool,
    /// Time between rotations, such as `30d`; needed the first time, afterwards absent where it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Period>,
}
