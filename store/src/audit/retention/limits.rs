//! What a person chose about the size and age of the audit log.

use std::time::Duration;

/// Smallest size that can be asked for: less is no log to speak of.
const LEAST_BYTES: u64 = 1 << 20;
/// Shortest time that records can be kept: a clock is trusted after an hour of steadiness.
const LEAST_TIME: Duration = Duration::from_secs(3_600);
/// Bytes of a segment where no limit asks for less.
const SEGMENT: u64 = 8 << 20;
/// Bytes of the smallest segment.
const LEAST_SEGMENT: u64 = 64 << 10;

/// What happens at the bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WhenFull {
    /// Reads are refused until there is room.
    #[default]
    Stop,
    /// The oldest records that every reader has got go, also those that would be kept for longer; where none is left, reads are refused.
    DropExported,
}

/// How much of the audit log is kept. By default all of it, without bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    keep_for: Option<Duration>,
    keep_bytes: Option<u64>,
    bound: Option<u64>,
    when_full: WhenFull,
}

/// Limits that contradict each other, or keep next to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LimitsError {
    /// Too short.
    #[error("audit records are kept for an hour at least")]
    TooShort,
    /// Too small.
    #[error("the audit log has a megabyte (1Mi) at least")]
    TooSmall,
    /// The bound leaves no room above what is kept.
    #[error(
        "the bound of the audit log must be larger than what is kept by an eighth at least, or reads stop before old records go"
    )]
    NoRoom,
}

impl Limits {
    /// Limits that can be held. `keep_for`: older records go. `keep_bytes`: the oldest go where the log is larger. `bound`: at so many bytes
    /// reads stop, or what `when_full` says.
    ///
    /// # Errors
    /// [`LimitsError`].
    pub fn new(
        keep_for: Option<Duration>,
        keep_bytes: Option<u64>,
        bound: Option<u64>,
        when_full: WhenFull,
    ) -> Result<Self, LimitsError> {
        if keep_for.is_some_and(|time| time < LEAST_TIME) {
            return Err(LimitsError::TooShort);
        }
        let mut sizes = [keep_bytes, bound].into_iter().flatten();
        if sizes.any(|bytes| bytes < LEAST_BYTES) {
            return Err(LimitsError::TooSmall);
        }
        if let (Some(keep), Some(bound)) = (keep_bytes, bound)
            && keep.saturating_add(keep / 8) > bound
        {
            return Err(LimitsError::NoRoom);
        }
        Ok(Self {
            keep_for,
            keep_bytes,
            bound,
            when_full,
        })
    }

    /// Bytes at which reads stop.
    #[must_use]
    pub const fn bound(&self) -> Option<u64> {
        self.bound
    }

    /// What happens there.
    #[must_use]
    pub const fn when_full(&self) -> WhenFull {
        self.when_full
    }

    pub(crate) const fn keep_for(&self) -> Option<Duration> {
        self.keep_for
    }

    pub(crate) const fn keep_bytes(&self) -> Option<u64> {
        self.keep_bytes
    }

    /// Whether records ever go.
    pub(crate) fn cuts(&self) -> bool {
        self.keep_for.is_some()
            || self.keep_bytes.is_some()
            || (self.bound.is_some() && self.when_full == WhenFull::DropExported)
    }

    /// Bytes of a new segment: reads go by whole segments, so an eighth of the smallest limit.
    pub(crate) fn segment_bytes(&self) -> u64 {
        [self.keep_bytes, self.bound]
            .into_iter()
            .flatten()
            .map(|bytes| bytes / 8)
            .fold(SEGMENT, u64::min)
            .max(LEAST_SEGMENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_be_held_are_refused() {
        let hour = Duration::from_secs(3_600);
        let of = |time, keep, bound| Limits::new(time, keep, bound, WhenFull::Stop);
        assert_eq!(of(None, None, None), Ok(Limits::default()));
        assert!(of(Some(hour), Some(7 << 20), Some(8 << 20)).is_ok());
        assert_eq!(
            of(Some(hour - Duration::from_secs(1)), None, None),
            Err(LimitsError::TooShort)
        );
        for (keep, bound) in [
            (Some(1 << 19), None),
            (None, Some(1 << 19)),
            (Some(1 << 19), Some(1 << 30)),
        ] {
            assert_eq!(of(None, keep, bound), Err(LimitsError::TooSmall));
        }
        for bound in [1 << 20, 8 << 20, 9 << 20] {
            let expected = if bound < 9 << 20 {
                Err(LimitsError::NoRoom)
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
    fn segments_are_an_eighth_of_the_smallest_limit_and_never_larger_than_without_one() {
        let of = |keep, bound| {
            Limits::new(None, keep, bound, WhenFull::Stop)
                .unwrap()
                .segment_bytes()
        };
        assert_eq!(of(None, None), 8 << 20);
        assert_eq!(of(Some(1 << 30), Some(2 << 30)), 8 << 20);
        assert_eq!(of(Some(2 << 20), Some(4 << 20)), 256 << 10);
        assert_eq!(of(None, Some(1 << 20)), 128 << 10);
    }
}
