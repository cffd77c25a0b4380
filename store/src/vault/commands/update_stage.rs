//! Adds, moves or removes a label.

use strongroom_model::id::SecretId;
use strongroom_model::name::{Stage, VersionId};
use strongroom_model::time::Timestamp;

use super::{
    Command, Decision, Effect, EntryDraft, MAX_STAGES, Refusal, StoreError, View, move_stage, secret_view,
    view_after,
};
use crate::audit::Action;
use crate::vault::types::SecretView;

/// Adds (`move_to`), removes (`remove_from`) or moves (both) a label. Moving Current makes the version before
/// Previous. `remove_from` must hold the label: it is a compare-and-swap for rotation controllers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateStage {
    /// Must be live.
    pub secret: SecretId,
    /// The label that is added, removed or moved.
    pub stage: Stage,
    /// The version that shall carry it.
    pub move_to: Option<VersionId>,
    /// The version that must carry it now.
    pub remove_from: Option<VersionId>,
}

impl Command for UpdateStage {
    type Reply = SecretView;
    const ACTION: Action = Action::UpdateSecretVersionStage;

    fn subject(&self) -> Option<SecretId> {
        Some(self.secret)
    }

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<SecretView>, StoreError> {
        let before = view.live(&self.secret)?;
        let mut head = before.clone();
        if let Some(from) = &self.remove_from {
            let from = head.version(from).ok_or(Refusal::VersionNotFound)?;
            if head.stages.get(&self.stage) != Some(&from.sequence) {
                return Err(Refusal::StageNotFound(self.stage.to_string()).into());
            }
        }
        match (&self.move_to, &self.remove_from) {
            (Some(to), _) => {
                let to = head.version(to).ok_or(Refusal::VersionNotFound)?.sequence;
                move_stage(&mut head, &self.stage, to);
            }
            (None, Some(_)) => match self.stage {
                Stage::Current | Stage::Previous => {
                    return Err(Refusal::StageReserved(self.stage.to_string()).into());
                }
                Stage::Pending | Stage::Custom(_) => {
                    head.stages.remove(&self.stage);
                }
            },
            (None, None) => return Err(Refusal::StageUnchanged.into()),
        }
        if head.stages.len() > MAX_STAGES {
            return Err(Refusal::TooManyStages.into());
        }
        if head == before {
            return Ok(Decision::unchanged(secret_view(&head)));
        }
        head.updated = now;
        let namespace = view.namespace(&head.namespace)?;
        let about = EntryDraft::secret(Action::UpdateSecretVersionStage, &namespace, &head).with(|entry| {
            entry.stage = Some(self.stage);
            entry.version = self.move_to.or(self.remove_from);
        });
        let reply = view_after(&head);
        Ok(Decision::new(vec![Effect::PutHead(Box::new(head))], about, reply))
    }

    fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<SecretView>, StoreError> {
        Ok(Decision::unchanged(secret_view(&view.existing(&self.secret)?)))
    }
}
