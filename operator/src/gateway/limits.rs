//! How many requests one caller, one namespace and all together may send. Must not depend on what a request
//! is about.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};

use super::authenticate::Caller;
use super::problem::{Code, Problem};
use super::rate_buckets::{RateBucket, RateBuckets, RateLevel};
use super::request::{
    AuthFailures, Cost, LimitScope, LimitedResource, NamespaceKey, PrincipalKey, RefusalMetrics,
    RefusalReason,
};

/// Largest body of a request in bytes: a value of 64 KiB as base64 with room for names.
pub(super) const MAX_BODY_BYTES: usize = 192 * 1024;
/// Largest head of a request in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Requests at the same time on a connection of HTTP/2.
pub(super) const HTTP2_STREAMS: u32 = 128;
/// Bytes of bodies that a connection of HTTP/2 may send ahead of who reads them.
pub(super) const HTTP2_WINDOW_BYTES: u32 = 64 * 1024;
/// Bytes of an answer that HTTP/2 takes in before the other side does.
pub(super) const HTTP2_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of TLS that wait for the other side to take them.
pub(super) const TLS_SEND_BYTES: usize = 32 * 1024;
/// After how long a quiet connection of HTTP/2 is asked whether it is alive.
pub(super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// How long that may take.
pub(super) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take until it is answered.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests of proven callers at the same time; more are turned away rather than queued.
pub(super) const MAX_REQUESTS: u64 = 1_024;
/// Of these, those of one principal,
pub(super) const MAX_REQUESTS_PER_PRINCIPAL: u64 = 128;
/// and those of all principals of one namespace.
pub(super) const MAX_REQUESTS_PER_NAMESPACE: u64 = 256;
/// Requests at the same time of people who come through the extension API server.
pub(super) const MAX_REQUESTS_OF_PEOPLE: u64 = 512;
/// Requests at the same time whose caller is not known yet.
pub(super) const MAX_UNAUTHENTICATED_REQUESTS: u64 = 2_048;
/// Bytes of memory of all connections without a proven caller.
pub(super) const MAX_UNAUTHENTICATED_BYTES: u64 = 64 << 20;
/// Streams of changes at the same time,
pub(super) const MAX_WATCHES: u64 = 4_096;
/// those of one principal,
pub(super) const MAX_WATCHES_PER_PRINCIPAL: u64 = 64;
/// and those of all principals of one namespace.
pub(super) const MAX_WATCHES_PER_NAMESPACE: u64 = 512;
/// Connections of unproven callers at the same time.
pub(super) const MAX_CONNECTIONS: u64 = 16_384;
/// Connections of proven callers at the same time; those of nodes and of the extension API server have room
/// of their own. One of HTTP/2 holds some 48 KiB for as long as its caller likes: all together 192 MiB.
pub(super) const MAX_PROVEN_CONNECTIONS: u64 = 4_096;
/// Bytes of large answers that are not taken yet, of all proven callers,
pub(super) const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// of these, those to one principal that has proven who it is,
pub(super) const MAX_ANSWER_BYTES_PER_PRINCIPAL: u64 = 16 << 20;
/// and of all principals of one namespace.
pub(super) const MAX_ANSWER_BYTES_PER_NAMESPACE: u64 = 32 << 20;
/// Tokens that are reviewed at the same time,
pub(super) const MAX_REVIEWS: u64 = 64;
/// and those of one address.
pub(super) const MAX_REVIEWS_PER_ADDRESS: usize = 8;

/// Requests a second; 0 is without bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Reads of one principal, and of all principals of one namespace.
    pub(crate) reads: u32,
    /// Writes of one principal, and of all principals of one namespace.
    pub(crate) writes: u32,
    /// Reads and writes of all principals together.
    pub(crate) all: u32,
}

impl Rates {
    /// Where nothing else is said.
    pub(crate) const DEFAULT: Self = Self {
        reads: 450,
        writes: 40,
        all: 0,
    };
}

/// Token buckets of a listener: by principal, by namespace, and one of all together.
#[derive(Debug)]
pub(super) struct Limits {
    reads: Option<Buckets>,
    writes: Option<Buckets>,
    all: Option<RateBucket>,
    /// Callers that could not say who they are, by address: each failure is a record, and records take room.
    unauthenticated: Arc<AuthFailures>,
    refusals: RefusalMetrics,
}

