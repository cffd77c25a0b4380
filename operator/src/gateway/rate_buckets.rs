//! The token buckets of many callers. A look at what another caller has left takes nothing from them.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use governor::clock::{Clock, DefaultClock};
use governor::nanos::Nanos;
use governor::state::keyed::{DefaultKeyedStateStore, ShrinkableKeyedStateStore};
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{NotUntil, Quota, RateLimiter};

use super::request::LimitScope;

/// Nanoseconds of the second in which a bucket fills.
const FILL_NANOS: u64 = 1_000_000_000;

/// What is left in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateLevel {
    /// The owner of the bucket.
    pub(super) scope: LimitScope,
    /// Requests that may be made at once.
    pub(super) left: u32,
    /// As many when nothing was taken lately, and as many a second.
    pub(super) rate: u32,
}

/// A bucket is empty, and until when.
pub(super) type BucketEmpty = NotUntil<<DefaultClock as Clock>::Instant>;

/// Buckets of one rate, each of a key.
#[derive(Debug)]
pub(super) struct RateBuckets<K: Clone + Eq + Hash> {
    limiter: RateLimiter<K, SharedStates<DefaultKeyedStateStore<K>>, DefaultClock>,
    states: SharedStates<DefaultKeyedStateStore<K>>,
    filling: RefillRate,
}

/// Requests a second of all callers of a listener together.
#[derive(Debug)]
pub(super) struct RateBucket {
    limiter: RateLimiter<NotKeyed, SharedStates<InMemoryState>, DefaultClock>,
    states: SharedStates<InMemoryState>,
    filling: RefillRate,
}

/// When each bucket will be full, as the limiter has it.
#[derive(Debug, Default)]
struct SharedStates<S>(Arc<S>);

impl<S> Clone for SharedStates<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: StateStore> StateStore for SharedStates<S> {
    type Key = S::Key;

    fn measure_and_replace<T, F, E>(&self, key: &Self::Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, f)
    }
}

