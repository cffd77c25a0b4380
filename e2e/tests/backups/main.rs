//! The promise: a backup is taken by itself, read back and opened, and comes back on the day that it is for.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up must stop, and helpers of tests fail as tests do"
)]

mod bucket;
#[path = "../support/mod.rs"]
mod support;
mod values;
