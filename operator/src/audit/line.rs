//! From a record of either chain to the line that people and other systems read.

use jiff::Timestamp;
use strongroom_api::audit::{AuditRecord, Chain, Outcome, Requester};
use strongroom_store::audit::{self, AuditOutcome, Entry};
use strongroom_store::vault::AuditPosition;

use super::decision::decision;
use crate::store_handle::{store_time, timestamp};

/// A record on its way out of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditLine {
    /// What was done, by whom, and what came of it.
    pub(crate) record: AuditRecord,
    /// The same as JSON, without the end of a line.
    pub(crate) json: Vec<u8>,
}

impl AuditLine {
    /// The line of a record.
    ///
    /// # Errors
    /// A record that cannot be written.
    pub(crate) fn new(record: AuditRecord) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_vec(&record)?;
        Ok(Self { record, json })
    }
}

/// Records as JSON, one a line.
pub(crate) fn json_lines(lines: &[AuditLine]) -> Vec<u8> {
    let mut text = Vec::new();
    for line in lines {
        text.extend_from_slice(&line.json);
        text.push(b'\n');
    }
    text
}

/// The record with this number.
pub(crate) fn line(chain: Chain, sequence: u64, entry: &Entry) -> AuditRecord {
    let (outcome, code) = match &entry.outcome {
        AuditOutcome::Done => (Outcome::Success, None),
        AuditOutcome::Refused(code) => (Outcome::Failure, Some(code.clone())),
    };
    let about = entry.circumstances.as_deref().cloned().unwrap_or_default();
    AuditRecord {
        chain,
        sequence,
        time: timestamp(entry.time),
        principal: entry.actor.to_string(),
        action: entry.action.name().to_owned(),
        decision: decision(entry),
        outcome,
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
        extension_api: about.extension_api,
        statements: about.statements,
        latency_micros: about.latency_micros,
        count: entry.count.get(),
        claimed: entry.claimed.clone(),
        requester: entry.requester.as_ref().map(requester),
        detail: entry.detail.clone(),
    }
}

fn requester(requester: &audit::Requester) -> Requester {
    match requester {
        audit::Requester::Unattested => Requester::default(),
        audit::Requester::Attested(author) => Requester {
            attested: true,
            user: Some(author.user.clone()),
            groups: author.groups.clone(),
            uid: Some(author.uid.clone()).filter(|uid| !uid.is_empty()),
        },
    }
}

/// After an unclean stop: reads from this one on may be missing.
pub(crate) fn gap(sequence: u64, missing_from: u64, near: Timestamp) -> AuditRecord {
    let entry = Entry::new(
        store_time(near),
        strongroom_store::audit::Actor::System,
        strongroom_store::audit::Action::OpenStore,
    );
    AuditRecord {
        action: "Gap".to_owned(),
        detail: format!("after an unclean stop reads from {missing_from} on may be missing"),
        ..line(Chain::Reads, sequence, &entry)
    }
}

/// Records that were cut before a sink had taken them: from where it stood up to where the log was cut.
pub(crate) fn rolled_over(from: AuditPosition, cut: AuditPosition, now: Timestamp) -> AuditRecord {
    let entry = Entry::new(
        store_time(now),
        strongroom_store::audit::Actor::System,
        strongroom_store::audit::Action::TruncateAudit,
    );
    let detail = format!(
        "the log rolled before this sink had taken all of changes {} to {} and reads {} to {}",
        from.changes.saturating_add(1),
        cut.changes.max(from.changes),
        from.reads.saturating_add(1),
        cut.reads.max(from.reads)
    );
    AuditRecord {
        action: "Gap".to_owned(),
        detail,
        ..line(Chain::Reads, cut.reads, &entry)
    }
}
