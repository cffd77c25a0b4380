//! Destroys what is due, or what a person wants gone before.

use std::ops::ControlFlow;
use std::time::Duration;

use strongroom_model::id::{KeyId, SecretId};
use strongroom_model::time::Timestamp;

use super::delete_secret::destroy;
use super::{Command, Decision, Effect, EntryDraft, KeyState, Refusal, StoreError, View};
use crate::audit::Action;
use crate::engine::Table;
use crate::format::SecretState;
use crate::vault::effect::DueTask;

/// How long the wall clock must have agreed with the monotonic one before anything is destroyed on its word.
pub const CLOCK_TRUST_DELAY: Duration = Duration::from_secs(3_600);

/// Most destructions in one commit.
const MAX_PURGES_PER_COMMIT: usize = 64;

/// Destroys a secret that waits for its destruction, without waiting for the window's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PurgeSecret {
    /// In its recovery window, or it is refused.
    pub secret: SecretId,
}

impl Command for PurgeSecret {
    type Reply = ();
    const ACTION: Action = Action::PurgeSecret;

    fn subject(&self) -> Option<SecretId> {
        Some(self.secret)
    }

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        let head = view.existing(&self.secret)?;
        if head.state == SecretState::Live {
            return Err(Refusal::NotInRecoveryWindow.into());
        }
        let namespace = view.namespace(&head.namespace)?;
        let about = EntryDraft::secret(Action::PurgeSecret, &namespace, &head);
        Ok(Decision::new(destroy(head), about, ()))
    }

    fn repeated(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        Ok(Decision::unchanged(()))
    }
}

/// What was destroyed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PurgeOutcome {
    /// Those that were destroyed, by id.
    pub secrets: Vec<SecretId>,
    /// Encryption keys.
    pub keys: Vec<KeyId>,
    /// Whether more is due.
    pub more: bool,
}

/// Destroys secrets and keys whose window has closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PurgeDue {
    /// How long the wall clock has agreed with the monotonic one: a clock that jumped forward destroys
    /// nothing.
    pub steady_for: Duration,
}

impl Command for PurgeDue {
    type Reply = PurgeOutcome;
    const ACTION: Action = Action::PurgeSecret;

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<PurgeOutcome>, StoreError> {
        let mut due = Vec::new();
        let mut more = false;
        view.snapshot
            .visit(Table::Due, &mut |key, value| match DueTask::decode(key, value) {
                Some((at, what)) if at < now => {
                    if due.len() == MAX_PURGES_PER_COMMIT {
                        more = true;
                        return ControlFlow::Break(());
                    }
                    due.push((at, what));
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Break(()),
            })?;
        // What an earlier command of the same group took off the calendar is not due.
        let mut decision = Decision::unchanged(PurgeOutcome {
            more,
            ..PurgeOutcome::default()
        });
        for (at, what) in due {
            if view.raw(Table::Due, &what.key(at))?.is_none() {
                continue;
            }
            if self.steady_for < CLOCK_TRUST_DELAY {
                return Err(Refusal::ClockUnsteady.into());
            }
            match what {
                DueTask::Purge(secret) => {
                    let head = view.existing(&secret)?;
                    let namespace = view.namespace(&head.namespace)?;
                    decision
                        .entries
                        .push(EntryDraft::secret(Action::PurgeSecret, &namespace, &head));
                    decision.effects.extend(destroy(head));
                    decision.reply.secrets.push(secret);
                }
                DueTask::DestroyKey(namespace, id) => {
                    let mut key = view.key(&namespace, &id)?;
                    for version in key.versions.drain(..) {
                        decision.effects.push(Effect::DropMaterial(id, version.version));
                    }
                    key.state = KeyState::Destroyed;
                    let name = view.namespace(&namespace)?.name;
                    decision
                        .entries
                        .push(EntryDraft::new(Action::DestroyKey).with(|entry| {
                            entry.namespace = Some(name);
                            entry.key = Some(id);
                        }));
                    decision.effects.push(Effect::DropDue(at, what));
                    decision.effects.push(Effect::PutKey(Box::new(key)));
                    decision.reply.keys.push(id);
                }
            }
        }
        Ok(decision)
    }
}
