//! The audit records outside of the store: in the systems that take them, of which Kubernetes Events on the
//! objects that changes concern are one, and for whoever lists them.
//!
//! | module | idea |
//! |---|---|
//! | [`mod@line`] | a record as people and other systems read it |
//! | [`decision`] | whether the caller of a record was allowed to do it; pure |
//! | [`mod@page`] | both chains as one, in order of time |
//! | [`cursor`] | how far a reader has come |
//! | [`destination`] | where records go, as a value |
//! | [`registry`] | every kind of sink, a row each |
//! | [`sink_kind`] | how a kind of sink is written |
//! | [`sink`] | what a sink is to the exporter |
//! | [`one_write`] | a write of a sink that may never return |
//! | [`product_sink`] | a product's own sink, as the command line names it |
//! | [`product_filter`] | which records it takes, and how long they wait for it |
//! | [`exporter`] | the chains to one destination |
//! | [`stdout`], [`mod@file`], [`syslog`], [`otlp`], [`webhook`], [`event_sink`] | the kinds of sinks |
//! | [`http_endpoint`] | where a receiver over HTTP is, and a client that trusts it |
//! | [`retention`] | what every destination has may go, within the limits of the log |
//! | [`held_hours`] | how many hours the log holds at the present rate; pure |
//! | [`event_attempts`] | how often one is tried that is refused |
//! | [`event_content`] | which reason and words a record has as an Event; pure |
//! | [`aggregation`] | records that say the same become one Event; pure |
//! | [`event`] | the Event of a series; pure |
//! | [`delivery`] | one Event to the API server, and what its answer means |
//!
//! Every record is told at least once, whatever restarts come between. An Event's name and content follow
//! from the chain alone, so telling twice changes nothing. Nobody waits for an Event, and none that fails
//! stops another for good.
//!
//! Must not decide what is recorded, and must not tell reads as Events: they are too many.

mod aggregation;
mod cursor;
mod decision;
mod delivery;
mod destination;
mod event;
mod event_attempts;
mod event_content;
mod event_sink;
mod exporter;
mod file;
mod held_hours;
mod http_endpoint;
mod line;
mod metrics;
mod one_write;
mod otlp;
mod page;
mod product_filter;
mod product_sink;
mod registry;
mod retention;
mod sink;
mod sink_kind;
mod stdout;
mod syslog;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod webhook;

pub(crate) use destination::Destination;
pub(crate) use exporter::AuditExporter;
pub(crate) use line::json_lines;
pub(crate) use metrics::AuditMetrics;
pub(crate) use page::{AuditPosition, page};
pub(crate) use product_sink::{PRODUCT_SINK_FORM, ProductSink, ProductSinkError, with_product_sinks};
pub(crate) use registry::{cursors, destinations, sink_help};
pub(crate) use retention::{AuditRetention, HeldHours};
pub(crate) use sink_kind::SinkContext;

use strongroom_store::vault::StoreError;

/// Runs blocking work, which waits for the disk or for a record, on a thread of the blocking pool.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    // A thread that panicked, or a runtime that ends: there is nothing to go on with.
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StoreError::Closed)?
}
