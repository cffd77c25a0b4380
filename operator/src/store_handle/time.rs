//! Points in time, between the store and everything else.

use jiff::Timestamp;
use strongroom_model::time::Timestamp as StoreTime;

/// A point in time of the store; one beyond what can be said is the last one that can.
pub(crate) fn timestamp(at: StoreTime) -> Timestamp {
    Timestamp::from_millisecond(at.as_millis()).unwrap_or(Timestamp::MAX)
}

/// A point in time as the store has it.
pub(crate) fn store_time(at: Timestamp) -> StoreTime {
    StoreTime::from_millis(at.as_millisecond())
}
