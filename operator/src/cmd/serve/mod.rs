//! `strongroom serve`: what the command line says of each role, one file a role.

mod arguments;
mod extension_api;
mod run;
mod store;
mod webhook;

pub(super) use self::arguments::Arguments;
pub(super) use self::run::run;
