//! How long to wait before the next connection: pure.
//!
//! It is not counted by `backon`, whose jitter adds to the wait up to as much again: nodes that lost the same
//! gateway would all stay away for the first half.

use std::time::Duration;

/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(15);
/// What the first wait is at most.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The shortest, so that a gateway that hangs up at once is not called all the time.
const MIN_WAIT: Duration = Duration::from_millis(20);

/// The wait after so many failures in a row. `chance` is in 0 to 1, and spreads the nodes over the whole of
/// the time: they all lost the same gateway in the same instant.
#[must_use]
pub(super) fn wait(failures: u32, chance: f64) -> Duration {
    let most = FIRST_WAIT
        .saturating_mul(2_u32.saturating_pow(failures.min(16)))
        .min(MAX_WAIT);
    jitter(most, chance)
}

/// A random part of a time that the gateway named.
#[must_use]
pub(super) fn jitter(within: Duration, chance: f64) -> Duration {
    within
        .mul_f64(chance.clamp(0.0, 1.0))
        .clamp(MIN_WAIT, Duration::from_secs(300))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_are_spread() {
        assert_eq!(wait(0, 1.0), FIRST_WAIT);
        assert_eq!(wait(1, 1.0), FIRST_WAIT * 2);
        assert_eq!(wait(3, 0.5), FIRST_WAIT * 4);
        assert_eq!(wait(1_000, 1.0), MAX_WAIT);
        assert_eq!(wait(5, 0.0), MIN_WAIT);
        assert_eq!(
            jitter(Duration::from_millis(u64::from(u32::MAX)), 1.0),
            Duration::from_secs(300)
        );
        assert_eq!(jitter(Duration::from_secs(2), -1.0), MIN_WAIT);
    }
}
