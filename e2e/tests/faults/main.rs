//! The promise: what was answered stays answered, and what cannot be answered is refused clearly. Kills under
//! load, idle connections, a full disk, a file system that turns read-only, a clock that jumps, and a policy
//! that stops compiling.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot set up must stop, and helpers of tests fail and tell as tests do"
)]

mod clock;
mod full_disk;
mod idle;
mod kill;
mod load;
mod policy;
mod read_only;
mod records;
#[path = "../support/mod.rs"]
mod support;
mod volume;
