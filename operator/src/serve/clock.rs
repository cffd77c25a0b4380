//! The wall clock of the process.

use strongroom_model::time::Timestamp;

/// The wall clock of the process: the one place that reads it for the store.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}
