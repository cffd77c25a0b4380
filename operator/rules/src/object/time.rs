//! Times in messages.

use jiff::Timestamp;

/// Kubernetes keeps times in whole seconds; messages say no more than the status does.
pub(crate) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
