//! The engine: ordered tables of bytes with snapshots and atomic, durable commits.
//!
//! Nothing here knows what a record means, and nothing here encrypts: an engine gets bytes that are already
//! sealed. An answer to a commit is one of four: committed, refused by a precondition, certainly not
//! committed (an error), or *unknown*, which [`Engine::resolve`] settles by the request ids that were written
//! in the same commit.
//!
//! Which engine a store file has is chosen in `store_file.rs`, and said nowhere else: [`create_file`],
//! [`open_file`] and [`view_file`] give an [`Engine`], and whoever works on a store takes that.

mod contract;
mod deferred_disk;
mod disk;
mod error;
#[cfg(any(test, feature = "test-util"))]
mod memory;
mod overlay_disk;
mod redb_engine;
mod store_file;
mod table;

pub(crate) use contract::try_visit;
pub use contract::{
    Batch, Change, CommitOutcome, Engine, EngineStats, KeyValue, Precondition, REMEMBERED_REQUESTS,
    RecordLimits, Revision, Snapshot, Visitor,
};
pub use disk::{Disk, FileDisk};
pub use error::EngineError;
#[cfg(any(test, feature = "test-util"))]
pub use memory::MemoryEngine;
pub use overlay_disk::OverlayDisk;
pub use redb_engine::builder as redb_builder;
#[cfg(any(test, feature = "test-util"))]
pub use store_file::open_disk;
pub use store_file::{DEFAULT_CACHE_BYTES, STORE_FILE, create_file, open_file, view_file};
pub use table::Table;
