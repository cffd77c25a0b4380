//! The end of recovery windows: what is due is destroyed, but never on the word of a clock that jumped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Ctx;
use super::store::{SecretStore, StoreFailure};

/// How often to look for windows that have ended.
const EVERY: Duration = Duration::from_secs(300);
/// How far the wall clock may move against the monotonic one between two looks, by ordinary correction.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(5);

/// For how long the wall clock has agreed with the monotonic one.
#[derive(Clone, Copy, Debug)]
struct Steadiness {
    /// A moment on both clocks.
    wall: Timestamp,
    monotonic: Duration,
    /// Since when both agree, on the monotonic clock.
    since: Duration,
}

impl Steadiness {
    fn new(wall: Timestamp, monotonic: Duration) -> Self {
        Self {
            wall,
            monotonic,
            since: monotonic,
        }
    }

    /// Takes in a later moment. Answers for how long both have agreed.
    fn observe(&mut self, wall: Timestamp, monotonic: Duration) -> Duration {
        let passed =
            SignedDuration::try_from(monotonic.saturating_sub(self.monotonic)).unwrap_or(SignedDuration::MAX);
        let off = wall.duration_since(self.wall).saturating_sub(passed);
        if off.abs() > TOLERANCE {
            self.since = monotonic;
        }
        (self.wall, self.monotonic) = (wall, monotonic);
        monotonic.saturating_sub(self.since)
    }
}

/// Destroys what is due until it is dropped.
pub(super) async fn run<S: SecretStore>(ctx: Arc<Ctx<S>>) {
    let begin = Instant::now();
    let mut steadiness = Steadiness::new(Timestamp::now(), Duration::ZERO);
    loop {
        tokio::time::sleep(EVERY).await;
        let steady_for = steadiness.observe(Timestamp::now(), begin.elapsed());
        if let Err(error) = purge(&ctx.store, steady_for).await {
            tracing::warn!(%error, "failed to destroy what is due; trying again");
        }
    }
}

/// Destroys all that is due.
async fn purge<S: SecretStore>(store: &S, steady_for: Duration) -> Result<(), StoreFailure> {
    loop {
        let (destroyed, more) = store.purge_due(steady_for).await?;
        for secret in destroyed {
            tracing::info!(%secret, "its recovery window has ended: it is destroyed");
        }
        if !more {
            return Ok(());
        }
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
        let mut steadiness = Steadiness::new(at(1_000), seconds(0));
        assert_eq!(steadiness.observe(at(1_300), seconds(300)), seconds(300));
        assert_eq!(
            steadiness.observe(at(1_604), seconds(600)),
            seconds(600),
            "a small correction"
        );
        assert_eq!(
            steadiness.observe(at(999_999), seconds(900)),
            seconds(0),
            "a jump forward"
        );
        assert_eq!(steadiness.observe(at(1_000_299), seconds(1_200)), seconds(300));
        assert_eq!(
            steadiness.observe(at(2_000), seconds(1_500)),
            seconds(0),
            "a jump back"
        );
    }
}
