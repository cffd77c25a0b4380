//! A record of either chain as people and other systems read it: one JSON object. The names of its fields are in `docs/audit.md`, and stay. A value
//! cannot be in it, because none is in a record.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strongroom_store::audit::{Entry, Outcome};

/// Which chain a record is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Chain {
    /// Changes.
    Changes,
    /// Reads and refusals.
    Reads,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Decision {
    /// It was done.
    Done,
    /// It was refused or failed.
    Refused,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    pub(crate) chain: Chain,
    /// Its number in the chain.
    pub(crate) sequence: u64,
    pub(crate) time: Timestamp,
    pub(crate) principal: String,
    pub(crate) action: String,
    pub(crate) decision: Decision,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stage: Option<String>,
    /// Id of the customer's key that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) offline: bool,
    /// The statements that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) statements: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency_micros: Option<u32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) detail: String,
}

fn time(at: strongroom_store::time::Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millis()).unwrap_or(Timestamp::MAX)
}

impl Line {
    /// The record with this number.
    pub(crate) fn of(chain: Chain, sequence: u64, entry: &Entry) -> Self {
        let (decision, code) = match &entry.outcome {
            Outcome::Done => (Decision::Done, None),
            Outcome::Refused(code) => (Decision::Refused, Some(code.clone())),
        };
        let about = entry.circumstances.as_deref().cloned().unwrap_or_default();
        Self {
            chain,
            sequence,
            time: time(entry.time),
            principal: entry.actor.to_string(),
            action: entry.action.name().to_owned(),
            decision,
            code,
            namespace: entry.namespace.as_ref().map(ToString::to_string),
            secret: entry.secret.as_ref().map(ToString::to_string),
            secret_id: entry.secret_id.map(|id| id.to_string()),
            version: entry.version.as_ref().map(ToString::to_string),
            stage: entry.stage.as_ref().map(ToString::to_string),
            key: entry.key.map(|id| id.to_string()),
            request: entry.request.map(|id| id.to_string()),
            source: about.source,
            pod: about.pod,
            node: about.node,
            offline: about.offline,
            statements: about.statements,
            latency_micros: about.latency_micros,
            detail: entry.detail.clone(),
        }
    }

    /// After an unclean stop: reads from this one on may be missing.
    pub(crate) fn gap(sequence: u64, missing_from: u64, near: Timestamp) -> Self {
        let entry = Entry::new(
            strongroom_store::time::Timestamp::from_millis(near.as_millisecond()),
            strongroom_store::audit::Actor::System,
            strongroom_store::audit::Action::OpenStore,
        );
        Self {
            action: "Gap".to_owned(),
            detail: format!("after an unclean stop reads from {missing_from} on may be missing"),
            ..Self::of(Chain::Reads, sequence, &entry)
        }
    }
}
