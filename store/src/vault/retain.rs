//! Keeps the audit log within its limits: looks at its old end, plans, signs the cut, and removes what was
//! cut.
//!
//! What was signed away is removed by the next round where this one is cut short: a crash at any instant
//! leaves a log that verifies. Must not decide what goes; [`crate::audit`] does.

use std::ops::ControlFlow;
use std::time::Duration;

use strongroom_model::id::RequestId;
use strongroom_model::time::Timestamp;

use super::audit_position::AuditPosition;
use super::commands::{CLOCK_TRUST_DELAY, RemoveTruncated, TruncateAudit};
use super::error::{Refusal, StoreError};
use super::store::Store;
use super::types::Meta;
use super::view::View;
use crate::audit::{
    Actor, AuditUnavailable, ClosedSegment, Cut, ExportProgress, Goal, MutationRecord, OldestChange,
    OldestRecords, ReadHead, ReadLogError, SegmentLog, exported_by_all, full_reason, plan, roll_is_due,
    row_bytes,
};
use crate::engine::Table;

/// Most changes that one cut signs away, or one commit removes.
const MAX_CHANGES_PER_CUT: usize = 4_096;
/// Most pieces of the read chain that one cut signs away.
const MAX_SEGMENTS_PER_CUT: usize = 16;
/// Most cuts of one call.
const MAX_CUTS_PER_CALL: usize = 8;

/// The log's size after its limits were looked at, and what went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RetentionReport {
    /// Bytes of the mutation chain.
    pub change_bytes: u64,
    /// Bytes of the read chain, without the room that is laid out ahead.
    pub read_bytes: u64,
    /// Why reads are refused, where the log has reached its bound.
    pub full: Option<String>,
    /// Changes that were removed.
    pub changes_removed: u64,
    /// Bytes of reads that were removed.
    pub read_bytes_removed: u64,
}

