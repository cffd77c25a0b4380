//! GetSecretHistory.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which page of the changes is answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetSecretHistoryQuery {
    /// Records a page, 1 to 100; 50 where absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// `next` of the page before; absent at the beginning.
    #[serde(default)]
    pub after: Option<String>,
}

/// Changes of one secret, in pages.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "History")]
pub struct HistoryPage {
    /// The oldest first; there may be none on a page that is not the last one.
    pub records: Vec<HistoryRecord>,
    /// What to send as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One change. Its fields are those of an audit record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryRecord {
    /// Its number in the mutation chain, which is that of all secrets.
    pub sequence: u64,
    /// When it was done or refused (RFC 3339).
    pub time: Timestamp,
    /// Who did it: a principal, such as `serviceaccount shop/app` or `user jane`, or a controller.
    pub principal: String,
    /// Name of the audit action, such as `PutSecretValue` (docs/audit.md).
    pub action: String,
    /// Whether it was done or refused.
    pub decision: HistoryDecision,
    /// Code of the refusal (docs/reference/errors.md); absent where it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The id of the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The stage that was written or moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Of what a controller did because of an object: who wrote that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester: Option<HistoryRequester>,
    /// What the fields do not say; absent where that is nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HistoryDecision {
    /// It was done.
    Done,
    /// It was refused or failed.
    Refused,
}

impl HistoryDecision {
    /// The word that stands in an answer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// Who wrote the object that asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryRequester {
    /// Whether the webhook saw it. Where it did not, nothing else is known.
    pub attested: bool,
    /// The user, as the API server knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}
