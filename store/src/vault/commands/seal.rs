//! Remembers the seal file's digest: before a change of the file as the next one, after it as the one in
//! force.

use strongroom_model::time::Timestamp;

use super::{Command, Decision, Effect, EntryDraft, StoreError, View};
use crate::audit::Action;
use crate::format::SealDigest;

/// Puts the digests in place, on a record that says what changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ChangeSeal {
    pub(crate) digest: SealDigest,
    pub(crate) detail: String,
}

impl Command for ChangeSeal {
    type Reply = ();
    const ACTION: Action = Action::ChangeSeal;

    fn decide(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        Ok(Decision::new(
            vec![Effect::PutSeal(self.digest)],
            EntryDraft::new(Action::ChangeSeal).with(|entry| entry.detail = self.detail),
            (),
        ))
    }
}
