//! Reserved places in the quotas of products, for default secrets that are being made or that move to another
//! hosting. Each is held from before the object is written until the store has the secret, so that no object
//! is left for which the quota had no room.
//!
//! The store alone decides whether there is room; a reservation only waits for those before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use strongroom_model::id::NamespaceId;
use strongroom_model::name::NamespaceName;
use strongroom_model::{Hosting, ProductCode};
use strongroom_store::vault::{DefaultSecretQuota, Refusal, Store, StoreError};
use tokio::sync::Notify;

use super::blocking;
use super::problem::Problem;

/// The places that are held; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct QuotaReservations {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<BTreeMap<QuotaKey, u64>>,
    /// A place is free again, or the store has its secret.
    freed: Notify,
}

/// Which quota a place is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QuotaKey {
    pub(super) code: ProductCode,
    pub(super) hosting: Hosting,
    /// The total is that of all namespaces.
    pub(super) namespace: NamespaceId,
}

/// A place that is held until this is dropped.
#[derive(Debug)]
pub(super) struct QuotaReservation {
    reservations: QuotaReservations,
    key: QuotaKey,
}

impl Drop for QuotaReservation {
    fn drop(&mut self) {
        let mut held = self.reservations.inner.held.lock();
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
        drop(held);
        self.reservations.inner.freed.notify_waiters();
    }
}

/// What trying to hold a place comes to.
#[derive(Debug)]
enum ReservationAttempt {
    Held(QuotaReservation),
    /// Those who are ahead may leave room, or may not.
    Wait,
}

impl QuotaReservations {
    /// Holds a place, once it is known that there is one.
    ///
    /// # Errors
    /// [`Refusal::ProductQuotaExceeded`] where there is none; those of the store.
    pub(super) async fn reserve(
        &self,
        store: &Store,
        key: QuotaKey,
        namespace: Option<NamespaceName>,
    ) -> Result<QuotaReservation, Problem> {
        loop {
            // Whoever frees a place from now on wakes this.
            let freed = self.inner.freed.notified();
            let (reservations, store) = (self.clone(), store.clone());
            let (wanted, name) = (key.clone(), namespace.clone());
            let attempt = blocking(move || {
                // Reservations are counted before the secrets in the store: a secret that is stored meanwhile
                // counts twice rather than not at all.
                let mut held = reservations.inner.held.lock();
                let quota = store.product_quota(&wanted.code, wanted.hosting, wanted.namespace)?;
                let ahead = (count_in_namespace(&held, &wanted), count_in_all(&held, &wanted));
                match room(&quota, ahead) {
                    QuotaAvailability::Full(limit) => Err(exceeded(&wanted, name, &quota, limit)),
                    QuotaAvailability::Taken => Ok(ReservationAttempt::Wait),
                    QuotaAvailability::Free => {
                        *held.entry(wanted.clone()).or_default() += 1;
                        drop(held);
                        Ok(ReservationAttempt::Held(QuotaReservation {
                            reservations: reservations.clone(),
                            key: wanted,
                        }))
                    }
                }
            });
            match attempt.await? {
                ReservationAttempt::Held(reservation) => return Ok(reservation),
                ReservationAttempt::Wait => freed.await,
            }
        }
    }
}

fn count_in_namespace(held: &BTreeMap<QuotaKey, u64>, key: &QuotaKey) -> u64 {
    held.get(key).copied().unwrap_or(0)
}

fn count_in_all(held: &BTreeMap<QuotaKey, u64>, key: &QuotaKey) -> u64 {
    let same = held
        .iter()
        .filter(|(other, _)| other.code == key.code && other.hosting == key.hosting);
    same.map(|(_, count)| *count).sum()
}

/// Whether there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QuotaAvailability {
    Free,
    /// There is, if not all who are ahead get theirs.
    Taken,
    /// Whoever is ahead: that limit is reached.
    Full(ReachedLimit),
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReachedLimit {
    Namespace,
    Total,
}

