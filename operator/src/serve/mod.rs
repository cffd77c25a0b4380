//! The process: starts the parts of its role, and ends them in order. Must not decide anything about a
//! secret.

mod clock;
mod error;
mod metrics;
mod open;
mod own_service;
mod report;
pub(crate) mod roles;
mod storeless;
mod upkeep;

pub(crate) use self::clock::now;
pub(crate) use self::error::ServeError;
pub(crate) use self::open::OpenSettings;
