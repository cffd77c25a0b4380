//! The roles of a process, one file each: what it is started with, its tasks, and the order of their end.
//!
//! `store` owns the store and runs `controllers`, `gateway`, `audit` and `backup` on it; `extension_api` and
//! `webhook` have no store.

mod audit;
mod backup;
mod controllers;
pub(crate) mod extension_api;
mod gateway;
pub(crate) mod store;
pub(crate) mod webhook;

use std::net::SocketAddr;

pub(crate) use self::controllers::ControllerSettings;

/// What every role has.
#[derive(Clone, Debug)]
pub(crate) struct ProcessSettings {
    /// The process's own namespace; that of its account where absent.
    pub(crate) namespace: Option<String>,
    /// The health and metrics port.
    pub(crate) http_listen: SocketAddr,
}
