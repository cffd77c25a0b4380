//! What nodes served while there was no gateway, put on record once it is there again. It is what the node says: nobody else saw it.

use std::time::Instant;

use strongroom_api::stream::proto::JournalEntry;
use strongroom_rules::policy::Identity;
use strongroom_store::audit::{self, Actor, Circumstances};
use strongroom_store::id::{RequestId, SecretId};
use strongroom_store::vault::{Asked, Meta, Note};

use super::review::Whence;
use crate::gateway::Gateway;
use crate::gateway::problem::{Code, Problem};

/// Entries of one message.
pub(super) const ENTRIES: usize = 64;

/// Puts entries on record, in their order; those up to `known` are there already. Answers the last sequence that is.
///
/// # Errors
/// Where one cannot be recorded; it and those after it are told again.
pub(super) fn put_on_record(
    gateway: &Gateway,
    whence: &Whence,
    known: u64,
    entries: &[JournalEntry],
) -> Result<u64, Problem> {
    let mut last = known;
    for entry in entries {
        if entry.sequence > last {
            one(gateway, whence, entry)?;
            last = entry.sequence;
        }
    }
    Ok(last)
}

fn one(gateway: &Gateway, whence: &Whence, entry: &JournalEntry) -> Result<(), Problem> {
    let id: Option<[u8; 16]> = entry.secret_id.as_slice().try_into().ok();
    let id = id.map(SecretId::from_bytes);
    // One that was destroyed meanwhile is known by its id alone.
    let secret = id.and_then(|id| gateway.store.describe(id).ok());
    let namespace = secret
        .as_ref()
        .and_then(|secret| gateway.store.namespace(secret.namespace).ok());
    let at = jiff::Timestamp::from_second(entry.at_unix_s).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let short = |text: &str| text.chars().take(64).collect::<String>();
    let note = Note {
        namespace: namespace.map(|namespace| namespace.name),
        secret: secret.map(|secret| secret.name),
        secret_id: id,
        version: entry.version_id.parse().ok(),
        detail: format!(
            "served by the node without a gateway at {at}, entry {} of its journal, to pod {}",
            entry.sequence,
            short(&entry.pod_uid)
        ),
        ..Note::new(audit::Action::GetSecretValue)
    };
    let principal = Identity::ServiceAccount {
        namespace: short(&entry.namespace),
        name: entry.service_account.chars().take(253).collect(),
    };
    let request = RequestId::generate()
        .map_err(|_| Problem::new(Code::StoreUnavailable, "no request id can be made"))?;
    let meta = Meta {
        actor: Actor::Principal(principal.to_string()),
        request,
        now: strongroom_store::time::Timestamp::from_millis(jiff::Timestamp::now().as_millisecond()),
        asked: Some(Box::new(Asked {
            arrived: Instant::now(),
            circumstances: Circumstances {
                source: Some(whence.peer.address.ip().to_canonical()),
                pod: Some(entry.pod.chars().take(253).collect()),
                node: Some(whence.node.clone()),
                offline: true,
                ..Circumstances::default()
            },
        })),
    };
    Ok(gateway.store.note(note, &meta, gateway.durability)?)
}
