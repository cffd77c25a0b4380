//! Secrets that are made where nothing is kept: destroyed without a window, or kept after all.

use strongroom_model::id::SecretId;
use strongroom_model::time::Timestamp;

use super::delete_secret::destroy;
use super::{Command, Decision, Effect, EntryDraft, Head, Namespace, Refusal, StoreError, View};
use crate::audit::Action;
use crate::format::Recovery;

/// What the record of the destruction says.
const DETAIL: &str =
    "destroyed at once: the namespace had the label strongroom.dev/recovery=none when the secret was made";

/// Destroys a secret that was made where nothing is kept. Of any other secret it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DestroySecret {
    /// In any state.
    pub secret: SecretId,
}

impl Command for DestroySecret {
    type Reply = ();
    const ACTION: Action = Action::DeleteSecret;

    fn subject(&self) -> Option<SecretId> {
        Some(self.secret)
    }

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        let head = view.existing(&self.secret)?;
        if head.recovery == Recovery::Window {
            return Err(Refusal::RecoveryWindowKept.into());
        }
        let namespace = view.namespace(&head.namespace)?;
        let about = about_destruction(&namespace, &head);
        Ok(Decision::new(destroy(head), about, ()))
    }

    fn repeated(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        Ok(Decision::unchanged(()))
    }
}

/// The record of such a destruction.
pub(super) fn about_destruction(namespace: &Namespace, head: &Head) -> EntryDraft {
    EntryDraft::secret(Action::DeleteSecret, namespace, head).with(|entry| entry.detail = DETAIL.to_owned())
}

/// Gives a secret a recovery window that was made without one. There is no way back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepRecoveryWindow {
    /// In any state.
    pub secret: SecretId,
}

impl Command for KeepRecoveryWindow {
    type Reply = ();
    const ACTION: Action = Action::UpdateSecret;

    fn subject(&self) -> Option<SecretId> {
        Some(self.secret)
    }

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<()>, StoreError> {
        let mut head = view.existing(&self.secret)?;
        if head.recovery == Recovery::Window {
            return Ok(Decision::unchanged(()));
        }
        head.recovery = Recovery::Window;
        head.updated = now;
        let namespace = view.namespace(&head.namespace)?;
        let about = EntryDraft::secret(Action::UpdateSecret, &namespace, &head)
            .with(|entry| entry.detail = "has a recovery window from now on".to_owned());
        Ok(Decision::new(vec![Effect::PutHead(Box::new(head))], about, ()))
    }
}
