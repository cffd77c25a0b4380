//! The controllers: they bring the store and the native Secrets to what the custom resources say.
//!
//! One kind, one folder, and in each the same four verbs: observe, plan, apply, report. What is decided is
//! decided in `strongroom_rules`; how all kinds run is in `runtime`, and [`run()`] puts them together. There
//! are no finalizers and no owner references: a deletion is noticed as an absence (`deletion`).

mod adoption;
mod author;
mod backoff;
mod ca_bundle;
pub(crate) mod cache_quota;
mod cached_object;
mod certificates;
pub(crate) mod cluster;
mod cluster_watch;
mod compressed_text;
mod consumers;
mod context;
mod coverage;
mod declarations;
mod deletion;
mod encryption_key;
mod failing_objects;
mod failure;
mod identity;
mod left_out;
pub(crate) mod managed_secret;
pub(crate) mod metrics;
mod namespace;
mod outline;
mod purge;
mod refusals;
mod repairs;
mod resync;
mod rewrap;
mod rotation_schedule;
mod run;
mod runtime;
mod secret_policy;
mod secret_product;
mod triggers;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use self::context::{ControllerOptions, Ctx, GatewayShared};
pub(crate) use self::run::run;
pub(crate) use self::runtime::TaskFailure;
