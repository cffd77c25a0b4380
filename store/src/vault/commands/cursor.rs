//! Places of readers, and the read chain's place in the mutation chain. Neither is a change of a secret.

use strongroom_model::name::CursorName;
use strongroom_model::time::Timestamp;

use super::{Command, Decision, Effect, EntryDraft, Refusal, StoreError, View};
use crate::audit::Action;

/// Remembers how far a reader of the mutation chain has come. Not recorded: a record would move every
/// reader's end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetCursor {
    /// Name that the reader's place is kept under.
    pub name: CursorName,
    /// Its place, at most 256 bytes.
    pub place: Vec<u8>,
}

impl Command for SetCursor {
    type Reply = ();
    /// Of a refusal alone. A cursor has no code of its own: codes are part of the format, and older programs
    /// do not read new ones.
    const ACTION: Action = Action::Checkpoint;

    fn decide(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        if self.place.len() > 256 {
            return Err(Refusal::MetadataTooLarge("a cursor's place has at most 256 bytes").into());
        }
        Ok(Decision {
            effects: vec![Effect::PutCursor(self.name, self.place)],
            entries: Vec::new(),
            takes: None,
            reply: (),
        })
    }
}

/// Remembers how far a reader has come that will not get all of it, and records what it lacks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordExportGap {
    /// Name that the reader's place is kept under.
    pub name: CursorName,
    /// Its place, at most 256 bytes.
    pub place: Vec<u8>,
    /// Who lacks what, at most 256 bytes.
    pub detail: String,
}

impl Command for RecordExportGap {
    type Reply = ();
    /// For that reader the log is cut there. A code of its own would be one that older programs do not read.
    const ACTION: Action = Action::TruncateAudit;

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<()>, StoreError> {
        let Self { name, place, detail } = self;
        let mut decision = SetCursor { name, place }.decide(view, now)?;
        let about = EntryDraft::new(Action::TruncateAudit).with(|entry| entry.detail = detail);
        decision.entries.push(about);
        Ok(decision)
    }

    fn repeated(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        Ok(Decision::unchanged(()))
    }
}

/// Writes the read chain's last fsynced place into the mutation chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordCheckpoint;

impl Command for RecordCheckpoint {
    type Reply = ();
    const ACTION: Action = Action::Checkpoint;

    fn decide(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        Ok(Decision::new(Vec::new(), EntryDraft::new(Action::Checkpoint), ()))
    }
}

/// Audits that the store was restored from a backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RecordRestore {
    /// What opened the backup, and what was accepted.
    pub(crate) detail: String,
}

impl Command for RecordRestore {
    type Reply = ();
    const ACTION: Action = Action::Restore;

    fn decide(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        let about = EntryDraft::new(Action::Restore).with(|entry| entry.detail = self.detail);
        Ok(Decision::new(Vec::new(), about, ()))
    }
}

/// Records a fact about the store as a whole: a backup, a rollback that a person accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordStoreEvent {
    /// What was done.
    pub action: Action,
    /// Facts about it, at most 256 bytes.
    pub detail: String,
}

impl Command for RecordStoreEvent {
    type Reply = ();
    /// Never seen: nothing here is refused, and the record of what was done has the action of the event.
    const ACTION: Action = Action::Checkpoint;

    fn decide(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        let about = EntryDraft::new(self.action).with(|entry| entry.detail = self.detail);
        Ok(Decision::new(Vec::new(), about, ()))
    }
}
