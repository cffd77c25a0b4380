//! The vault: secrets, versions and keys on an engine, sealed under the keyring, audited.
//!
//! A [`Store`] is cheap to clone. Changes are [`Command`]s: decided on a view, committed in groups by one
//! writer thread, answered once durable. Reads look at a snapshot, and are audited before a value leaves.
//!
//! | files | idea |
//! |---|---|
//! | `creation`, `open`, `state`, `directory` | a store comes to be, and is opened once it is proven |
//! | `store`, `shared`, `caches` | what is open: the ways in, and all that follows the rows in memory |
//! | `job`, `writer`, `commit_changes` | the way of a command into a commit |
//! | `commands`, `view`, `effect` | the rules: what is decided on what, and what that changes |
//! | `read` | what is asked |
//! | `read_copies` | what is copied outside of the store |
//! | `backup`, `check`, `compact`, `drill`, `rekey`, `retain`, `seal` | what the person who runs it does |
//!
//! Must not know Kubernetes, read the wall clock, keep a value in memory, or name an engine.

mod anchor;
mod audit_bound;
mod audit_position;
mod backup;
mod backup_check;
mod backup_format;
mod backup_reader;
mod caches;
mod check;
mod commands;
mod commit_changes;
mod commit_failure;
mod compact;
mod creation;
mod directory;
mod drill;
mod effect;
mod error;
mod group_stats;
mod heads;
mod indexed_record;
mod job;
mod name_index;
mod namespace_quotas;
mod new_file;
mod open;
mod open_error;
mod product_account;
mod product_quotas;
mod quota;
mod read;
mod read_cache;
mod read_copies;
mod record_views;
mod rekey;
mod retain;
mod seal;
mod sealed_version;
mod shared;
mod state;
mod store;
mod types;
mod usage_count;
mod view;
mod writer;

pub use anchor::{Anchor, MalformedAnchor, StrictAnchor};
pub use audit_position::AuditPosition;
pub use backup::{RestoreOptions, restore};
pub use backup_check::BackupReport;
#[cfg(any(test, feature = "test-util"))]
pub(crate) use backup_format::{decode_part, encode_part};
pub use check::{CheckReport, check, count_secrets};
pub use commands::*;
pub use compact::{CompactionReport, compact};
pub use creation::CreateStoreOptions;
pub use directory::exists;
pub use drill::{BackupKey, DrillOptions, DrillReport, drill};
pub use error::{Refusal, Retry, StoreError};
pub use group_stats::StoreStats;
pub use open::{AnchorRule, OpenStoreOptions};
pub use open_error::OpenError;
pub use quota::{HumanBytes, Usage};
pub use read::{AuditNote, GetValue};
pub use rekey::{RekeyOptions, RekeyReport, RekeyStep, rekey};
pub use retain::{RetainError, RetentionReport};
pub use store::Store;
pub use types::*;
