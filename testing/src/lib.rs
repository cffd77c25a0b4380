//! What tests of several crates stand on. Only ever a dev-dependency.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all of it is tests, and a test that cannot set up must stop"
)]

pub mod api_server;
pub mod clock;
mod generated;
pub mod recording;
pub mod store;
pub mod wait;

pub use self::generated::assert_generated;
