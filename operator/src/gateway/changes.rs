//! Tells watchers that a secret changed, as soon as the change is committed. It names the secret and nothing
//! more: watchers read the rest themselves.

use std::sync::Arc;
use std::time::Duration;

use strongroom_model::id::SecretId;
use strongroom_model::time::Timestamp;
use strongroom_process::Shutdown;
use strongroom_store::audit::{Action, Entry};
use strongroom_store::vault::Store;
use tokio::sync::broadcast::{self, Receiver, Sender};

/// Changes that a watcher may fall behind; one that does looks anyway.
const MAX_LAG: usize = 1_024;
/// How long to wait for a change at a time.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);
/// Records that are read at once.
const MAX_RECORDS: usize = 1_000;

/// A secret, or several, whose watchers must look again. Nobody has others look who watch nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoreChange {
    /// This secret, at this time.
    Secret(SecretId, Timestamp),
    /// Something that several secrets of this namespace may depend on, such as a key.
    Namespace(Arc<str>),
    /// Something that any secret may depend on.
    All,
}

/// Hands each change to every watcher that is connected.
#[derive(Clone, Debug)]
pub(super) struct ChangeFeed(Sender<StoreChange>);

impl Default for ChangeFeed {
    fn default() -> Self {
        Self(broadcast::channel(MAX_LAG).0)
    }
}

impl ChangeFeed {
    /// Those from now on.
    pub(super) fn subscribe(&self) -> Receiver<StoreChange> {
        self.0.subscribe()
    }

    /// Follows the store until the shutdown begins.
    pub(super) async fn follow(self, store: Store, shutdown: Shutdown) {
        let mut head = store.mutation_head();
        loop {
            let asked = store.clone();
            let waiting = tokio::task::spawn_blocking(move || {
                asked.mutation_after(head, POLL_TIMEOUT)?;
                asked.mutations_after(head, MAX_RECORDS).ok()
            });
            let entries = tokio::select! {
                entries = waiting => entries,
                () = shutdown.wait() => return,
            };
            for (sequence, entry) in entries.ok().flatten().unwrap_or_default() {
                head = sequence;
                if let Some(change) = change(&entry) {
                    // Nobody may be watching.
                    let _ = self.0.send(change);
                }
            }
        }
    }
}

/// What a mutation means to watchers. Most records that are not about a secret, such as a checkpoint every
/// second, mean nothing to them.
fn change(entry: &Entry) -> Option<StoreChange> {
    if let Some(secret) = entry.secret_id {
        return Some(StoreChange::Secret(secret, entry.time));
    }
    let several = matches!(
        entry.action,
        Action::EnableKey
            | Action::DisableKey
            | Action::ScheduleKeyDeletion
            | Action::CancelKeyDeletion
            | Action::DestroyKey
            | Action::DestroyKeyVersion
            | Action::BindNamespace
            | Action::AcceptNamespace
    );
    several.then(|| match &entry.namespace {
        Some(namespace) => StoreChange::Namespace(namespace.as_str().into()),
        None => StoreChange::All,
    })
}

#[cfg(test)]
mod tests {
    use strongroom_store::audit::Actor;

    use super::*;

    #[test]
    fn only_what_a_reader_could_notice_is_a_change() {
        let entry = |action| Entry::new(Timestamp::from_millis(0), Actor::System, action);
        assert_eq!(change(&entry(Action::DisableKey)), Some(StoreChange::All));
        let of_shop = Entry {
            namespace: Some("shop".parse().unwrap()),
            ..entry(Action::DisableKey)
        };
        assert_eq!(change(&of_shop), Some(StoreChange::Namespace("shop".into())));
        assert_eq!(change(&entry(Action::Checkpoint)), None);
        assert_eq!(
            change(&entry(Action::EnforcePolicy)),
            None,
            "its statements tell it"
        );
        let secret = SecretId::from_bytes([1; 16]);
        let put = Entry {
            secret_id: Some(secret),
            ..entry(Action::PutSecretValue)
        };
        assert_eq!(change(&put), Some(StoreChange::Secret(secret, put.time)));
    }
}
