//! WatchSecret.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which stage of the secret is watched.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchSecretQuery {
    /// The stage whose version is told; Current where absent.
    #[serde(default)]
    pub stage: Option<String>,
}

/// The data of an event `version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionEvent {
    /// The version that has the stage now.
    pub version_id: String,
    /// The stage that is watched.
    pub stage: String,
}

/// The data of an event `end`: nothing more is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchEnd {
    /// The stable code that says why.
    pub code: Cow<'static, str>,
}
