//! How default secrets are hosted.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_model::Hosting;

/// How a default secret, which a product owns, is hosted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Hosting")]
pub enum HostingMode {
    /// Under the namespace's default key; identity policies alone say who reads.
    Free,
    /// Under an EncryptionKey of the tenant; policies of both kinds say who reads.
    Paid,
}

impl From<Hosting> for HostingMode {
    fn from(hosting: Hosting) -> Self {
        match hosting {
            Hosting::Free => Self::Free,
            Hosting::Paid => Self::Paid,
        }
    }
}

impl HostingMode {
    /// The word as answers and audit records have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "Free",
            Self::Paid => "Paid",
        }
    }
}

impl fmt::Display for HostingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
