//! Walks the mutation chain.
//!
//! A record holds the hash before it and not its own, so where two neighbours disagree the record after them decides: if it
//! confirms the later one, the earlier one was changed.

use std::ops::ControlFlow;

use super::super::mutation::{Checkpoint, MutationRecord};
use super::super::reads::Fault;
use super::ChainReport;
use super::links::Links;
use crate::codec::DecodeError;
use crate::crypto::PublicKey;
use crate::engine::{EngineError, Snapshot, Table};
use crate::id::StoreId;

/// The row of the last signed head.
const CHECKPOINT: &[u8] = b"checkpoint";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) report: ChainReport,
    pub(super) links: Links,
    pub(super) bad: Option<(u64, Fault)>,
}

#[derive(Default)]
struct Walk {
    found: Walked,
    hash: [u8; 32],
    /// The last record did not continue the one before it; which of the two was changed shows with the next.
    disputed: Option<u64>,
}

/// Walks the chain of a snapshot.
pub(super) fn walk(snapshot: &dyn Snapshot, store: &StoreId, key: &PublicKey) -> Result<Walked, EngineError> {
    let mut walk = Walk::default();
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

impl Walk {
    fn next(&mut self, store: &StoreId, key: &[u8], value: &[u8]) -> Result<(), (u64, Fault)> {
        let expected = self.found.report.last + 1;
        let record = MutationRecord::decode(key, value).map_err(|error| {
            let fault = match error {
                DecodeError::UnknownFormat(format) => Fault::Unknown(format),
                DecodeError::Short | DecodeError::Trailing | DecodeError::Invalid(_) => Fault::Changed,
            };
            (expected, fault)
        })?;
        self.settle(record.previous)?;
        if record.sequence > expected {
            return Err((
                expected,
                Fault::Missing {
                    next: record.sequence,
                },
            ));
        }
        if record.sequence < expected {
            return Err((record.sequence, Fault::Displaced));
        }
        if record.previous != self.hash {
            if expected == 1 {
                return Err((1, Fault::Displaced));
            }
            self.disputed = Some(expected);
        }
        self.hash = record.hash(store);
        self.found.report.records += 1;
        self.found.report.last = expected;
        if self.disputed.is_none() && !self.found.links.saw(record.reads) {
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
            return if last == 0 {
                Ok(())
            } else {
                Err((1, Fault::Unsigned))
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
