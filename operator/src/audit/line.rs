//! From a record of either chain to the line that people and other systems read.

use jiff::Timestamp;
use strongroom_api::audit::{AuditRecord, Chain, Outcome, Requester};
use strongroom_api::v1::HostingMode;
use strongroom_model::DefaultSecretName;
use strongroom_store::audit::{self, Action, AuditOutcome, Entry};
use strongroom_store::vault::AuditPosition;

use super::decision::decision;
use crate::store_handle::{store_time, timestamp};

/// A record on its way out of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditLine {
    /// What was done, by whom, and the outcome.
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
    let name = entry.secret.as_ref().map(DefaultSecretName::split);
    let default_secret = name.and_then(Result::ok).flatten();
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
        product: default_secret.map(|name| name.code().to_owned()),
        hosting: default_secret.and_then(|_| hosting(chain, entry)),
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

/// How the default secret of a record was hosted, where the record tells: it names the customer's key. A
/// change that wrote a value names the key that it lies under, if there is one; a read of one that its node
/// had already names none.
fn hosting(chain: Chain, entry: &Entry) -> Option<HostingMode> {
    let wrote_value = matches!(
        entry.action,
        Action::CreateSecret | Action::PutSecretValue | Action::RotateSecret
    );
    match entry.key {
        Some(_) => Some(HostingMode::Paid),
        None if wrote_value && chain == Chain::Changes && entry.outcome == AuditOutcome::Done => {
            Some(HostingMode::Free)
        }
        None => None,
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

#[cfg(test)]
mod tests {
    use strongroom_model::id::KeyId;
    use strongroom_store::audit::Actor;
    use strongroom_testing::store::NOW;

    use super::*;

    #[test]
    fn product_and_hosting_follow_from_name_and_key() {
        let told = |chain: Chain, action: Action, name: &str, key: Option<KeyId>| {
            let entry = Entry {
                secret: Some(name.parse().unwrap()),
                key,
                ..Entry::new(NOW, Actor::System, action)
            };
            let line = line(chain, 1, &entry);
            (line.product, line.hosting)
        };
        let (key, pg) = (Some(KeyId::from_bytes([1; 16])), || Some("pg".to_owned()));
        let (read, put) = (Action::GetSecretValue, Action::PutSecretValue);
        assert_eq!(told(Chain::Reads, read, "db", key), (None, None));
        assert_eq!(told(Chain::Reads, read, "strongroom!sealing", None), (None, None));
        let paid = (pg(), Some(HostingMode::Paid));
        assert_eq!(told(Chain::Reads, read, "pg!orders", key), paid);
        assert_eq!(told(Chain::Changes, put, "pg!orders", key), paid);
        let free = (pg(), Some(HostingMode::Free));
        assert_eq!(told(Chain::Changes, put, "pg!orders", None), free);
        // Records that have no key of any secret.
        assert_eq!(told(Chain::Reads, read, "pg!orders", None), (pg(), None));
        assert_eq!(told(Chain::Reads, put, "pg!orders", None), (pg(), None));
        let delete = Action::DeleteSecret;
        assert_eq!(told(Chain::Changes, delete, "pg!orders", None), (pg(), None));
    }
}