/// The log could not be kept within its limits. Nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum RetainError {
    /// The mutation chain cannot be read or cut.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The read chain cannot be read, or is damaged at its old end: what is not sound is not cut.
    #[error("no audit records are cut: {0}")]
    Reads(#[from] ReadLogError),
    /// The segment in use cannot be closed.
    #[error(transparent)]
    Roll(#[from] AuditUnavailable),
}

/// The old end of the mutation chain.
#[derive(Default)]
struct Oldest {
    changes: Vec<OldestChange>,
    /// Up to where both chains were cut before.
    cut: Cut,
}

impl Store {
    /// Brings the audit log within its limits as far as its readers allow. `steady_for` is how long the wall
    /// clock has agreed with the monotonic one: no record is cut for its age after the clock jumped.
    ///
    /// # Errors
    /// [`RetainError`]; what was signed away before it is removed the next time.
    pub fn retain(
        &self,
        readers: &[ExportProgress],
        now: Timestamp,
        steady_for: Duration,
    ) -> Result<RetentionReport, RetainError> {
        let _one = self.shared.retaining.lock();
        let mut done = RetentionReport::default();
        let kept = self.keep_within(readers, now, steady_for, &mut done);
        // Also where nothing could be cut, people read why.
        let heads = (self.mutation_head(), self.read_head());
        let bound = &self.shared.caches.bound;
        let text = full_reason(&bound.limits, readers, heads);
        done.change_bytes = bound.changes();
        done.read_bytes = self.shared.reads().bytes();
        done.full = bound.is_reached(done.read_bytes).then(|| text.clone());
        bound.set_reason(text);
        kept.map(|()| done)
    }

    fn keep_within(
        &self,
        readers: &[ExportProgress],
        now: Timestamp,
        steady_for: Duration,
        done: &mut RetentionReport,
    ) -> Result<(), RetainError> {
        let limits = self.shared.caches.bound.limits;
        let Some(old) = self.shared.reads().segments() else {
            return Ok(());
        };
        self.remove(old, now, done)?;
        if !limits.removes_records() {
            return Ok(());
        }
        let trusted = (steady_for >= CLOCK_TRUST_DELAY).then_some(now);
        if roll_is_due(&limits, &old.active_segment()?, trusted) {
            old.roll()?;
        }
        for _ in 0..MAX_CUTS_PER_CALL {
            let planned = match self.plan(old, exported_by_all(readers), trusted)? {
                None => self.plan_ignoring_readers(old)?,
                planned => planned,
            };
            let Some(plan) = planned else { break };
            let command = TruncateAudit {
                changes: plan.changes.unwrap_or(0),
                reads: plan.reads.unwrap_or_default(),
            };
            match self.run(command, meta(now)?) {
                Ok(_) => self.remove(old, now, done)?,
                Err(StoreError::Refused(Refusal::AuditStillNeeded)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The last records of both chains that were cut at their old end.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn audit_cut(&self) -> Result<AuditPosition, StoreError> {
        let cut = self.with_view(|view| view.cut())?;
        Ok(AuditPosition {
            changes: cut.changes.sequence,
            reads: cut.reads.sequence,
        })
    }

    /// Bytes of both chains now.
    #[must_use]
    pub fn audit_bytes(&self) -> u64 {
        self.shared
            .caches
            .bound
            .changes()
            .saturating_add(self.shared.reads().bytes())
    }

    /// What goes now, as far as one cut goes.
    fn plan(
        &self,
        old: &SegmentLog,
        exported: (u64, u64),
        now: Option<Timestamp>,
    ) -> Result<Option<crate::audit::Plan>, RetainError> {
        let limits = self.shared.caches.bound.limits;
        let bytes = self.shared.caches.bound.changes() + self.shared.reads().bytes();
        let first = self.oldest(1, exported.0)?;
        let piece = old.next_closed_segment(first.cut.reads)?;
        let oldest = [
            first.changes.first().map(|change| change.time),
            piece.map(|piece| piece.newest),
        ];
        let oldest = oldest.into_iter().flatten().min();
        let Some(goal) = Goal::from_limits(&limits, bytes, oldest, now) else {
            return Ok(None);
        };
        self.plan_for(&goal, old, exported)
    }

    /// What goes of a log that rolls, near its bound, although a reader has not got it.
    fn plan_ignoring_readers(&self, old: &SegmentLog) -> Result<Option<crate::audit::Plan>, RetainError> {
        let bytes = self.shared.caches.bound.changes() + self.shared.reads().bytes();
        match Goal::ignoring_readers(&self.shared.caches.bound.limits, bytes) {
            None => Ok(None),
            Some(goal) => self.plan_for(&goal, old, (u64::MAX, u64::MAX)),
        }
    }

    fn plan_for(
        &self,
        goal: &Goal,
        old: &SegmentLog,
        exported: (u64, u64),
    ) -> Result<Option<crate::audit::Plan>, RetainError> {
        let found = self.oldest(MAX_CHANGES_PER_CUT, exported.0)?;
        let pieces = pieces(old, found.cut.reads, exported.1)?;
        Ok(plan(
            goal,
            &OldestRecords {
                changes: &found.changes,
                pieces: &pieces,
                exported,
            },
        ))
    }

    /// The oldest changes, at most so many, and those that are exported, with one more.
    fn oldest(&self, most: usize, exported: u64) -> Result<Oldest, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let keyring = &self.shared.keyring;
        let cut = View::new(keyring, snapshot.as_ref()).cut()?;
        let mut found = Oldest {
            changes: Vec::new(),
            cut,
        };
        let mut damaged = false;
        snapshot.visit(Table::Audit, &mut |key, value| {
            let record = MutationRecord::decode(key, value);
            let opened = record.and_then(|record| match record.open(keyring) {
                Ok(entry) => Ok((record, entry.time)),
                Err(_) => Err(crate::codec::DecodeError::Invalid("entry")),
            });
            let Ok((record, time)) = opened else {
                damaged = true;
                return ControlFlow::Break(());
            };
            found.changes.push(OldestChange {
                sequence: record.sequence,
                seen: record.reads.sequence,
                bytes: row_bytes(key, value),
                time,
            });
            if found.changes.len() > most || record.sequence > exported {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if damaged {
            return Err(StoreError::damaged("a record of the mutation chain"));
        }
        Ok(found)
    }

    /// Removes what was signed away, as far as it is still there.
    fn remove(
        &self,
        old: &SegmentLog,
        now: Timestamp,
        done: &mut RetentionReport,
    ) -> Result<(), RetainError> {
        let cut = self.with_view(|view| view.cut())?;
        // INVARIANT: the signed cut is durable before the first record goes, and each chain loses its oldest
        // first.
        done.read_bytes_removed += old.remove_through(cut.reads.sequence)?;
        loop {
            let removed = if self.has_change_before(cut.changes.sequence)? {
                self.run(
                    RemoveTruncated {
                        limit: MAX_CHANGES_PER_CUT,
                    },
                    meta(now)?,
                )?
            } else {
                0
            };
            done.changes_removed += removed as u64;
            if removed < MAX_CHANGES_PER_CUT {
                return Ok(());
            }
        }
    }

    /// Whether a change with this number or a lower one is there.
    fn has_change_before(&self, sequence: u64) -> Result<bool, StoreError> {
        if sequence == 0 {
            return Ok(false);
        }
        let snapshot = self.shared.engine.snapshot()?;
        let first = snapshot.scan(Table::Audit, &[], None, 1)?;
        Ok(first
            .first()
            .and_then(|(key, _)| crate::audit::decode_key(key).ok())
            .is_some_and(|(_, first)| first <= sequence))
    }
}

/// The oldest closed pieces that are exported.
fn pieces(old: &SegmentLog, after: ReadHead, exported: u64) -> Result<Vec<ClosedSegment>, ReadLogError> {
    let mut pieces: Vec<ClosedSegment> = Vec::new();
    while pieces.len() < MAX_SEGMENTS_PER_CUT
        && let Some(piece) = old.next_closed_segment(pieces.last().map_or(after, |last| last.end))?
        && piece.end.sequence <= exported
    {
        pieces.push(piece);
    }
    Ok(pieces)
}

fn meta(now: Timestamp) -> Result<Meta, StoreError> {
    Ok(Meta {
        actor: Actor::System,
        request: RequestId::generate().map_err(|_| crate::crypto::CryptoError::NoRandomness)?,
        now,
        asked: None,
    })
}
