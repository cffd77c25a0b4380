//! Cuts the audit log at its old end: first the truncation is signed, then the records are removed.

use std::ops::ControlFlow;

use strongroom_model::time::Timestamp;

use super::{Command, Decision, Effect, EntryDraft, Refusal, StoreError, View};
use crate::audit::{Action, ChainHead, Cut, MutationRecord, ReadHead};
use crate::engine::Table;

/// Signs away the oldest records of both chains. Nothing goes yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TruncateAudit {
    /// The last change that goes; what was cut before, where it is not higher than that.
    pub(crate) changes: u64,
    /// The last read that goes: the end of a piece that was found sound.
    pub(crate) reads: ReadHead,
}

impl Command for TruncateAudit {
    type Reply = Cut;
    const ACTION: Action = Action::TruncateAudit;

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<Cut>, StoreError> {
        let before = view.cut()?;
        let mut cut = before;
        if self.reads.sequence > before.reads.sequence {
            cut.reads = self.reads;
        }
        let last = self.changes.max(before.changes.sequence);
        let (gone, stays) = around(view, last)?;
        if let Some(gone) = gone
            && last > before.changes.sequence
        {
            cut.changes = ChainHead {
                sequence: last,
                hash: gone.hash(&view.keyring.store()),
            };
        }
        if cut == before {
            return Ok(Decision::unchanged(before));
        }
        // INVARIANT: the first change that stays follows what goes, and has seen all of the reads that go.
        let stays = stays
            .filter(|stays| stays.previous == cut.changes.hash && stays.reads.sequence >= cut.reads.sequence);
        if stays.is_none() {
            return Err(Refusal::AuditStillNeeded.into());
        }
        let detail = format!(
            "changes up to {}, reads up to {}",
            cut.changes.sequence, cut.reads.sequence
        );
        let about = EntryDraft::new(Action::TruncateAudit).with(|entry| entry.detail = detail);
        Ok(Decision::new(vec![Effect::SignCut(cut, now)], about, cut))
    }

    fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<Cut>, StoreError> {
        Ok(Decision::unchanged(view.cut()?))
    }
}

/// The change of a number, and the one after it.
fn around(
    view: &View<'_>,
    last: u64,
) -> Result<(Option<MutationRecord>, Option<MutationRecord>), StoreError> {
    let (mut gone, mut stays, mut damaged) = (None, None, false);
    view.snapshot.visit(Table::Audit, &mut |key, value| {
        let Ok(record) = MutationRecord::decode(key, value) else {
            damaged = true;
            return ControlFlow::Break(());
        };
        if record.sequence > last {
            stays = Some(record);
            return ControlFlow::Break(());
        }
        if record.sequence == last {
            gone = Some(record);
        }
        ControlFlow::Continue(())
    })?;
    if damaged {
        let record = "a record of the mutation chain".to_owned();
        return Err(StoreError::Damaged { record });
    }
    Ok((gone, stays))
}

/// Removes changes that were signed away, oldest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RemoveTruncated {
    /// At most so many.
    pub(crate) limit: usize,
}

impl Command for RemoveTruncated {
    /// How many records were removed.
    type Reply = usize;
    const ACTION: Action = Action::TruncateAudit;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<usize>, StoreError> {
        let last = view.cut()?.changes.sequence;
        let mut keys = Vec::new();
        view.snapshot.visit(Table::Audit, &mut |key, _| {
            let goes = crate::audit::decode_key(key).is_ok_and(|(_, sequence)| sequence <= last);
            if !goes || keys.len() >= self.limit {
                return ControlFlow::Break(());
            }
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        let removed = keys.len();
        let mut decision = Decision::unchanged(removed);
        decision.effects = keys.into_iter().map(Effect::DropChange).collect();
        Ok(decision)
    }
}
