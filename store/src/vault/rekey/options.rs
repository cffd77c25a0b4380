//! The options of a rekey, its progress messages, and its result.

use std::fmt;
use std::path::Path;

use strongroom_model::name::CursorName;
use strongroom_model::time::Timestamp;

use crate::audit::{Actor, RekeyRecord};
use crate::crypto::RootKey;
use crate::seal::SlotSecret;

/// How a store gets a new root key.
#[derive(Debug)]
pub struct RekeyOptions<'a> {
    /// Directory of the stopped store.
    pub dir: &'a Path,
    /// The root key so far, proven by [`SealFile::unlock`](crate::seal::SealFile::unlock).
    pub root: &'a RootKey,
    /// What opens the store from then on, with labels; at least one, and nothing else does.
    pub slots: &'a [(SlotSecret, String)],
    /// Readers of the audit, whose places are kept: the store has no list of their names. Any other begins
    /// anew, and is told twice what it was told before.
    pub cursors: &'a [CursorName],
    /// When, by the wall clock.
    pub now: Timestamp,
    /// Who asked for it.
    pub actor: Actor,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RekeyStep {
    /// So many records are in the new file.
    Records(u64),
    /// This segment of the read chain was written.
    Segment(u64),
    /// All was written, and opened again.
    Proven,
    /// The new root key counts, and the former one no longer does.
    Switched,
    /// The new segments are in place.
    ReadsInPlace,
    /// The new store file is in place.
    FileInPlace,
}

/// What became of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RekeyReport {
    /// Records in the new file.
    pub records: u64,
    /// Values that were sealed with new data keys.
    pub values: u64,
    /// Values whose encryption key was destroyed: nothing opened them before, and nothing does now.
    pub lost_values: u64,
    /// Encryption keys that have a new version, and no older one.
    pub keys: u64,
    /// Which audit key followed which.
    pub record: RekeyRecord,
}

impl fmt::Display for RekeyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "records: {}", self.records)?;
        writeln!(f, "values sealed anew: {}", self.values)?;
        if self.lost_values > 0 {
            writeln!(f, "values of destroyed encryption keys: {}", self.lost_values)?;
        }
        writeln!(f, "encryption keys with a new version: {}", self.keys)?;
        write!(
            f,
            "audit public key: {}, before: {}",
            self.record.after.key, self.record.before.key
        )
    }
}