/// Whether there is room behind so many in the namespace and in all.
fn room(quota: &DefaultSecretQuota, (in_namespace, in_all): (u64, u64)) -> QuotaAvailability {
    let (namespace, total) = (&quota.in_namespace, &quota.total);
    if namespace.used >= namespace.limit {
        QuotaAvailability::Full(ReachedLimit::Namespace)
    } else if total.used >= total.limit {
        QuotaAvailability::Full(ReachedLimit::Total)
    } else if namespace.used + in_namespace >= namespace.limit || total.used + in_all >= total.limit {
        QuotaAvailability::Taken
    } else {
        QuotaAvailability::Free
    }
}

/// What the store would say.
fn exceeded(
    key: &QuotaKey,
    namespace: Option<NamespaceName>,
    quota: &DefaultSecretQuota,
    reached: ReachedLimit,
) -> Problem {
    let (namespace, usage) = match reached {
        ReachedLimit::Namespace => (namespace, &quota.in_namespace),
        ReachedLimit::Total => (None, &quota.total),
    };
    let refusal = Refusal::ProductQuotaExceeded {
        code: key.code.clone(),
        hosting: key.hosting,
        namespace,
        used: usage.used,
        limit: usage.limit,
    };
    StoreError::Refused(refusal).into()
}

#[cfg(test)]
mod tests {
    use strongroom_store::vault::QuotaUsage;

    use super::*;

    fn quota(in_namespace: (u64, u64), total: (u64, u64)) -> DefaultSecretQuota {
        let usage = |(used, limit): (u64, u64)| QuotaUsage { used, limit };
        DefaultSecretQuota {
            in_namespace: usage(in_namespace),
            total: usage(total),
        }
    }

    #[test]
    fn who_is_ahead_is_waited_for_and_what_the_store_has_is_not() {
        for (in_namespace, total, ahead, expected) in [
            ((0, 2), (0, 5), (0, 0), QuotaAvailability::Free),
            ((1, 2), (1, 5), (0, 0), QuotaAvailability::Free),
            ((1, 2), (1, 5), (1, 1), QuotaAvailability::Taken),
            (
                (2, 2),
                (2, 5),
                (0, 0),
                QuotaAvailability::Full(ReachedLimit::Namespace),
            ),
            ((0, 2), (4, 5), (0, 1), QuotaAvailability::Taken),
            (
                (0, 2),
                (5, 5),
                (0, 0),
                QuotaAvailability::Full(ReachedLimit::Total),
            ),
            // No quota is given: none may be made.
            (
                (0, 0),
                (0, 0),
                (0, 0),
                QuotaAvailability::Full(ReachedLimit::Namespace),
            ),
            // It was lowered since.
            (
                (9, 2),
                (9, 5),
                (0, 0),
                QuotaAvailability::Full(ReachedLimit::Namespace),
            ),
        ] {
            let room = room(&quota(in_namespace, total), ahead);
            assert_eq!(room, expected, "{in_namespace:?} {total:?} {ahead:?}");
        }
    }

    #[test]
    fn a_place_counts_in_its_namespace_and_in_the_total_of_its_hosting_until_it_is_dropped() {
        let reservations = QuotaReservations::default();
        let key = |hosting: Hosting, namespace: u8| QuotaKey {
            code: "pg".parse().unwrap(),
            hosting,
            namespace: NamespaceId::from_bytes([namespace; 16]),
        };
        let hold = |key: QuotaKey| {
            *reservations.inner.held.lock().entry(key.clone()).or_default() += 1;
            QuotaReservation {
                reservations: reservations.clone(),
                key,
            }
        };
        let first = hold(key(Hosting::Free, 1));
        let _second = hold(key(Hosting::Free, 2));
        let _third = hold(key(Hosting::Paid, 1));
        let counted = |key: &QuotaKey| {
            let held = reservations.inner.held.lock();
            (count_in_namespace(&held, key), count_in_all(&held, key))
        };
        assert_eq!(counted(&key(Hosting::Free, 1)), (1, 2));
        assert_eq!(counted(&key(Hosting::Paid, 1)), (1, 1));
        drop(first);
        assert_eq!(counted(&key(Hosting::Free, 1)), (0, 1));
        assert_eq!(reservations.inner.held.lock().len(), 2, "nothing is kept of it");
    }
}
