//! Versions without their values: ListSecretVersionIds, UpdateSecretVersionStage.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns::VERSION_ID_PATTERN;

/// Which versions are listed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListSecretVersionIdsQuery {
    /// Also those without a stage.
    #[serde(default)]
    pub include_deprecated: bool,
}

/// A version without its value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Version")]
pub struct VersionAnswer {
    /// The id that its writer chose.
    pub version_id: String,
    /// Counts the versions of the secret.
    pub sequence: u32,
    /// When it was written (RFC 3339).
    pub created: Timestamp,
    /// `text` or `binary`.
    pub data_type: Cow<'static, str>,
    /// Stages that the version has; none where it is deprecated.
    pub stages: Vec<String>,
}

/// Versions without their values, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Versions")]
pub struct VersionsAnswer {
    pub versions: Vec<VersionAnswer>,
}

/// From which version to which a stage moves; one of both may be absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateSecretVersionStageRequest {
    /// Id of the version that gets the stage.
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub move_to: Option<String>,
    /// Id of the version that loses it.
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub remove_from: Option<String>,
}
