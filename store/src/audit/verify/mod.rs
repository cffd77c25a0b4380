//! Verifies both chains with the public key alone: order, completeness, signatures, and that each saw what
//! the other holds. Where the root key was replaced since that key was noted, the signed records of that lead
//! from it to the one of now.
//!
//! Must not change a byte of what it looks at, and must not need a secret. Works on a stopped store and on a
//! copy of one. It cannot tell that a whole older copy was put in the place of a newer one: that is what the
//! anchor is for.

mod copies;
mod copies_report;
mod expected_heads;
mod mutations;
mod reads;
mod rekeys;
mod report;
#[cfg(test)]
mod tests;

use std::path::Path;

use strongroom_model::id::StoreId;

pub use copies::CopiesVerifier;
pub use copies_report::{BadCopy, CopiesReport, CopyFault};
pub use report::{BadRecord, Chain, ChainReport, Gap, VerifyReport};

use super::reads::{READS_DIRECTORY, ReadLogError, SegmentDirectory, SegmentStorage};
use super::{ReadHead, current_key};
use crate::crypto::PublicKey;
use crate::engine::{EngineError, STORE_FILE, Snapshot, view_file};
use crate::seal::{SealError, SealFile};

/// The store cannot be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store file cannot be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The seal file, which names the store, cannot be read.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The segments cannot be read.
    #[error(transparent)]
    Reads(#[from] ReadLogError),
}

/// Verifies the chains of the stopped store, or the copy of one, in `dir`.
///
/// # Errors
/// [`VerifyError`] where the files cannot be read; bad records are in the report.
pub fn verify(dir: &Path, key: &PublicKey) -> Result<VerifyReport, VerifyError> {
    let seal = SealFile::load(dir)?;
    let engine = view_file(&seal.locate(dir, STORE_FILE))?;
    let snapshot = engine.snapshot()?;
    let segments = SegmentDirectory::read_only(&seal.locate(dir, READS_DIRECTORY));
    verify_on(snapshot.as_ref(), &segments, seal.store(), key)
}

/// Verifies the chains of a snapshot and the segments that belong to it.
///
/// # Errors
/// [`VerifyError`] where they cannot be read.
pub fn verify_on(
    snapshot: &dyn Snapshot,
    segments: &dyn SegmentStorage,
    store: StoreId,
    key: &PublicKey,
) -> Result<VerifyReport, VerifyError> {
    let Some(rekeys) = rekeys::read(snapshot, &store)? else {
        return Ok(VerifyReport::without_rekeys(store));
    };
    let key = &current_key(&rekeys, key);
    let mutations = mutations::walk(snapshot, &store, key, rekeys.last())?;
    let mut links = mutations.links;
    let cut = mutations
        .truncation
        .map_or_else(ReadHead::default, |truncation| truncation.cut.reads);
    let reads = reads::walk(segments, &store, key, cut, &mut links)?;
    let bad_mutation = mutations.bad.map(|(sequence, fault)| BadRecord {
        chain: Chain::Mutations,
        sequence,
        fault,
    });
    let bad_read = reads.bad.map(|(sequence, fault)| BadRecord {
        chain: Chain::Reads,
        sequence,
        fault,
    });
    Ok(VerifyReport {
        store,
        mutations: mutations.report,
        reads: reads.report,
        truncation: mutations.truncation,
        rekeys,
        gaps: reads.gaps,
        clean_end: reads.clean_end,
        torn: reads.torn,
        bad: bad_mutation.or(bad_read),
    })
}
