//! Asks each question only once at a time: a caller that asks the same meanwhile waits for the first, and
//! then reads the answer from the cache.
//!
//! It is not that of `moka`, under which all wait and get the answer of the first: here each caller checks
//! that the answer is young enough for it, and a mere refresh is skipped if the question is being asked
//! already.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// After so many questions those are forgotten that nobody asks any more.
const PRUNE_ABOVE: usize = 1_024;

/// Questions under way.
#[derive(Debug)]
pub(super) struct SingleFlight<K>(Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>);

impl<K> Default for SingleFlight<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> SingleFlight<K> {
    /// Whoever holds this is the only one who asks.
    pub(super) async fn acquire(&self, key: K) -> OwnedMutexGuard<()> {
        self.flight(key).lock_owned().await
    }

    /// As `acquire`; None where somebody asks already.
    pub(super) fn try_acquire(&self, key: K) -> Option<OwnedMutexGuard<()>> {
        self.flight(key).try_lock_owned().ok()
    }

    fn flight(&self, key: K) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.0.lock();
        if flights.len() >= PRUNE_ABOVE {
            flights.retain(|_, turn| turn.strong_count() > 0);
        }
        let known = flights.get(&key).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::new(tokio::sync::Mutex::new(()));
            flights.insert(key, Arc::downgrade(&turn));
            turn
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn only_one_asks_the_same_at_a_time() {
        let (flights, running) = (SingleFlight::default(), AtomicUsize::new(0));
        let ask = |key: usize| {
            let (flights, running) = (&flights, &running);
            async move {
                let _turn = flights.acquire(key).await;
                let most = running.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                most
            }
        };
        let same = join_all((0..50).map(|_| ask(1))).await;
        assert!(same.iter().all(|most| *most == 1));
        let others = join_all((0..50).map(ask)).await;
        assert!(others.iter().any(|most| *most > 1));
        join_all((0..2 * PRUNE_ABOVE).map(ask)).await;
        assert!(flights.0.lock().len() <= 2 * PRUNE_ABOVE);
    }
}
