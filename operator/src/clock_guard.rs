//! For how long the wall clock has been reliable. Nothing is destroyed because of its age after the clock
//! jumped. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How far the wall clock may move against the monotonic one between two looks, by ordinary correction.
const MAX_CLOCK_DRIFT: SignedDuration = SignedDuration::from_secs(5);

/// For how long the wall clock has agreed with the monotonic one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockGuard {
    /// A moment on both clocks.
    wall: Timestamp,
    monotonic: Duration,
    /// Since when both agree, on the monotonic clock.
    since: Duration,
}

impl ClockGuard {
    pub(crate) const fn new(wall: Timestamp, monotonic: Duration) -> Self {
        Self {
            wall,
            monotonic,
            since: monotonic,
        }
    }

    /// Takes in a later moment. Answers for how long both have agreed.
    pub(crate) fn observe(&mut self, wall: Timestamp, monotonic: Duration) -> Duration {
        let passed =
            SignedDuration::try_from(monotonic.saturating_sub(self.monotonic)).unwrap_or(SignedDuration::MAX);
        let off = wall.duration_since(self.wall).saturating_sub(passed);
        if off.abs() > MAX_CLOCK_DRIFT {
            self.since = monotonic;
        }
        (self.wall, self.monotonic) = (wall, monotonic);
        monotonic.saturating_sub(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_clock_that_jumps_either_way_has_to_be_steady_anew() {
        let seconds = Duration::from_secs;
        let mut clock_guard = ClockGuard::new(at(1_000), seconds(0));
        assert_eq!(clock_guard.observe(at(1_300), seconds(300)), seconds(300));
        assert_eq!(
            clock_guard.observe(at(1_604), seconds(600)),
            seconds(600),
            "a small correction"
        );
        assert_eq!(
            clock_guard.observe(at(999_999), seconds(900)),
            seconds(0),
            "a jump forward"
        );
        assert_eq!(clock_guard.observe(at(1_000_299), seconds(1_200)), seconds(300));
        assert_eq!(
            clock_guard.observe(at(2_000), seconds(1_500)),
            seconds(0),
            "a jump back"
        );
    }
}
