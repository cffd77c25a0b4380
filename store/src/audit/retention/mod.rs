//! How long the audit log is kept, and what happens where it has grown to its bound.
//!
//! | module | idea |
//! |---|---|
//! | `limits` | what a person chose |
//! | `plan` | which of the oldest records go now |
//! | `full` | why reads stop, in words |
//!
//! Pure: facts and `now` in, a plan out. INVARIANT: nothing goes that a reader outside has not got, nothing
//! of the read chain that a change which stays has seen less than, and never the segment in use. Must not
//! read, sign or remove anything; the vault does.

mod full;
mod limits;
mod plan;

pub(crate) use full::full_reason;
pub use limits::{RetentionLimits, RetentionLimitsError, WhenFull};
pub(crate) use plan::{Goal, OldestChange, OldestRecords, Plan, plan, roll_is_due};

/// How far a reader outside of the store has come, durably.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExportProgress {
    /// What people call it.
    pub reader: String,
    /// The last record of the mutation chain that it will never ask for again.
    pub changes: u64,
    /// The same of the read chain; the greatest number where it wants none of it.
    pub reads: u64,
}

/// The last records that every reader has got.
pub(crate) fn exported_by_all(readers: &[ExportProgress]) -> (u64, u64) {
    let least = |of: fn(&ExportProgress) -> u64| readers.iter().map(of).min().unwrap_or(u64::MAX);
    (least(|reader| reader.changes), least(|reader| reader.reads))
}
