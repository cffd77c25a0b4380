//! The wall clock of the process.

use strongroom_model::time::Timestamp;

use crate::store_handle::store_time;

/// The wall clock of the process: the one place that reads it for the store.
pub(crate) fn now() -> Timestamp {
    store_time(jiff::Timestamp::now())
}
