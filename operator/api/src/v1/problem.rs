//! What every refusal is.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A problem document (RFC 9457), as every refusal is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Problem")]
pub struct ProblemDocument {
    /// `urn:strongroom:problem:` and the code.
    pub r#type: String,
    /// The code in words.
    pub title: String,
    /// Status code of HTTP (RFC 9110 section 15).
    pub status: u16,
    /// The stable code; docs/reference/errors.md has its causes.
    pub code: String,
    /// What went wrong, and what to do.
    pub detail: String,
    /// Id of the request, under which the attempt is audited.
    pub request_id: String,
    /// SecretPolicies, as YAML, that would allow it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_policies: Vec<String>,
}

/// For people, with the policies that would help.
impl fmt::Display for ProblemDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, request {})", self.detail, self.code, self.request_id)?;
        for (index, policy) in self.missing_policies.iter().enumerate() {
            let what = if index == 0 {
                "this would allow it:\n"
            } else {
                "and:\n"
            };
            write!(f, "\n{what}---\n{}", policy.trim_end())?;
        }
        Ok(())
    }
}

impl std::error::Error for ProblemDocument {}
