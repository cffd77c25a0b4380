//! The backlog of a product's own audit sink: the exporter writes it, and the status of the product shows it.

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

/// What waits for a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SinkBacklog {
    /// Nothing does, as far as is known.
    #[default]
    Empty,
    /// Records do, of which the oldest is of this time.
    Waiting(Timestamp),
    /// Records were skipped since it received some last.
    PassedBy,
}

/// What waits for one sink; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct SinkBacklogHandle(Arc<Mutex<SinkBacklog>>);

impl SinkBacklogHandle {
    /// It is so now.
    pub(crate) fn set(&self, backlog: SinkBacklog) {
        *self.0.lock() = backlog;
    }

    /// What was told last.
    pub(crate) fn get(&self) -> SinkBacklog {
        *self.0.lock()
    }
}
