//! The audit records outside of the store: those of changes as Kubernetes Events on the objects that they concern, all of them in the systems that
//! take them, and for whoever lists them.
//!
//! | module | idea |
//! |---|---|
//! | [`telling`] | which reason and words a record has; pure |
//! | [`series`] | records that say the same become one Event; pure |
//! | [`event`] | the Event of a series; pure |
//! | [`delivery`] | one Event to the API server, and what its answer means |
//! | [`mod@line`] | a record as people and other systems read it |
//! | [`mod@page`] | both chains as one, in order of time |
//! | [`cursor`] | how far a reader has come |
//! | [`destination`] | where else records go |
//! | [`pump`] | both chains to one destination |
//! | [`stdout`], [`mod@file`], [`syslog`], [`otlp`] | the destinations |
//! | [`retention`] | what every destination has may go, within the limits of the log |
//! | [`held`] | how many hours the log holds at the present rate; pure |
//! | [`sink`] | from a durable cursor over the mutation chain to all of it, in order |
//!
//! Every record is told at least once, whatever restarts come between. An Event's name and content follow from the chain alone,
//! so telling twice changes nothing. Nobody waits for an Event, and none that fails stops another for good.
//!
//! Must not decide what is recorded, and must not tell reads as Events: they are too many.

mod cursor;
mod delivery;
mod destination;
mod event;
mod file;
mod held;
mod line;
mod metrics;
mod otlp;
mod page;
mod pump;
mod retention;
mod series;
mod sink;
mod stdout;
mod syslog;
mod telling;
#[cfg(test)]
mod tests;

pub(crate) use destination::Destination;
pub(crate) use metrics::Metrics;
pub(crate) use page::{Place, page};
pub(crate) use pump::Pump;
pub(crate) use retention::{HeldHours, Keeper};
pub(crate) use sink::EventSink;

use strongroom_store::vault::StoreError;

/// Runs what waits for the medium, or for a record, on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    // A thread that panicked, or a runtime that ends: there is nothing to go on with.
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StoreError::Closed)?
}
