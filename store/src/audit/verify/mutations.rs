//! Walks the mutation chain.
//!
//! A record holds the hash before it and not its own, so where two neighbours disagree the record after them
//! decides: if it confirms the later one, the earlier one was changed.
//!
//! Where the old end was cut, the chain begins behind the signed place, or before it where not all of what
//! was cut is gone yet: then it runs through that place.

use std::ops::ControlFlow;

use strongroom_model::id::StoreId;

use super::super::mutation::{Checkpoint, MutationRecord, decode_key};
use super::super::reads::Fault;
use super::super::{ChainHead, RekeyRecord, Truncation};
use super::ChainReport;
use super::expected_heads::ExpectedHeads;
use crate::codec::DecodeError;
use crate::crypto::PublicKey;
use crate::engine::{EngineError, Snapshot, Table};

/// The row of the last signed head.
const CHECKPOINT: &[u8] = b"checkpoint";
/// The row of the signed cut.
const TRUNCATION: &[u8] = b"truncation";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct MutationFindings {
    pub(super) report: ChainReport,
    pub(super) links: ExpectedHeads,
    /// What was cut; its signature holds.
    pub(super) truncation: Option<Truncation>,
    pub(super) bad: Option<(u64, Fault)>,
}

#[derive(Default)]
struct MutationWalk {
    found: MutationFindings,
    /// Up to where the chain was cut.
    cut: ChainHead,
    /// The chain's end when it was last sealed anew for another root key.
    rekeyed: ChainHead,
    hash: [u8; 32],
    /// The last record did not continue the one before it; which of the two was changed shows with the next.
    disputed: Option<u64>,
}

/// Walks the chain of a snapshot, which the last new root key sealed anew.
pub(super) fn walk(
    snapshot: &dyn Snapshot,
    store: &StoreId,
    key: &PublicKey,
    rekey: Option<&RekeyRecord>,
) -> Result<MutationFindings, EngineError> {
    let mut walk = MutationWalk {
        rekeyed: rekey.map_or_else(ChainHead::default, |rekey| rekey.after.changes),
        ..MutationWalk::default()
    };
    if let Some(stored) = snapshot.value(Table::Meta, TRUNCATION)? {
        let truncation = Truncation::decode(&stored).ok();
        let Some(truncation) = truncation.filter(|truncation| truncation.verifies(key, store)) else {
            walk.found.bad = Some((1, Fault::Truncation));
            return Ok(walk.found);
        };
        walk.cut = truncation.cut.changes;
        walk.hash = walk.cut.hash;
        walk.found.report.last = walk.cut.sequence;
        walk.found.links.start_at(truncation.cut.reads);
        walk.found.truncation = Some(truncation);
    }
    snapshot.visit(
        Table::Audit,
        &mut |record_key, value| match walk.next(store, record_key, value) {
            Ok(()) => ControlFlow::Continue(()),
            Err(bad) => {
                walk.found.bad = Some(bad);
                ControlFlow::Break(())
            }
        },
    )?;
    let stored = snapshot.value(Table::Meta, CHECKPOINT)?;
    if walk.found.bad.is_none()
        && let Err(bad) = walk.end(stored.as_deref(), store, key)
    {
        walk.found.bad = Some(bad);
    }
    Ok(walk.found)
}

impl MutationWalk {
    fn next(&mut self, store: &StoreId, key: &[u8], value: &[u8]) -> Result<(), (u64, Fault)> {
        let mut expected = self.found.report.last.saturating_add(1);
        let begins = self.found.report.records == 0;
        // It was cut, and waits for its removal. Nothing tells what was before it but the place that is
        // signed.
        let waits = begins.then(|| decode_key(key).map(|(_, sequence)| sequence));
        let waits = waits
            .and_then(Result::ok)
            .filter(|at| (1..=self.cut.sequence).contains(at));
        if let Some(sequence) = waits {
            expected = sequence;
        }
        let record = MutationRecord::decode(key, value).map_err(|error| {
            let fault = match error {
                DecodeError::UnknownFormat(format) => Fault::Unknown(format),
                DecodeError::Short | DecodeError::Trailing | DecodeError::Invalid(_) => Fault::Changed,
            };
            (expected, fault)
        })?;
        self.settle(record.previous)?;
        if waits.is_some() {
            self.hash = if expected > 1 { record.previous } else { [0; 32] };
        }
        if record.sequence > expected {
            let next = record.sequence;
            let fault = if begins {
                Fault::Beginning { first: next }
            } else {
                Fault::Missing { next }
            };
            return Err((expected, fault));
        }
        if record.sequence < expected {
            return Err((record.sequence, Fault::Displaced));
        }
        if record.previous != self.hash {
            if begins {
                return Err((expected, Fault::Displaced));
            }
            self.disputed = Some(expected);
        }
        self.hash = record.hash(store);
        self.found.report.records += 1;
        self.found.report.last = expected;
        for signed in [self.cut, self.rekeyed] {
            if expected == signed.sequence && self.hash != signed.hash {
                return Err((expected, Fault::Changed));
            }
        }
        if expected <= self.cut.sequence {
            // What it saw may be gone.
            return Ok(());
        }
        if self.disputed.is_none() && !self.found.links.push(record.reads) {
            return Err((expected, Fault::SawLess));
        }
        Ok(())
    }

    /// `confirmed` is what the next record, or the checkpoint, holds as the hash of the last record.
    fn settle(&self, confirmed: [u8; 32]) -> Result<(), (u64, Fault)> {
        match self.disputed {
            Some(later) if confirmed == self.hash => Err((later - 1, Fault::Changed)),
            Some(later) => Err((later, Fault::Displaced)),
            None => Ok(()),
        }
    }

    fn end(&mut self, stored: Option<&[u8]>, store: &StoreId, key: &PublicKey) -> Result<(), (u64, Fault)> {
        let last = self.found.report.last;
        let Some(stored) = stored else {
            return if self.found.report.records == 0 && self.found.truncation.is_none() {
                Ok(())
            } else {
                Err((self.cut.sequence.saturating_add(1), Fault::Unsigned))
            };
        };
        let checkpoint = Checkpoint::decode(stored)
            .ok()
            .filter(|checkpoint| checkpoint.verifies(key, store))
            .ok_or((last.max(1), Fault::Signature))?;
        let signed = checkpoint.head.sequence;
        self.settle(checkpoint.head.hash)?;
        if signed > last {
            return Err((last + 1, Fault::Truncated { known: signed }));
        }
        // Each commit signs its last record, so nothing can stand after it.
        if signed < last {
            return Err((signed + 1, Fault::Unsigned));
        }
        if checkpoint.head.hash != self.hash {
            return Err((last, Fault::Changed));
        }
        self.found.report.signed = signed;
        self.found.report.checkpoints = 1;
        Ok(())
    }
}
