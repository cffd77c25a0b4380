//! How many hours back the audit log reaches at the present rate, once it is as large as it may be. Pure.

use std::time::Duration;

use strongroom_store::audit::RetentionLimits;

/// How soon an hour that is gone counts for little: the rate is that of the last minutes, or of all the time
/// there was where that is less.
const RATE_TIME_CONSTANT: Duration = Duration::from_secs(900);
/// The most that is said: ten years.
const MAX_HOURS: f64 = 87_600.0;

/// The rate at which the log grows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GrowthRate {
    bytes: f64,
    seconds: f64,
    last: Option<u64>,
}

impl GrowthRate {
    /// The log has so many bytes, `later` than it was looked at before. Where some of it was `cut` in
    /// between, how much came is not known.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is told in hours: a byte more or less is nothing"
    )]
    pub(super) fn observe(&mut self, bytes: u64, later: Duration, cut: bool) {
        let last = self.last.replace(bytes);
        let Some(last) = last.filter(|last| !cut && *last <= bytes) else {
            return;
        };
        let fades = (-later.as_secs_f64() / RATE_TIME_CONSTANT.as_secs_f64()).exp();
        self.bytes = self.bytes.mul_add(fades, (bytes - last) as f64);
        self.seconds = self.seconds.mul_add(fades, later.as_secs_f64());
    }

    /// How many hours are held at this rate; none where nothing is ever cut.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is told in hours: a byte more or less is nothing"
    )]
    pub(super) fn hours(&self, limits: &RetentionLimits) -> Option<f64> {
        let by_time = limits.kept_time().map(|time| time.as_secs_f64() / 3_600.0);
        let by_size = limits.kept_bytes().map(|bytes| {
            let hourly = self.bytes / self.seconds.max(1.0) * 3_600.0;
            bytes as f64 / hourly.max(1.0)
        });
        let hours = match (by_time, by_size) {
            (Some(time), Some(size)) => Some(time.min(size)),
            (time, size) => time.or(size),
        };
        hours.map(|hours| hours.min(MAX_HOURS))
    }
}

#[cfg(test)]
mod tests {
    use strongroom_store::audit::WhenFull;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn keeping(keep_for: Option<Duration>, bytes: Option<u64>) -> RetentionLimits {
        RetentionLimits::new(keep_for, bytes, None, WhenFull::Roll).unwrap()
    }

    #[test]
    fn it_is_what_is_kept_by_what_comes() {
        let limits = keeping(None, Some(1 << 30));
        let mut rate = GrowthRate::default();
        assert_eq!(rate.hours(&limits), Some(MAX_HOURS), "nothing came yet");
        let mut bytes = 5_000_000;
        for _ in 0..60 {
            rate.observe(bytes, SECOND, false);
            bytes += 35_000;
        }
        let hours = rate.hours(&limits).unwrap();
        assert!((8.3..8.8).contains(&hours), "{hours}");
        // What is cut is no growth, and no shrinking either.
        rate.observe(bytes / 2, SECOND, true);
        assert_eq!(rate.hours(&limits), Some(hours));
        // It is the present rate: after an hour of silence it reaches far back.
        for _ in 0..3_600 {
            rate.observe(bytes / 2, SECOND, false);
        }
        assert!(rate.hours(&limits).unwrap() > 100.0);
    }

    #[test]
    fn a_time_that_was_said_is_the_most() {
        let day = Duration::from_secs(86_400);
        assert_eq!(
            GrowthRate::default().hours(&keeping(Some(day), Some(1 << 30))),
            Some(24.0)
        );
        assert_eq!(GrowthRate::default().hours(&keeping(Some(day), None)), Some(24.0));
        assert_eq!(GrowthRate::default().hours(&RetentionLimits::default()), None);
    }
}
