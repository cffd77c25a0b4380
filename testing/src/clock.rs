//! The time at which tests happen.

use jiff::Timestamp;

/// Seconds from the epoch to 2026-11-23T20:22:00Z.
pub const SECONDS: i64 = 1_795_465_320;

/// 2026-11-23T20:22:00Z.
pub fn now() -> Timestamp {
    after(0)
}

/// So many seconds after [`now`].
pub fn after(seconds: i64) -> Timestamp {
    Timestamp::from_second(SECONDS + seconds).unwrap()
}
