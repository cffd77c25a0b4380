//! Which of the oldest records go now.

use std::time::Duration;

use strongroom_model::time::Timestamp;

use super::super::ReadHead;
use super::super::reads::{ActiveSegment, ClosedSegment};
use super::{RetentionLimits, WhenFull};

/// One of the oldest records of the mutation chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OldestChange {
    /// Position in the mutation chain.
    pub(crate) sequence: u64,
    /// The place of the read chain that it saw.
    pub(crate) seen: u64,
    /// Bytes of its row.
    pub(crate) bytes: u64,
    /// When it was made.
    pub(crate) time: Timestamp,
}

/// The old ends of both chains, and what readers outside have got of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OldestRecords<'a> {
    /// The oldest changes, in order; the last of them only shows what it saw, and stays.
    pub(crate) changes: &'a [OldestChange],
    /// The oldest closed pieces of the read chain, in order.
    pub(crate) pieces: &'a [ClosedSegment],
    /// The last change that every reader has got, and the last read.
    pub(crate) exported: (u64, u64),
}

/// What should go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Goal {
    /// What was made before.
    before: Option<Timestamp>,
    /// The oldest, so many bytes.
    bytes: u64,
}

impl Goal {
    /// The goal of a log of so many bytes whose oldest record was made at `oldest`; none where all of it may
    /// stay. `now` is absent where the clock is not to be trusted: then nothing goes for its age.
    ///
    /// It begins a little beyond a limit and goes a little below, so that not each second cuts a record.
    pub(crate) fn from_limits(
        limits: &RetentionLimits,
        bytes: u64,
        oldest: Option<Timestamp>,
        now: Option<Timestamp>,
    ) -> Option<Self> {
        let before = limits
            .keep_for()
            .zip(now)
            .zip(oldest)
            .and_then(|((keep, now), oldest)| {
                let slack = (keep / 24).min(Duration::from_secs(3_600));
                (now.since(oldest) > keep + slack).then(|| earlier(now, keep))
            });
        let kept = limits
            .keep_bytes()
            .map_or(0, |keep| over(bytes, keep, keep - keep / 16));
        let bytes = kept.max(near_bound(limits, bytes));
        (before.is_some() || bytes > 0).then_some(Self { before, bytes })
    }

    /// What goes of a log that rolls and has come near its bound, whoever has not got it.
    pub(crate) fn ignoring_readers(limits: &RetentionLimits, bytes: u64) -> Option<Self> {
        let bytes = near_bound(limits, bytes);
        (limits.when_full() == WhenFull::Roll && bytes > 0).then_some(Self { before: None, bytes })
    }
}

/// How much goes where there is more than a limit, to come down to `to`.
const fn over(bytes: u64, limit: u64, to: u64) -> u64 {
    if bytes > limit { bytes - to } else { 0 }
}

/// How much goes because the bound is near.
const fn near_bound(limits: &RetentionLimits, bytes: u64) -> u64 {
    match (limits.bound(), limits.when_full()) {
        (Some(bound), WhenFull::DropExported | WhenFull::Roll) => {
            over(bytes, bound - bound / 16, bound - bound / 8)
        }
        _ => 0,
    }
}

/// The time so long before.
fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(millis))
}

/// Up to where the chains are cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// The last change that goes; none goes where absent.
    pub(crate) changes: Option<u64>,
    /// The end of the last piece of the read chain that goes; none goes where absent.
    pub(crate) reads: Option<ReadHead>,
}

/// What goes of the old ends, in the order of time. None where nothing can.
pub(crate) fn plan(goal: &Goal, old: &OldestRecords<'_>) -> Option<Plan> {
    let mut plan = Plan {
        changes: None,
        reads: None,
    };
    let (mut changes, mut pieces, mut gone) = (old.changes, old.pieces, 0_u64);
    // INVARIANT: the first change that stays has seen all of the reads that go, so that what it saw can be
    // looked for.
    while let Some((first, later)) = changes.split_first() {
        let change = Some(first).filter(|change| !later.is_empty() && change.sequence <= old.exported.0);
        let piece = pieces
            .first()
            .filter(|piece| piece.end.sequence <= old.exported.1 && piece.end.sequence <= first.seen);
        let wanted = |time: Timestamp| gone < goal.bytes || goal.before.is_some_and(|before| time < before);
        match (change, piece) {
            (change, Some(piece)) if change.is_none_or(|change| change.time >= piece.newest) => {
                if !wanted(piece.newest) {
                    break;
                }
                plan.reads = Some(piece.end);
                gone = gone.saturating_add(piece.bytes);
                pieces = pieces.get(1..).unwrap_or_default();
            }
            (Some(change), _) if wanted(change.time) => {
                plan.changes = Some(change.sequence);
                gone = gone.saturating_add(change.bytes);
                changes = later;
            }
            _ => break,
        }
    }
    (plan.changes.is_some() || plan.reads.is_some()).then_some(plan)
}

/// Whether the segment in use should be closed, so that its records can go once they are old: it goes as a
/// whole.
pub(crate) fn roll_is_due(limits: &RetentionLimits, in_use: &ActiveSegment, now: Option<Timestamp>) -> bool {
    let Some(began) = in_use.began else { return false };
    let old = limits.keep_for().zip(now).is_some_and(|(keep, now)| {
        // An eighth late at most.
        now.since(began) > (keep / 8).max(Duration::from_secs(3_600))
    });
    // It was laid out before the limits were what they are.
    old || limits.removes_records() && in_use.bytes >= limits.segment_bytes()
}

#[cfg(test)]
mod tests;
