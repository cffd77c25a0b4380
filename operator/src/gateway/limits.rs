//! How much one caller, one namespace and all together may ask. Must not look at what is asked for.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::problem::{Code, Problem};

/// Largest body of a request in bytes: a value of 64 KiB as base64 with room for names.
pub(super) const BODY_BYTES: usize = 192 * 1024;
/// Largest head of a request in bytes.
pub(super) const HEAD_BYTES: usize = 32 * 1024;
/// How long a request's head may take, and a connection may lie idle.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(60);
/// How long a handshake may take.
pub(super) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long a request may take in all.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(30);
/// Requests at the same time; more are turned away rather than queued.
pub(super) const REQUESTS: usize = 1024;
/// Connections at the same time.
pub(super) const CONNECTIONS: usize = 16_384;

/// Failures to authenticate a second that are answered and recorded, of one address.
const STRANGERS: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);

/// Requests a second; 0 is without bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Reads of one principal, and of all principals in one namespace.
    pub(crate) reads: u32,
}

/// Token buckets by principal and by namespace.
#[derive(Debug)]
pub(super) struct Limits {
    reads: Option<Buckets>,
    /// Callers that could not say who they are, by address: each failure is a record, and records take room.
    strangers: DefaultKeyedRateLimiter<IpAddr>,
}

#[derive(Debug)]
struct Buckets {
    principals: DefaultKeyedRateLimiter<String>,
    namespaces: DefaultKeyedRateLimiter<String>,
}

impl Buckets {
    fn new(rate: u32) -> Option<Self> {
        let quota = Quota::per_second(NonZeroU32::new(rate)?);
        Some(Self {
            principals: RateLimiter::keyed(quota),
            namespaces: RateLimiter::keyed(quota),
        })
    }

    fn take(&self, principal: &str, namespace: &str) -> Result<(), Problem> {
        for (whose, buckets, key) in [
            ("you", &self.principals, principal),
            ("this namespace", &self.namespaces, namespace),
        ] {
            if let Err(until) = buckets.check_key(&key.to_owned()) {
                let wait = until.wait_time_from(DefaultClock::default().now());
                let detail =
                    format!("too many requests of {whose}; wait, and ask again with a conditional request");
                return Err(Problem::new(Code::TooManyRequests, detail).retry_after(wait.as_secs() + 1));
            }
        }
        Ok(())
    }

    /// Forgets whoever has asked for nothing lately.
    fn forget(&self) {
        for buckets in [&self.principals, &self.namespaces] {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }
}

impl Limits {
    pub(super) fn new(rates: Rates) -> Self {
        Self {
            reads: Buckets::new(rates.reads),
            strangers: RateLimiter::keyed(Quota::per_second(STRANGERS)),
        }
    }

    /// Takes one read of a principal on a namespace.
    pub(super) fn read(&self, principal: &str, namespace: &str) -> Result<(), Problem> {
        self.reads
            .as_ref()
            .map_or(Ok(()), |buckets| buckets.take(principal, namespace))
    }

    /// Takes one failure to authenticate from an address.
    pub(super) fn stranger(&self, source: IpAddr) -> Result<(), Problem> {
        self.strangers.check_key(&source).map_err(|_| {
            Problem::new(
                Code::TooManyRequests,
                "too many requests without a valid token; wait",
            )
            .retry_after(1)
        })
    }

    pub(super) fn forget(&self) {
        self.strangers.retain_recent();
        if let Some(buckets) = &self.reads {
            buckets.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_and_a_namespace_each_have_a_bucket() {
        let limits = Limits::new(Rates { reads: 3 });
        for _ in 0..3 {
            assert_eq!(limits.read("a", "shop"), Ok(()));
        }
        let refused = limits.read("a", "other").unwrap_err();
        assert_eq!(refused.code(), Code::TooManyRequests);
        // Of another principal the namespace has had enough.
        assert!(limits.read("b", "shop").is_err());
        assert_eq!(limits.read("c", "third"), Ok(()));
        limits.forget();
        assert!(
            limits.read("a", "shop").is_err(),
            "what was asked lately is not forgotten"
        );
    }

    #[test]
    fn zero_is_without_bound() {
        let limits = Limits::new(Rates { reads: 0 });
        assert!((0..10_000).all(|_| limits.read("a", "shop").is_ok()));
    }
}
