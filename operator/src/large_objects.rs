//! Limits how many bytes of large objects are processed at once, by namespace and for all together. An object
//! is held as its text, parsed and copied while it is worked on, so that it takes about five times its bytes.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one namespace: three of the largest objects.
const MAX_NAMESPACE_BYTES: u32 = 4 << 20;
/// Bytes of all namespaces.
const MAX_TOTAL_BYTES: u32 = 12 << 20;
/// What each counts at least: it may have grown since it was seen.
const MIN_OBJECT_BYTES: u32 = 512 << 10;

/// The large objects that are worked on.
#[derive(Debug)]
pub(crate) struct LargeObjectLimiter {
    all: Arc<Semaphore>,
    namespaces: Mutex<HashMap<Box<str>, Weak<Semaphore>>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct LargeObjectPermit {
    _of_namespace: Option<OwnedSemaphorePermit>,
    _of_all: Option<OwnedSemaphorePermit>,
}

impl Default for LargeObjectLimiter {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(permits(MAX_TOTAL_BYTES))),
            namespaces: Mutex::default(),
        }
    }
}

impl LargeObjectLimiter {
    /// Waits until there is room for an object with so many bytes. First come, first served in a namespace,
    /// and the namespaces one after the other: each has at most its own share in the line for all.
    pub(crate) async fn acquire(&self, namespace: &str, bytes: usize) -> LargeObjectPermit {
        let bytes = u32::try_from(bytes)
            .unwrap_or(MAX_NAMESPACE_BYTES)
            .clamp(MIN_OBJECT_BYTES, MAX_NAMESPACE_BYTES);
        let of_namespace = self.for_namespace(namespace).acquire_many_owned(bytes).await;
        let of_all = Arc::clone(&self.all).acquire_many_owned(bytes).await;
        // They are never closed.
        LargeObjectPermit {
            _of_namespace: of_namespace.ok(),
            _of_all: of_all.ok(),
        }
    }

    fn for_namespace(&self, namespace: &str) -> Arc<Semaphore> {
        let mut namespaces = self.namespaces.lock();
        if let Some(known) = namespaces.get(namespace).and_then(Weak::upgrade) {
            return known;
        }
        namespaces.retain(|_, known| known.strong_count() > 0);
        let made = Arc::new(Semaphore::new(permits(MAX_NAMESPACE_BYTES)));
        namespaces.insert(namespace.into(), Arc::downgrade(&made));
        made
    }
}

fn permits(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const LARGE: usize = 1_350_000;

    #[test]
    fn one_namespace_has_three_large_ones_and_others_have_theirs() {
        let limiter = LargeObjectLimiter::default();
        let now = |namespace: &str, bytes| limiter.acquire(namespace, bytes).now_or_never();
        let mut held: Vec<LargeObjectPermit> = std::iter::from_fn(|| now("shop", LARGE)).collect();
        assert_eq!(held.len(), 3);
        assert!(now("pay", LARGE).is_some());
        held.pop();
        assert!(now("shop", LARGE).is_some());
        // One that is larger than all that is allowed comes alone.
        assert!(now("other", 100 << 20).is_some());
        drop(held);
        assert!(limiter.for_namespace("shop").available_permits() == permits(MAX_NAMESPACE_BYTES));
    }

    #[test]
    fn all_together_have_a_bound_and_each_counts_for_something() {
        let limiter = LargeObjectLimiter::default();
        let names: Vec<String> = (0..100).map(|number| format!("n-{number}")).collect();
        let enter = |name: &String| limiter.acquire(name, 1).now_or_never();
        let held: Vec<LargeObjectPermit> = names.iter().map_while(enter).collect();
        assert_eq!(
            held.len(),
            usize::try_from(MAX_TOTAL_BYTES / MIN_OBJECT_BYTES).unwrap()
        );
    }

    #[tokio::test]
    async fn who_waits_comes_when_another_is_done() {
        let limiter = LargeObjectLimiter::default();
        let first = limiter.acquire("shop", 4 << 20).await;
        let (second, ()) = futures::join!(limiter.acquire("shop", LARGE), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        drop(second);
    }
}
