//! How many token reviews a listener, and one address of it, may have running for tokens that are not cached.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::limits;
use super::problem::Problem;
use super::request::{AuthFailures, LimitScope, LimitedResource, RefusalMetrics, RefusalReason};

/// Reviews that a listener may have under way at the same time.
#[derive(Debug)]
pub(super) struct ReviewCapacity {
    /// After a start every token is new at once.
    room: Semaphore,
    failures: Arc<AuthFailures>,
    refusals: RefusalMetrics,
}

impl ReviewCapacity {
    /// So many at most, less of an address that fails.
    pub(super) fn new(most: usize, failures: Arc<AuthFailures>, refusals: RefusalMetrics) -> Self {
        Self {
            room: Semaphore::new(most),
            failures,
            refusals,
        }
    }

    /// One of those that the address may have at the same time, once there is one.
    ///
    /// # Errors
    /// [`crate::gateway::problem::Code::TooManyRequests`]: it has failed too often.
    pub(super) async fn admit(&self, address: IpAddr) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        let own = self
            .failures
            .review(address, limits::MAX_REVIEWS_PER_ADDRESS)
            .await;
        // After the wait: those before may have failed.
        if self.failures.may_fail(address) {
            Ok(own)
        } else {
            self.refused(RefusalReason::Failures);
            Err(Problem::too_many_failures())
        }
    }

    /// One of those of the listener, once there is one.
    pub(super) async fn acquire(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.room.acquire().await.ok()
    }

    /// An address is refused a review.
    pub(super) fn refused(&self, reason: RefusalReason) {
        self.refusals
            .refused(LimitedResource::Review, LimitScope::Address, reason);
    }

    /// The API server is asked, for whatever listener.
    pub(super) fn count_review(&self) {
        self.refusals.review();
    }
}

#[cfg(test)]
mod tests {
    use strongroom_process::MetricRegistry;

    use super::*;
    use crate::gateway::problem::Code;

    #[tokio::test(start_paused = true)]
    async fn an_address_that_failed_too_often_is_refused_and_each_refusal_counts() {
        let mut registry = MetricRegistry::default();
        let refusals = RefusalMetrics::register(&mut registry);
        let failures = Arc::<AuthFailures>::default();
        let capacity = ReviewCapacity::new(1, Arc::clone(&failures), refusals);
        let address = "10.0.0.1".parse().unwrap();
        assert!(capacity.admit(address).await.unwrap().is_some());
        capacity.count_review();
        while failures.record_failure(address) {}
        for _ in 0..2 {
            let refused = capacity.admit(address).await.unwrap_err();
            assert_eq!(refused.code(), Code::TooManyRequests);
        }
        capacity.refused(RefusalReason::NoToken);
        let text = registry.text().unwrap();
        for line in [
            r#"gateway_refused_total{listener="shared",what="review",who="address",why="failures"} 2"#,
            r#"gateway_refused_total{listener="shared",what="review",who="address",why="no_token"} 1"#,
            "gateway_tokenreviews_total 1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
    }
}
