//! What nodes served while there was no gateway, recorded once it is there again.
//!
//! Only the node saw it, so the node is the actor of the record, and the pod that it says it served is a
//! claim, in a field of its own. A node cannot have served what this process did not grant it: such a claim
//! is audited as a refusal, and refusals are summed. Must not record more than a rate.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::Quota;
use strongroom_api::stream::proto::{Journal, JournalEntry};
use strongroom_model::id::{RequestId, SecretId};
use strongroom_rules::policy::Identity;
use strongroom_store::audit::{self, Actor, AuditOutcome, Circumstances};
use strongroom_store::vault::{AuditNote, ExternalRequest, Meta};
use tonic::Status;

use super::authenticate_pod::StreamOrigin;
use crate::gateway::Gateway;
use crate::gateway::problem::{Code, Problem};
use crate::store_handle::store_time;

/// Entries of one message.
const MAX_ENTRIES: usize = 64;
/// Entries of one node that are recorded, each second in the long run,
const ENTRIES_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// and at once after an outage.
const ENTRIES_BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(1_023);
/// How long a journal waits for the answers to what the node asked before it: they say what it was granted.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How soon a journal is looked at again that was more than its node may.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How much each node may record.
pub(super) const JOURNAL_QUOTA: Quota = Quota::per_second(ENTRIES_PER_SECOND).allow_burst(ENTRIES_BURST);

/// The journal of a node that has come and is not answered yet.
#[derive(Debug)]
pub(super) struct PendingJournal {
    journal: Journal,
    since: Instant,
    /// It is more than the node may record, until then at least.
    not_before: Instant,
}

impl PendingJournal {
    /// A journal that came now, beside the one that waits.
    ///
    /// # Errors
    /// The stream ends: a node tells one journal at a time, and at most 64 entries of it.
    pub(super) fn new(before: Option<&Self>, journal: Journal) -> Result<Self, Status> {
        if journal.entries.len() > MAX_ENTRIES {
            return Err(Status::invalid_argument(
                "a journal has at most 64 entries per message",
            ));
        }
        if before.is_some() {
            return Err(Status::resource_exhausted(
                "send a journal only after the previous one was acknowledged",
            ));
        }
        let now = Instant::now();
        Ok(Self {
            journal,
            since: now,
            not_before: now,
        })
    }

    /// Whether it can be looked at: all that was asked before is answered, or it has waited long enough.
    pub(super) fn is_due(&self, answered: bool) -> bool {
        let now = Instant::now();
        now >= self.not_before && (answered || now.duration_since(self.since) >= MAX_WAIT)
    }

    /// Looks again later: it is more than the node may.
    pub(super) fn wait(&mut self) {
        self.not_before = Instant::now() + RETRY_INTERVAL;
    }

    /// How many entries it has; none where it has none.
    pub(super) fn size(&self) -> Option<NonZeroU32> {
        u32::try_from(self.journal.entries.len())
            .ok()
            .and_then(NonZeroU32::new)
    }

    pub(super) fn entries(self) -> Vec<JournalEntry> {
        self.journal.entries
    }
}

/// Records entries, in their order; those up to `known` are there already. Answers the last sequence that is.
///
/// # Errors
/// Where one cannot be recorded; it and those after it are told again.
pub(super) fn record_entries(
    gateway: &Gateway,
    origin: &StreamOrigin,
    known: u64,
    entries: &[JournalEntry],
) -> Result<u64, Problem> {
    let mut last = known;
    for entry in entries {
        if entry.sequence > last {
            record_entry(gateway, origin, entry)?;
            last = entry.sequence;
        }
    }
    Ok(last)
}

fn record_entry(gateway: &Gateway, origin: &StreamOrigin, entry: &JournalEntry) -> Result<(), Problem> {
    let id: Option<[u8; 16]> = entry.secret_id.as_slice().try_into().ok();
    let id = id.map(SecretId::from_bytes);
    let granted = id.is_some_and(|id| gateway.nodes.was_granted(&origin.node, id));
    // One that was destroyed meanwhile is known by its id alone.
    let secret = id.and_then(|id| gateway.store.describe(id).ok());
    let namespace = secret
        .as_ref()
        .and_then(|secret| gateway.store.namespace(secret.namespace).ok());
    let at = jiff::Timestamp::from_second(entry.at_unix_s).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let principal = Identity::ServiceAccount {
        namespace: short(&entry.namespace, 64),
        name: short(&entry.service_account, 64),
    };
    let note = AuditNote {
        outcome: if granted {
            AuditOutcome::Done
        } else {
            AuditOutcome::Refused("NotGranted".to_owned())
        },
        namespace: namespace.map(|namespace| namespace.name),
        secret: secret.map(|secret| secret.name),
        secret_id: id,
        version: entry.version_id.parse().ok(),
        detail: format!(
            "the node reports that it served this while offline at {at}, entry {} of its journal",
            entry.sequence
        ),
        claimed: Some(format!(
            "{principal}, pod {} with UID {}",
            short(&entry.pod, 64),
            short(&entry.pod_uid, 36)
        )),
        ..AuditNote::new(audit::Action::GetSecretValue)
    };
    let request = RequestId::generate()
        .map_err(|_| Problem::new(Code::StoreUnavailable, "no request id can be generated"))?;
    let meta = Meta {
        actor: Actor::Principal(format!("node {}", origin.node)),
        request,
        now: store_time(jiff::Timestamp::now()),
        asked: Some(Box::new(ExternalRequest {
            arrived: Instant::now(),
            circumstances: Circumstances {
                source: Some(origin.peer.address.ip().to_canonical()),
                node: Some(origin.node.clone()),
                offline: true,
                ..Circumstances::default()
            },
        })),
    };
    Ok(gateway.store.record_request(note, &meta, gateway.durability)?)
}
