//! Brings a secret back inside its recovery window, exactly as it was.

use strongroom_model::id::SecretId;
use strongroom_model::time::Timestamp;

use super::{Command, Decision, Effect, EntryDraft, Refusal, StoreError, View, secret_view, view_after};
use crate::audit::Action;
use crate::format::SecretState;
use crate::vault::effect::DueTask;
use crate::vault::types::SecretView;

/// Restores a secret. After its window it is as if it were not there, even before it is destroyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestoreSecret {
    /// In its recovery window, or it is refused.
    pub secret: SecretId,
}

impl Command for RestoreSecret {
    type Reply = SecretView;
    const ACTION: Action = Action::RestoreSecret;

    fn subject(&self) -> Option<SecretId> {
        Some(self.secret)
    }

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<SecretView>, StoreError> {
        let mut head = view.existing(&self.secret)?;
        let SecretState::PendingDeletion { until, .. } = head.state else {
            return Err(Refusal::NotInRecoveryWindow.into());
        };
        if now > until {
            return Err(Refusal::SecretNotFound.into());
        }
        head.state = SecretState::Live;
        head.updated = now;
        let namespace = view.namespace(&head.namespace)?;
        let about = EntryDraft::secret(Action::RestoreSecret, &namespace, &head);
        let reply = view_after(&head);
        let effects = vec![
            Effect::DropDue(until, DueTask::Purge(head.id)),
            Effect::PutHead(Box::new(head)),
        ];
        Ok(Decision::new(effects, about, reply))
    }

    fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<SecretView>, StoreError> {
        Ok(Decision::unchanged(secret_view(&view.existing(&self.secret)?)))
    }
}
