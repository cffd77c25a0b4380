//! Audit records as people and other systems read them: one JSON object each. The names of its fields are in
//! `docs/audit.md`, and stay. A value cannot be in it, because none is in a record.

mod actions;
mod filter;
mod table;

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::hosting::HostingMode;

pub use self::actions::ACTIONS;
pub use self::filter::{Filter, Window, since};
pub use self::table::AuditRow;

/// Which chain a record is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chain {
    /// The mutation log.
    Changes,
    /// Reads and refusals.
    Reads,
}

/// Whether the caller was allowed to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Nothing forbade it.
    Allowed,
    /// A policy, or the proof of who asked, forbade it.
    Denied,
    /// It failed before that was decided, or the record cannot tell.
    Undecided,
}

impl Decision {
    /// The word that stands in a record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Undecided => "undecided",
        }
    }
}

/// Whether it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was.
    Success,
    /// It was not, whatever the reason.
    Failure,
}

impl Outcome {
    /// The word that stands in a record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// A record as one JSON object; `docs/audit.md` lists its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// Which of the two logs it is in: each numbers its own records.
    pub chain: Chain,
    /// Its number in the chain.
    pub sequence: u64,
    /// When, by the clock of the process.
    pub time: Timestamp,
    /// Who, such as `serviceaccount shop/checkout`.
    pub principal: String,
    /// Operation or change that is audited, such as `GetSecretValue`.
    pub action: String,
    /// Whether the caller was allowed to do it.
    pub decision: Decision,
    /// Whether it was done.
    pub outcome: Outcome,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Name of the secret's namespace; none where the operation is about none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The secret's name in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The secret's id in the store: it outlives the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<String>,
    /// Code of the product whose default secret it is; none for any other secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// How the default secret was hosted, where the record tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosting: Option<HostingMode>,
    /// The id of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The stage that was asked for or moved, such as `Current`; none: the request named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Id of the customer's key that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The caller's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// The caller's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The caller's node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The API server was away, and the token had been accepted before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
    /// It came over the extension API, by a kubeconfig.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extension_api: bool,
    /// The statements that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<String>,
    /// How long the answer took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_micros: Option<u32>,
    /// How many requests it stands for, where they are more than one: refusals that are summed.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
    /// Whom the principal, a node, says that it served. Nobody else saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// Of what a controller did because of an object: who wrote that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<Requester>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Who wrote the object that asked for something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requester {
    /// Whether the webhook saw it. Where it did not, nothing else is known.
    pub attested: bool,
    /// The user, as the API server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its groups, the first 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Its UID, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_one(count: &u64) -> bool {
    *count == 1
}
