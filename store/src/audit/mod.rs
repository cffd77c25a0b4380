//! The audit log: two linked hash chains.
//!
//! The *mutation chain* lies in the store, each record in the commit of its change. The *read chain* lies in
//! segment files; a read's record is written before the value leaves. Every mutation record carries the last
//! fsynced place of the read chain, and signed checkpoints name the head, so that order and completeness
//! verify with a public key alone. Both may be cut at their old end: a signed truncation says up to where.
//!
//! Must not hold a value, a key, or a hash of either.

mod action;
mod actor;
mod circumstances;
mod entry;
mod free_text;
#[cfg(any(test, feature = "test-util"))]
mod fuzzing;
#[cfg(any(test, feature = "test-util"))]
mod memory;
mod mutation;
mod mutation_rows;
mod read_back;
mod reads;
mod recorder;
mod refusals;
mod rekey_record;
mod requester;
mod retention;
mod truncation;
mod verify;

pub use action::Action;
pub use actor::Actor;
pub use circumstances::{Circumstances, MAX_STATEMENTS};
pub use entry::{AuditOutcome, Entry};
#[cfg(any(test, feature = "test-util"))]
#[doc(hidden)]
pub use fuzzing::forge;
#[cfg(test)]
pub(crate) use fuzzing::read_samples;
#[cfg(any(test, feature = "test-util"))]
pub(crate) use fuzzing::{round_trip_read_record, round_trip_segment_header};
#[cfg(any(test, feature = "test-util"))]
pub use memory::MemoryReads;
use mutation::MUTATION_CHAIN;
pub use mutation::{ChainHead, Checkpoint, MutationRecord, decode_key, encode_key, record};
pub(crate) use mutation_rows::{mutation_bytes, newest_epoch, row_bytes};
pub use read_back::{ReadChainRecord, reads_after};
use reads::READ_CHAIN;
pub use reads::{
    ActiveSegment, AuditUnavailable, ClosedSegment, Durability, Fault, READS_DIRECTORY, ReadChain, ReadHead,
    ReadLog, ReadLogError, ReadLogOptions, SegmentCopy, SegmentDirectory, SegmentLog, SegmentPlace,
    SegmentSpan, SegmentStorage,
};
pub(crate) use reads::{SeenReads, reseal_reads};
pub(crate) use recorder::Recorder;
pub use rekey_record::{ChainEnds, RekeyRecord};
pub(crate) use rekey_record::{current_key, decode_rekeys, encode_rekeys, rekeys_hold};
pub use requester::{Author, MAX_GROUPS, Requester};
pub use retention::{ExportProgress, RetentionLimits, RetentionLimitsError, WhenFull};
pub(crate) use retention::{
    Goal, OldestChange, OldestRecords, Plan, exported_by_all, full_reason, plan, roll_is_due,
};
pub use truncation::{Cut, Truncation};
pub use verify::{
    BadCopy, BadRecord, Chain, ChainReport, CopiesReport, CopiesVerifier, CopyFault, Gap, VerifyError,
    VerifyReport, verify, verify_on,
};
