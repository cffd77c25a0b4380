//! How often authentication from one address may fail: a budget that refills with time. It is checked before
//! the API server is asked, because each failure costs a token review.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Failures of one address at once.
const MAX_FAILURES: u32 = 50;
/// After so long one more is forgiven.
const FORGIVE_INTERVAL: Duration = Duration::from_millis(20);
/// Addresses whose reviews are remembered before those that have none under way are forgotten.
const KEPT_ADDRESSES: usize = 1_024;

/// What is known of each address.
#[derive(Debug, Default)]
pub(in crate::gateway) struct AuthFailures {
    /// When the last failure of an address is forgiven.
    forgiven: Mutex<HashMap<IpAddr, Instant>>,
    reviews: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

/// When all failures are forgiven once there is one more; none where that is too many.
fn one_more(forgiven: Option<Instant>, now: Instant) -> Option<Instant> {
    let after = forgiven.map_or(now, |at| at.max(now)) + FORGIVE_INTERVAL;
    (after <= now + FORGIVE_INTERVAL * MAX_FAILURES).then_some(after)
}

impl AuthFailures {
    /// Whether the address may fail once more.
    pub(in crate::gateway) fn may_fail(&self, address: IpAddr) -> bool {
        let forgiven = self.forgiven.lock().get(&address).copied();
        one_more(forgiven, Instant::now()).is_some()
    }

    /// It failed. False where it has failed too often.
    pub(in crate::gateway) fn record_failure(&self, address: IpAddr) -> bool {
        let mut all = self.forgiven.lock();
        let after = one_more(all.get(&address).copied(), Instant::now());
        if let Some(after) = after {
            all.insert(address, after);
        }
        after.is_some()
    }

    /// One of the reviews that an address may have under way at the same time; more wait for each other, and
    /// for nobody else.
    pub(in crate::gateway) async fn review(
        &self,
        address: IpAddr,
        most: usize,
    ) -> Option<OwnedSemaphorePermit> {
        let room = {
            let mut reviews = self.reviews.lock();
            if reviews.len() >= KEPT_ADDRESSES {
                reviews.retain(|_, room| room.strong_count() > 0);
            }
            reviews.get(&address).and_then(Weak::upgrade).unwrap_or_else(|| {
                let room = Arc::new(Semaphore::new(most));
                reviews.insert(address, Arc::downgrade(&room));
                room
            })
        };
        // It is never closed.
        room.acquire_owned().await.ok()
    }

    /// Forgets whose failures are forgiven.
    pub(in crate::gateway) fn forget(&self) {
        let now = Instant::now();
        self.forgiven.lock().retain(|_, forgiven| *forgiven > now);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_may_fail_so_often_and_no_other_pays() {
        let failures = AuthFailures::default();
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..MAX_FAILURES {
            assert!(failures.may_fail(one) && failures.record_failure(one));
        }
        assert!(!failures.may_fail(one) && !failures.record_failure(one));
        assert!(failures.may_fail(other));
        tokio::time::advance(FORGIVE_INTERVAL).await;
        assert!(failures.record_failure(one));
        assert!(!failures.may_fail(one));
        failures.forget();
        assert!(!failures.may_fail(one), "what is not forgiven is not forgotten");
        tokio::time::advance(FORGIVE_INTERVAL * MAX_FAILURES).await;
        failures.forget();
        assert!(failures.forgiven.lock().is_empty() && failures.may_fail(one));
    }

    #[tokio::test]
    async fn an_address_waits_for_its_own_reviews_alone() {
        let failures = AuthFailures::default();
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let held = [failures.review(one, 2).await, failures.review(one, 2).await];
        assert!(failures.review(one, 2).now_or_never().is_none());
        assert!(failures.review(other, 2).now_or_never().is_some());
        drop(held);
        assert!(failures.review(one, 2).now_or_never().is_some());
    }

    #[tokio::test]
    async fn an_address_with_reviews_under_way_is_remembered_and_others_make_room() {
        let failures = AuthFailures::default();
        let busy = "10.0.0.1".parse().unwrap();
        let held = failures.review(busy, 1).await;
        assert!(held.is_some());
        let addresses = (1..KEPT_ADDRESSES).map(|number| IpAddr::V4(u32::try_from(number).unwrap().into()));
        for address in addresses {
            assert!(failures.review(address, 1).await.is_some());
        }
        assert_eq!(failures.reviews.lock().len(), KEPT_ADDRESSES);
        assert!(failures.review("10.0.0.2".parse().unwrap(), 1).await.is_some());
        assert_eq!(failures.reviews.lock().len(), 2, "the busy one, and the newest");
        assert!(failures.review(busy, 1).now_or_never().is_none());
    }
}
