//! What was found, and how people read it.

use std::fmt;

use strongroom_model::id::StoreId;
use strongroom_model::time::Timestamp;

use crate::audit::{Fault, RekeyRecord, Truncation};

/// One of the two chains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chain {
    /// Changes, in the store.
    Mutations,
    /// Reads and refusals, in segment files.
    Reads,
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mutations => "mutation chain",
            Self::Reads => "read chain",
        })
    }
}

/// The first record of a chain that is not as it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadRecord {
    /// Which of the two chains.
    pub chain: Chain,
    /// Position of the record in that chain.
    pub sequence: u64,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, record {}: {}", self.chain, self.sequence, self.fault)
    }
}

/// What was found of one chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainReport {
    /// Records that are there and in order.
    pub records: u64,
    /// The last of them; 0: there is none.
    pub last: u64,
    /// The last record that a signature covers.
    pub signed: u64,
    /// Signatures that hold.
    pub checkpoints: u64,
}

/// After an unclean stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The first record that may be missing.
    pub missing_from: u64,
    /// The signed record that says so. All numbers between are known to be lost.
    pub sequence: u64,
    /// When the log was opened again.
    pub time: Timestamp,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyReport {
    /// Id of the store whose log it is.
    pub store: StoreId,
    /// The mutation chain.
    pub mutations: ChainReport,
    /// The read chain.
    pub reads: ChainReport,
    /// What was cut off the old ends of both, signed; none where the log begins with its first records.
    pub truncation: Option<Truncation>,
    /// New root keys, the oldest first; signed with the audit keys before and since.
    pub rekeys: Vec<RekeyRecord>,
    /// Unclean stops, in order.
    pub gaps: Vec<Gap>,
    /// Whether the read chain ends with a clean stop. If not, the store runs, was killed, or this is a copy
    /// of a running one.
    pub clean_end: bool,
    /// The first record whose bytes were cut off by a power cut, where the log was not opened since.
    pub torn: Option<u64>,
    /// The first bad record, of the mutation chain where both have one.
    pub bad: Option<BadRecord>,
}

impl VerifyReport {
    /// What is said where the records of new root keys do not hold: nothing tells then which key counts.
    pub(super) fn without_rekeys(store: StoreId) -> Self {
        Self {
            store,
            mutations: ChainReport::default(),
            reads: ChainReport::default(),
            truncation: None,
            rekeys: Vec::new(),
            gaps: Vec::new(),
            clean_end: false,
            torn: None,
            bad: Some(BadRecord {
                chain: Chain::Mutations,
                sequence: 1,
                fault: Fault::Rekey,
            }),
        }
    }

    /// Whether nothing is bad. Gaps are no fault: they are signed.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.bad.is_none()
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "store {}", self.store)?;
        for (chain, report) in [(Chain::Mutations, self.mutations), (Chain::Reads, self.reads)] {
            writeln!(
                f,
                "{chain}: {} records, last {}, signed up to {}, {} checkpoints",
                report.records, report.last, report.signed, report.checkpoints
            )?;
        }
        if let Some(Truncation { cut, time, .. }) = &self.truncation {
            writeln!(
                f,
                "truncated, signed at {time}: changes up to {} and reads up to {} were cut",
                cut.changes.sequence, cut.reads.sequence
            )?;
        }
        write_rekeys(f, &self.rekeys)?;
        write_gaps(f, &self.gaps)?;
        if let Some(torn) = self.torn {
            writeln!(
                f,
                "the read chain ends with a torn record {torn}; the next start signs a gap"
            )?;
        } else if !self.clean_end {
            writeln!(f, "the read chain has no clean end; the next start signs a gap")?;
        }
        match &self.bad {
            Some(bad) => write!(f, "BAD: {bad}"),
            None => f.write_str("sound"),
        }
    }
}

/// A line for each new root key.
pub(super) fn write_rekeys(f: &mut fmt::Formatter<'_>, rekeys: &[RekeyRecord]) -> fmt::Result {
    for RekeyRecord {
        before, after, time, ..
    } in rekeys
    {
        writeln!(
            f,
            "new root key, signed at {time} with the audit keys before and since: changes up to {} and reads up to {} were \
             sealed and signed anew; audit key {} before, {} since",
            after.changes.sequence, after.reads.sequence, before.key, after.key
        )?;
    }
    Ok(())
}

/// A line for each unclean stop.
pub(super) fn write_gaps(f: &mut fmt::Formatter<'_>, gaps: &[Gap]) -> fmt::Result {
    for gap in gaps {
        let from = gap.missing_from;
        write!(f, "unclean stop: reads from {from} on may be missing")?;
        if gap.sequence > from {
            write!(f, ", {from} to {} are lost", gap.sequence - 1)?;
        }
        writeln!(f, "; opened again at {}", gap.time)?;
    }
    Ok(())
}
