//! ListAuditRecords.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::AuditRecord;

/// Which page of the records is answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListAuditRecordsQuery {
    /// `next` of the page before; absent at the beginning.
    #[serde(default)]
    pub after: Option<String>,
}

/// Some records, and where to go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecordsPage {
    /// Those of both chains, the oldest first.
    pub records: Vec<AuditRecord>,
    /// What to send as `after` for the next page.
    pub next: String,
    /// How many hours the log holds at the present rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_hours: Option<f64>,
}
