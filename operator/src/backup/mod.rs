//! Backups by themselves: taken on a schedule, sent to a folder or a bucket, read back and opened, kept as
//! long as the limits say, and tried by drills.
//!
//! | module | idea |
//! |---|---|
//! | [`destination`] | where backups go, as the command line says it |
//! | [`bucket`] | a bucket that speaks the protocol of S3, over this process's own HTTP client |
//! | [`place`] | an open destination: what is listed, sent, read and deleted there |
//! | [`pieces`] | a stream of pieces between async code and code that waits |
//! | [`mod@snapshot`] | the store of now as such a stream |
//! | [`name`], [`manifest`] | what a backup is called, and what is known of it |
//! | [`catalog`] | what lies at a destination, and what of it goes |
//! | [`take`] | one backup, from the snapshot to the manifest that says it is verified |
//! | [`drill`] | a backup is restored into a place that is thrown away |
//! | [`reads`] | the read chain of the audit, copied beside the backups |
//! | [`schedule`] | the task: when each of these is done |
//! | [`status`] | how they stand, in a ConfigMap for people |
//!
//! When something is due, and which backups go, is decided in [`strongroom_rules::backup`].
//!
//! INVARIANT: what has a manifest was read back from the destination, and every part of it opened.

mod bucket;
mod catalog;
mod destination;
mod drill;
mod error;
mod manifest;
mod metrics;
mod name;
mod pieces;
mod place;
mod reads;
mod schedule;
mod snapshot;
mod status;
mod take;
#[cfg(test)]
mod tests;

pub(crate) use self::catalog::{newest, read_manifest};
pub(crate) use self::destination::BackupDestination;
pub(crate) use self::drill::{DrillJob, DrillKey, DrillOutcome};
pub(crate) use self::error::BackupError;
pub(crate) use self::manifest::BackupManifest;
pub(crate) use self::metrics::BackupMetrics;
pub(crate) use self::name::BackupName;
pub(crate) use self::place::BackupPlace;
pub(crate) use self::reads::verify_reads;
pub(crate) use self::schedule::{BackupPlan, BackupSettings, BackupTask, DrillPlan};
pub(crate) use self::snapshot::snapshot;
