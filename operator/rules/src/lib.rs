//! Decisions: pure functions of facts and time. No client, no async, no clock.

pub mod absence;
pub mod managed_secret;
pub mod retry;
pub mod rotation_schedule;
pub mod uid;
