//! What was found of the copies of a read chain, and how people read it.

use std::fmt;

use strongroom_model::id::StoreId;
use strongroom_model::time::Timestamp;

use super::Gap;
use super::report::{write_gaps, write_rekeys};
use crate::audit::{Fault, RekeyRecord};

/// What is wrong with a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CopyFault {
    /// Its beginning is not that of a segment.
    #[error("it is no segment of a read chain: cut off or changed")]
    NoSegment,
    /// Its records are those of another store.
    #[error("it belongs to store {0}")]
    OtherStore(StoreId),
    /// A newer version wrote it.
    #[error("it has format {0}, which this version does not know; run a newer strongroom")]
    UnknownFormat(u8),
    /// One of its records is not what was written.
    #[error("record {sequence}: {fault}")]
    Record {
        /// Position of the record in the chain.
        sequence: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// It holds other records than its name says.
    #[error("it is not what its name says: cut off, replaced or renamed")]
    Misnamed,
    /// Nothing is there that leads to it.
    #[error("records {from} to {to}, which come before it, are missing")]
    Missing {
        /// The first that is missing.
        from: u64,
        /// The last that is missing.
        to: u64,
    },
    /// What stands before it is something else.
    #[error("it does not continue what stands before it")]
    Displaced,
    /// It was signed with a key that was no longer in use.
    #[error("it is signed with the audit key that was replaced after record {last}")]
    ReplacedKey {
        /// The last record under that key.
        last: u64,
    },
    /// The signed record of a new root key is not what was signed.
    #[error("its signatures do not hold: it was changed, or made without one of the keys")]
    Rekey,
}

/// A copy that does not count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadCopy {
    /// What it is called.
    pub name: String,
    /// What is wrong.
    pub fault: CopyFault,
}

impl fmt::Display for BadCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.name, self.fault)
    }
}

/// What copies of a read chain prove.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopiesReport {
    /// Whose reads they are.
    pub store: StoreId,
    /// Segments that are sound, those that a longer copy replaces left out.
    pub segments: u64,
    /// How many entries those segments hold.
    pub records: u64,
    /// Signatures that hold.
    pub checkpoints: u64,
    /// The lowest number of a record; 0: there is none.
    pub first: u64,
    /// The highest number of a record.
    pub last: u64,
    /// When the youngest record was signed.
    pub newest: Option<Timestamp>,
    /// New root keys, the oldest first.
    pub rekeys: Vec<RekeyRecord>,
    /// Unclean stops and restores, in order.
    pub gaps: Vec<Gap>,
    /// Records after which the log went on twice, because an older copy of the store was put back.
    pub forks: Vec<u64>,
    /// Sound segments that only an audit key speaks for which was replaced since.
    pub under_replaced_key: u64,
    /// What does not count, in the order of names.
    pub bad: Vec<BadCopy>,
}

impl CopiesReport {
    /// Whether nothing is bad.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.bad.is_empty()
    }
}

impl fmt::Display for CopiesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "store {}", self.store)?;
        writeln!(
            f,
            "copies of the read chain: {} segments, {} records, from {} to {}, {} checkpoints",
            self.segments, self.records, self.first, self.last, self.checkpoints
        )?;
        if let Some(newest) = self.newest {
            writeln!(f, "the youngest record was signed at {newest}")?;
        }
        if self.first > 1 {
            writeln!(
                f,
                "begins with record {}: older ones are beyond the limits of backups, or were removed",
                self.first
            )?;
        }
        write_rekeys(f, &self.rekeys)?;
        write_gaps(f, &self.gaps)?;
        for fork in &self.forks {
            writeln!(
                f,
                "the log went on twice after record {fork}: an older copy of the store was put back"
            )?;
        }
        if self.under_replaced_key > 0 {
            writeln!(
                f,
                "{} segments are signed with a replaced audit key alone: whoever has the former root key can make such",
                self.under_replaced_key
            )?;
        }
        for bad in &self.bad {
            writeln!(f, "BAD: {bad}")?;
        }
        f.write_str(if self.is_sound() { "sound" } else { "NOT sound" })
    }
}
