//! The promise: products own secrets in the namespaces of their users. Only their managers make, change and
//! delete them, by custom resource and by API; users read what policies let them; the tenant's key, and the
//! product's end, stop both.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod https;
mod life;
mod matrix;
mod scene;
#[path = "../support/mod.rs"]
mod support;
