//! Versions without their values: ListSecretVersionIds, UpdateSecretVersionStage.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns::VERSION_ID_PATTERN;

/// Which versions.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListSecretVersionIdsQuery {
    #[serde(default)]
    pub include_deprecated: bool,
}

/// A version without its value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Version")]
pub struct VersionAnswer {
    pub version_id: String,
    pub sequence: u32,
    pub created: Timestamp,
    pub data_type: Cow<'static, str>,
    pub stages: Vec<String>,
}

/// Versions without their values.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Versions")]
pub struct VersionsAnswer {
    pub versions: Vec<VersionAnswer>,
}

/// What is sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateSecretVersionStageRequest {
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub move_to: Option<String>,
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub remove_from: Option<String>,
}
