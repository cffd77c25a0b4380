//! The engine on redb: plain tables of byte keys and byte values, two-phase commit always, checksums of the
//! whole file verified at every open.
//!
//! Must use nothing else of redb: no savepoints, no multimaps, no typed derive, no lesser durability. Those
//! are where its releases of 2026 had their fixes. Nothing outside of this folder names redb.

mod backend;
mod database;
mod engine;
mod error;
mod snapshot;
mod transaction;

pub use database::builder;
pub(super) use engine::{RedbEngine, RedbOptions};