#[derive(Debug)]
struct Buckets {
    principals: RateBuckets<PrincipalKey>,
    namespaces: RateBuckets<NamespaceKey>,
}

impl Buckets {
    fn new(rate: u32) -> Option<Self> {
        let rate = NonZeroU32::new(rate)?;
        Some(Self {
            principals: RateBuckets::new(rate),
            namespaces: RateBuckets::new(rate),
        })
    }

    fn take(&self, caller: &Arc<Caller>, refusals: &RefusalMetrics) -> Result<(), Problem> {
        let now = || DefaultClock::default().now();
        self.principals
            .check_key(&PrincipalKey::new(caller))
            .map_err(|until| {
                let wait = until.wait_time_from(now());
                refuse(refusals, LimitScope::Principal, "of you", wait)
            })?;
        if let Some(namespace) = NamespaceKey::new(caller) {
            self.namespaces.check_key(&namespace).map_err(|until| {
                let wait = until.wait_time_from(now());
                refuse(refusals, LimitScope::Namespace, "of your namespace", wait)
            })?;
        }
        Ok(())
    }

    /// Forgets whoever has asked for nothing lately.
    fn forget(&self) {
        self.principals.retain_recent();
        self.principals.shrink_to_fit();
        self.namespaces.retain_recent();
        self.namespaces.shrink_to_fit();
    }
}

/// Counts a request that came too soon; what is answered.
fn refuse(refusals: &RefusalMetrics, scope: LimitScope, whose: &str, wait: Duration) -> Problem {
    refusals.refused(LimitedResource::Request, scope, RefusalReason::Rate);
    let detail = format!("too many requests {whose}; wait, and ask again with a conditional request");
    Problem::new(Code::TooManyRequests, detail).retry_after(wait.as_secs() + 1)
}

impl Limits {
    pub(super) fn new(rates: Rates, refusals: RefusalMetrics) -> Self {
        Self {
            reads: Buckets::new(rates.reads),
            writes: Buckets::new(rates.writes),
            all: NonZeroU32::new(rates.all).map(RateBucket::new),
            unauthenticated: Arc::default(),
            refusals,
        }
    }

    /// How often each address may fail to authenticate.
    pub(super) fn failures(&self) -> Arc<AuthFailures> {
        Arc::clone(&self.unauthenticated)
    }

    /// Takes one read of the caller's principal. It also counts for the namespace that the principal is of,
    /// not for the one that it reads from: nobody uses up what belongs to others.
    pub(super) fn take_read(&self, caller: &Arc<Caller>) -> Result<(), Problem> {
        self.take(self.reads.as_ref(), caller)
    }

    /// Takes one write of the caller's principal, in the same way.
    pub(super) fn take_write(&self, caller: &Arc<Caller>) -> Result<(), Problem> {
        self.take(self.writes.as_ref(), caller)
    }

    fn take(&self, buckets: Option<&Buckets>, caller: &Arc<Caller>) -> Result<(), Problem> {
        if let Some(buckets) = buckets {
            buckets.take(caller, &self.refusals)?;
        }
        // Last: who is over its own rate takes nothing of what all share.
        if let Some(all) = &self.all
            && let Err(until) = all.check()
        {
            let wait = until.wait_time_from(DefaultClock::default().now());
            let scope = LimitScope::Everybody;
            return Err(refuse(&self.refusals, scope, "at this gateway", wait));
        }
        Ok(())
    }

    /// Takes one failure to authenticate from an address.
    pub(super) fn take_failure(&self, source: IpAddr) -> Result<(), Problem> {
        if self.unauthenticated.record_failure(source) {
            Ok(())
        } else {
            Err(Problem::too_many_failures())
        }
    }

    pub(super) fn forget(&self) {
        self.unauthenticated.forget();
        for buckets in [&self.reads, &self.writes].into_iter().flatten() {
            buckets.forget();
        }
    }

    /// How much is left for a request of this cost: of the rate of the caller, of its namespace if it has
    /// one, and of all together. Nothing is taken. Empty: there is no limit.
    pub(super) fn levels(&self, caller: &Arc<Caller>, cost: Cost) -> Vec<RateLevel> {
        let buckets = match cost {
            Cost::Read => &self.reads,
            Cost::Write => &self.writes,
        };
        let mut levels = Vec::new();
        if let Some(buckets) = buckets {
            let principal = PrincipalKey::new(caller);
            levels.push(buckets.principals.level(LimitScope::Principal, &principal));
            let namespace = NamespaceKey::new(caller);
            levels.extend(
                namespace.map(|namespace| buckets.namespaces.level(LimitScope::Namespace, &namespace)),
            );
        }
        levels.extend(self.all.as_ref().map(|all| all.level(LimitScope::Everybody)));
        levels
    }
}

