//! What a person chose about the size and age of the audit log.

use std::time::Duration;

/// Smallest size that can be asked for: less is no log to speak of.
const MIN_LOG_BYTES: u64 = 1 << 20;
/// Shortest time that records can be kept: a clock is trusted once it was stable for an hour.
const MIN_KEEP_FOR: Duration = Duration::from_secs(3_600);
/// Bytes of a segment where no limit asks for less.
const MAX_SEGMENT_BYTES: u64 = 8 << 20;
/// Bytes of the smallest segment.
const MIN_SEGMENT_BYTES: u64 = 64 << 10;

/// What happens at the bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WhenFull {
    /// The oldest records go, whoever has not got them yet. Nobody is refused anything.
    #[default]
    Roll,
    /// Reads are refused until there is room.
    Stop,
    /// The oldest records that every reader has got go, also those that would be kept for longer; where none
    /// is left, reads are refused.
    DropExported,
}

/// How much of the audit log is kept. Without any limit all of it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RetentionLimits {
    keep_for: Option<Duration>,
    keep_bytes: Option<u64>,
    bound: Option<u64>,
    when_full: WhenFull,
}

/// Limits that contradict each other, or keep next to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RetentionLimitsError {
    /// Less than an hour.
    #[error("audit records are kept for an hour at least")]
    TooShort,
    /// Less than 1 MiB.
    #[error("the audit log has a megabyte (1Mi) at least")]
    TooSmall,
    /// The bound leaves no room above what is kept.
    #[error(
        "the bound of the audit log must be larger than what is kept by an eighth at least, or reads stop before old records go"
    )]
    NoRoom,
}

impl RetentionLimits {
    /// What is kept, and the bound, of a log on a volume of so many bytes where nobody said otherwise: half
    /// of it, and three quarters. The rest is the store's. What somebody said of one makes room with the
    /// other.
    #[must_use]
    pub fn on_volume(volume: u64, keep_bytes: Option<u64>, bound: Option<u64>) -> (u64, u64) {
        let least_bound = |keep: u64| keep.saturating_add(keep / 8);
        match (keep_bytes, bound) {
            (Some(keep), Some(bound)) => (keep, bound),
            (Some(keep), None) => (keep, (volume / 4 * 3).max(least_bound(keep))),
            (None, Some(bound)) => ((volume / 2).min(bound / 3 * 2).max(MIN_LOG_BYTES), bound),
            (None, None) => {
                let keep = (volume / 2).max(MIN_LOG_BYTES);
                (keep, (volume / 4 * 3).max(least_bound(keep)))
            }
        }
    }

    /// Limits that can be held. `keep_for`: older records go. `keep_bytes`: the oldest go where the log is
    /// larger. `bound`: at so many bytes reads stop, or what `when_full` says.
    ///
    /// # Errors
    /// [`RetentionLimitsError`].
    pub fn new(
        keep_for: Option<Duration>,
        keep_bytes: Option<u64>,
        bound: Option<u64>,
        when_full: WhenFull,
    ) -> Result<Self, RetentionLimitsError> {
        if keep_for.is_some_and(|time| time < MIN_KEEP_FOR) {
            return Err(RetentionLimitsError::TooShort);
        }
        let mut sizes = [keep_bytes, bound].into_iter().flatten();
        if sizes.any(|bytes| bytes < MIN_LOG_BYTES) {
            return Err(RetentionLimitsError::TooSmall);
        }
        if let (Some(keep), Some(bound)) = (keep_bytes, bound)
            && keep.saturating_add(keep / 8) > bound
        {
            return Err(RetentionLimitsError::NoRoom);
        }
        Ok(Self {
            keep_for,
            keep_bytes,
            bound,
            when_full,
        })
    }

    /// Bytes at which `when_full` says what happens.
    #[must_use]
    pub const fn bound(&self) -> Option<u64> {
        self.bound
    }

    /// Bytes at which reads stop. A log that rolls has a sixth above its bound, for what comes until the
    /// oldest went: it is there for an old end that cannot go because it is damaged.
    #[must_use]
    pub const fn stop_bytes(&self) -> Option<u64> {
        match (self.bound, self.when_full) {
            (Some(bound), WhenFull::Roll) => Some(bound.saturating_add(bound / 6)),
            (bound, _) => bound,
        }
    }

    /// What happens there.
    #[must_use]
    pub const fn when_full(&self) -> WhenFull {
        self.when_full
    }

    /// Bytes that are kept, in the end.
    #[must_use]
    pub const fn kept_bytes(&self) -> Option<u64> {
        match self.keep_bytes {
            None => self.bound,
            some => some,
        }
    }

