//! Opens the recovery window, or destroys at once.

use std::time::Duration;

use strongroom_model::id::SecretId;
use strongroom_model::time::Timestamp;
use strongroom_model::{DEFAULT_RECOVERY_WINDOW_DAYS, RECOVERY_WINDOW_DAYS};

use super::{Command, Decision, Effect, EntryDraft, Refusal, StoreError, View};
use crate::audit::Action;
use crate::format::SecretState;
use crate::vault::effect::DueTask;

const DAY: Duration = Duration::from_secs(86_400);

/// How a secret goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deletion {
    /// Days in which it can be restored, 7 to 30; 30 where absent.
    pub window_days: Option<u32>,
    /// Destroys it at once, for good. Excludes a window.
    pub force: bool,
}

/// Begins the recovery window of a secret, or destroys it at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeleteSecret {
    /// Live, or with `force` also in its recovery window.
    pub secret: SecretId,
    /// At once, or after which recovery window.
    pub deletion: Deletion,
}

impl Command for DeleteSecret {
    /// When it is destroyed; none where it was at once.
    type Reply = Option<Timestamp>;
    const ACTION: Action = Action::DeleteSecret;

    fn subject(&self) -> Option<SecretId> {
        Some(self.secret)
    }

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<Option<Timestamp>>, StoreError> {
        let Deletion { window_days, force } = self.deletion;
        if force && window_days.is_some() {
            return Err(Refusal::WindowAndForce.into());
        }
        let days = window_days.unwrap_or(DEFAULT_RECOVERY_WINDOW_DAYS);
        if !RECOVERY_WINDOW_DAYS.contains(&days) {
            return Err(Refusal::WindowOutOfBounds(days).into());
        }
        let mut head = if force {
            view.existing(&self.secret)?
        } else {
            view.live(&self.secret)?
        };
        let namespace = view.namespace(&head.namespace)?;
        if force {
            let about = EntryDraft::secret(Action::DeleteSecret, &namespace, &head)
                .with(|entry| entry.detail = "destroyed at once".to_owned());
            return Ok(Decision::new(destroy(head), about, None));
        }
        let until = now.plus(DAY * days);
        head.state = SecretState::PendingDeletion { since: now, until };
        head.updated = now;
        let about = EntryDraft::secret(Action::DeleteSecret, &namespace, &head)
            .with(|entry| entry.detail = format!("recovery window of {days} days until {until}"));
        let effects = vec![
            Effect::AddDue(until, DueTask::Purge(head.id)),
            Effect::PutHead(Box::new(head)),
        ];
        Ok(Decision::new(effects, about, Some(until)))
    }

    fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<Option<Timestamp>>, StoreError> {
        match view.head(&self.secret)?.map(|head| head.state) {
            None => Ok(Decision::unchanged(None)),
            Some(SecretState::PendingDeletion { until, .. }) => Ok(Decision::unchanged(Some(until))),
            // Somebody restored it since: it is not deleted again.
            Some(SecretState::Live) => Err(Refusal::NotInRecoveryWindow.into()),
        }
    }
}

/// What destroys a secret, and takes it off the calendar.
pub(super) fn destroy(head: super::Head) -> Vec<Effect> {
    let mut effects = Vec::with_capacity(2);
    if let SecretState::PendingDeletion { until, .. } = head.state {
        effects.push(Effect::DropDue(until, DueTask::Purge(head.id)));
    }
    effects.push(Effect::DropSecret(Box::new(head)));
    effects
}
