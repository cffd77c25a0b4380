//! The audit records of changes as Kubernetes Events on the objects that they concern.
//!
//! | module | idea |
//! |---|---|
//! | [`telling`] | which reason and words a record has; pure |
//! | [`series`] | records that say the same become one Event; pure |
//! | [`event`] | the Event of a series; pure |
//! | [`delivery`] | one Event to the API server, and what its answer means |
//! | [`line`] | a record as people and other systems read it |
//! | [`page`] | both chains as one, in order of time |
//! | [`sink`] | from a durable cursor over the mutation chain to all of it, in order |
//!
//! Every record is told at least once, whatever restarts come between. An Event's name and content follow from the chain alone,
//! so telling twice changes nothing. Nobody waits for an Event, and none that fails stops another for good.
//!
//! Must not decide what is recorded, and must not tell reads as Events: they are too many.

mod delivery;
mod event;
mod line;
mod metrics;
mod page;
mod series;
mod sink;
mod telling;
#[cfg(test)]
mod tests;

pub(crate) use line::{Decision, Line};
pub(crate) use metrics::Metrics;
pub(crate) use page::{Place, page};
pub(crate) use sink::EventSink;