    /// How long records are kept, where that was said.
    #[must_use]
    pub const fn kept_time(&self) -> Option<Duration> {
        self.keep_for
    }

    pub(crate) const fn keep_for(&self) -> Option<Duration> {
        self.keep_for
    }

    pub(crate) const fn keep_bytes(&self) -> Option<u64> {
        self.keep_bytes
    }

    /// Whether records ever go.
    pub(crate) fn removes_records(&self) -> bool {
        self.keep_for.is_some()
            || self.keep_bytes.is_some()
            || (self.bound.is_some() && self.when_full != WhenFull::Stop)
    }

    /// Bytes of a new segment: reads go by whole segments, so an eighth of the smallest limit.
    pub(crate) fn segment_bytes(&self) -> u64 {
        [self.keep_bytes, self.bound]
            .into_iter()
            .flatten()
            .map(|bytes| bytes / 8)
            .fold(MAX_SEGMENT_BYTES, u64::min)
            .max(MIN_SEGMENT_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_be_held_are_refused() {
        let hour = Duration::from_secs(3_600);
        let of = |time, keep, bound| RetentionLimits::new(time, keep, bound, WhenFull::Stop);
        assert!(of(None, None, None).is_ok_and(|limits| !limits.removes_records()));
        assert!(of(Some(hour), Some(7 << 20), Some(8 << 20)).is_ok());
        assert_eq!(
            of(Some(hour - Duration::from_secs(1)), None, None),
            Err(RetentionLimitsError::TooShort)
        );
        for (keep, bound) in [
            (Some(1 << 19), None),
            (None, Some(1 << 19)),
            (Some(1 << 19), Some(1 << 30)),
        ] {
            assert_eq!(of(None, keep, bound), Err(RetentionLimitsError::TooSmall));
        }
        for bound in [1 << 20, 8 << 20, 9 << 20] {
            let expected = if bound < 9 << 20 {
                Err(RetentionLimitsError::NoRoom)
            } else {
                Ok(())
            };
            assert_eq!(
                of(None, Some(8 << 20), Some(bound)).map(drop),
                expected,
                "{bound}"
            );
        }
    }

    #[test]
    fn a_volume_has_room_for_its_log_and_for_the_store() {
        for volume in [0, 1, 3 << 20, 64 << 20, 2_000_000_000, 2 << 30, 1 << 40, u64::MAX] {
            let (keep, bound) = RetentionLimits::on_volume(volume, None, None);
            assert!(
                RetentionLimits::new(None, Some(keep), Some(bound), WhenFull::Roll).is_ok(),
                "{volume}"
            );
            if volume >= 2 << 20 {
                assert_eq!(keep, volume / 2);
                assert!(
                    bound <= volume / 4 * 3 && bound >= keep + keep / 8,
                    "{volume}: {bound}"
                );
            }
            for said in [1 << 20, 5 << 20, 1_800 << 20] {
                let (keep, bound) = RetentionLimits::on_volume(volume, Some(said), None);
                assert!(
                    keep == said
                        && RetentionLimits::new(None, Some(keep), Some(bound), WhenFull::Roll).is_ok()
                );
            }
            for said in [2 << 20, 5 << 20, 1_800 << 20] {
                let (keep, bound) = RetentionLimits::on_volume(volume, None, Some(said));
                assert!(
                    bound == said
                        && RetentionLimits::new(None, Some(keep), Some(bound), WhenFull::Roll).is_ok()
                );
            }
        }
        assert_eq!(
            RetentionLimits::on_volume(2 << 30, None, None),
            (1 << 30, 3 << 29)
        );
    }

    #[test]
    fn only_a_log_that_rolls_has_room_above_its_bound() {
        let of = |when| {
            RetentionLimits::new(None, None, Some(6 << 20), when)
                .unwrap()
                .stop_bytes()
        };
        assert_eq!(of(WhenFull::Roll), Some(7 << 20));
        assert_eq!(of(WhenFull::Stop), Some(6 << 20));
        assert_eq!(of(WhenFull::DropExported), Some(6 << 20));
    }

    #[test]
    fn segments_are_an_eighth_of_the_smallest_limit_and_never_larger_than_without_one() {
        let of = |keep, bound| {
            RetentionLimits::new(None, keep, bound, WhenFull::Stop)
                .unwrap()
                .segment_bytes()
        };
        assert_eq!(of(None, None), 8 << 20);
        assert_eq!(of(Some(1 << 30), Some(2 << 30)), 8 << 20);
        assert_eq!(of(Some(2 << 20), Some(4 << 20)), 256 << 10);
        assert_eq!(of(None, Some(1 << 20)), 128 << 10);
    }
}