#[cfg(test)]
mod tests {
    use strongroom_rules::policy::Identity;

    use super::*;

    fn account(namespace: &str, name: &str) -> Arc<Caller> {
        let username = format!("system:serviceaccount:{namespace}:{name}");
        Caller::named(Identity::from_username(&username))
    }

    fn limits(reads: u32, writes: u32, all: u32) -> Limits {
        Limits::new(Rates { reads, writes, all }, RefusalMetrics::default())
    }

    #[test]
    fn a_principal_and_its_namespace_each_have_a_bucket() {
        let limits = limits(3, 1, 0);
        for _ in 0..3 {
            assert_eq!(limits.take_read(&account("shop", "a")), Ok(()));
        }
        let refused = limits.take_read(&account("shop", "a")).unwrap_err();
        assert_eq!(refused.code(), Code::TooManyRequests);
        // The namespace has had enough, another one has not.
        assert!(limits.take_read(&account("shop", "b")).is_err());
        assert_eq!(limits.take_read(&account("pay", "a")), Ok(()));
        // Users have none.
        let jane = Caller::named(Identity::User("jane".to_owned()));
        assert_eq!(limits.take_read(&jane), Ok(()));
        limits.forget();
        assert!(
            limits.take_read(&account("shop", "a")).is_err(),
            "what was asked lately is not forgotten"
        );
    }

    #[test]
    fn all_together_have_a_bucket_that_nobody_drains_with_what_is_refused() {
        let limits = limits(1, 1, 2);
        assert_eq!(limits.take_read(&account("shop", "a")), Ok(()));
        for _ in 0..20 {
            let refused = limits.take_read(&account("shop", "a")).unwrap_err();
            assert!(refused.detail().contains("of you"), "{refused:?}");
        }
        // Reads and writes are one sum.
        assert_eq!(limits.take_write(&account("pay", "a")), Ok(()));
        let refused = limits.take_read(&account("team", "a")).unwrap_err();
        assert_eq!(refused.code(), Code::TooManyRequests);
        assert!(refused.detail().contains("at this gateway"), "{refused:?}");
    }

    #[test]
    fn zero_is_without_bound() {
        let limits = limits(0, 0, 0);
        assert!((0..10_000).all(|_| limits.take_read(&account("shop", "a")).is_ok()));
        assert_eq!(limits.levels(&account("shop", "a"), Cost::Read), []);
    }

    #[test]
    fn what_is_left_is_told_of_the_caller_of_its_namespace_and_of_all() {
        let limits = limits(1_000, 1, 50);
        assert_eq!(limits.take_write(&account("shop", "a")), Ok(()));
        let scopes = |caller: &Arc<Caller>| -> Vec<(LimitScope, u32)> {
            let levels = limits.levels(caller, Cost::Write).into_iter();
            levels.map(|level| (level.scope, level.rate)).collect()
        };
        let everybody = (LimitScope::Everybody, 50);
        assert_eq!(
            scopes(&account("shop", "b")),
            [(LimitScope::Principal, 1), (LimitScope::Namespace, 1), everybody]
        );
        let jane = Caller::named(Identity::User("jane".to_owned()));
        assert_eq!(scopes(&jane), [(LimitScope::Principal, 1), everybody]);
        // Another one of the namespace has taken nothing for itself, and nobody a read.
        assert_eq!(limits.levels(&account("shop", "b"), Cost::Write)[0].left, 1);
        assert_eq!(limits.levels(&account("shop", "a"), Cost::Read)[1].left, 1_000);
        // Without rates of callers there is that of all.
        let all = Limits::new(
            Rates {
                reads: 0,
                writes: 0,
                all: 50,
            },
            RefusalMetrics::default(),
        );
        let levels = all.levels(&jane, Cost::Read);
        assert_eq!(levels.len(), 1);
        assert_eq!((levels[0].scope, levels[0].left), (LimitScope::Everybody, 50));
    }
}