impl<K, S> ShrinkableKeyedStateStore<K> for SharedStates<S>
where
    K: Clone + Eq + Hash,
    S: ShrinkableKeyedStateStore<K>,
{
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn shrink_to_fit(&self) {
        self.0.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<S: StateStore> SharedStates<S> {
    /// When the bucket will be full, in nanoseconds since the start; none: nobody has taken from it lately.
    fn full_at(&self, key: &S::Key) -> Option<u64> {
        // What is refused replaces nothing.
        let refused: Result<(), Option<Nanos>> = self.measure_and_replace(key, Err);
        refused.err().flatten().map(Nanos::as_u64)
    }
}

/// How fast buckets fill, and from when on their limiter counts time.
#[derive(Clone, Copy, Debug)]
struct RefillRate {
    rate: NonZeroU32,
    started: Instant,
}

impl RefillRate {
    /// INVARIANT: made before the limiter is. By what lies between, too much is left rather than too little.
    fn from_now(rate: NonZeroU32) -> Self {
        let started = Instant::now();
        Self { rate, started }
    }

    /// What is left now in a bucket of which it is known when it will be full.
    fn level(self, scope: LimitScope, full_at: Option<u64>) -> RateLevel {
        let rate = self.rate.get();
        let left = match full_at {
            None => rate,
            Some(full) => {
                let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                left(rate, now, full)
            }
        };
        RateLevel { scope, left, rate }
    }
}

impl<K: Clone + Eq + Hash> RateBuckets<K> {
    /// Full ones, of so many requests a second each.
    pub(super) fn new(rate: NonZeroU32) -> Self {
        let (states, filling) = (SharedStates::default(), RefillRate::from_now(rate));
        Self {
            limiter: RateLimiter::new(Quota::per_second(rate), states.clone(), DefaultClock::default()),
            states,
            filling,
        }
    }

    /// Takes one request from a bucket.
    ///
    /// # Errors
    /// It is empty, and until when.
    pub(super) fn check_key(&self, key: &K) -> Result<(), BucketEmpty> {
        self.limiter.check_key(key)
    }

    /// What is left in a bucket. Looking makes no bucket.
    pub(super) fn level(&self, scope: LimitScope, key: &K) -> RateLevel {
        self.filling.level(scope, self.full_at(key))
    }

    fn full_at(&self, key: &K) -> Option<u64> {
        let is_there = self.states.0.contains_key(key);
        is_there.then(|| self.states.full_at(key)).flatten()
    }

    pub(super) fn retain_recent(&self) {
        self.limiter.retain_recent();
    }

    pub(super) fn shrink_to_fit(&self) {
        self.limiter.shrink_to_fit();
    }
}

impl RateBucket {
    /// A full one, of so many requests a second.
    pub(super) fn new(rate: NonZeroU32) -> Self {
        let (states, filling) = (SharedStates::default(), RefillRate::from_now(rate));
        Self {
            limiter: RateLimiter::new(Quota::per_second(rate), states.clone(), DefaultClock::default()),
            states,
            filling,
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// It is empty, and until when.
    pub(super) fn check(&self) -> Result<(), BucketEmpty> {
        self.limiter.check()
    }

    /// What is left.
    pub(super) fn level(&self, scope: LimitScope) -> RateLevel {
        self.filling.level(scope, self.states.full_at(&NotKeyed::NonKey))
    }
}

/// What is left at a time in a bucket that will be full at another, both in nanoseconds.
fn left(rate: u32, now: u64, full: u64) -> u32 {
    let rate = u64::from(rate);
    let each = (FILL_NANOS / rate.max(1)).max(1);
    let size = each.saturating_mul(rate);
    let there = now.saturating_add(size).saturating_sub(full).min(size);
    u32::try_from(there / each).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use strongroom_testing::wait::until;

    use super::*;

    fn buckets(rate: u32) -> RateBuckets<String> {
        RateBuckets::new(NonZeroU32::new(rate).unwrap())
    }

    #[test]
    fn what_is_left_follows_from_when_a_bucket_will_be_full() {
        let second = FILL_NANOS;
        for (rate, now, full, expected) in [
            (4, 0, 0, 4),
            (4, 10 * second, second, 4),
            // One was taken just now, then all, and then time went by.
            (4, second, second + second / 4, 3),
            (4, second, 2 * second, 0),
            (4, second + second / 2, 2 * second, 2),
            (4, second + second / 2 - 1, 2 * second, 1),
            (4, second, 9 * second, 0),
            (1, 0, second, 0),
            (1, second, second, 1),
            (u32::MAX, 0, 0, u32::MAX),
        ] {
            assert_eq!(left(rate, now, full), expected, "{rate} {now} {full}");
        }
    }

    #[test]
    fn looking_takes_nothing_and_makes_nothing() {
        let buckets = buckets(1);
        let (one, other) = ("one".to_owned(), "other".to_owned());
        for _ in 0..1_000 {
            assert_eq!(buckets.level(LimitScope::Principal, &one).left, 1);
        }
        assert!(buckets.limiter.is_empty(), "a bucket is there for whoever asks");
        assert!(buckets.check_key(&one).is_ok());
        for _ in 0..1_000 {
            let _ = buckets.level(LimitScope::Principal, &one);
        }
        assert_eq!(buckets.level(LimitScope::Principal, &other).left, 1);
        assert_eq!(buckets.limiter.len(), 1);
    }

    #[test]
    fn what_is_taken_is_seen() {
        const RATE: u32 = 1_000_000;
        let buckets = buckets(RATE);
        let key = "one".to_owned();
        for _ in 0..1_000 {
            assert!(buckets.check_key(&key).is_ok());
        }
        // However long that took, it is at least so full.
        let full = buckets.full_at(&key).unwrap();
        assert!(left(RATE, 0, full) <= RATE - 1_000, "{full}");
    }

    #[test]
    fn one_bucket_is_looked_at_in_the_same_way() {
        let bucket = RateBucket::new(NonZeroU32::MIN);
        for _ in 0..1_000 {
            let level = bucket.level(LimitScope::Everybody);
            assert_eq!((level.left, level.rate), (1, 1));
        }
        assert!(bucket.check().is_ok());
        assert!(bucket.states.full_at(&NotKeyed::NonKey).is_some());
    }

    #[tokio::test]
    async fn a_bucket_is_there_until_it_is_full_again() {
        // Each fills within a microsecond.
        let buckets = buckets(1_000_000);
        for key in ["one", "two", "three"] {
            assert!(buckets.check_key(&key.to_owned()).is_ok());
        }
        assert_eq!(buckets.limiter.len(), 3);
        assert!(!buckets.limiter.is_empty());
        until("full buckets to go", || {
            buckets.retain_recent();
            buckets.limiter.is_empty()
        })
        .await;
        assert_eq!(buckets.limiter.len(), 0);
    }
}
