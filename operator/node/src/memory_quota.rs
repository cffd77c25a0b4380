//! How much memory the volumes of the node may take together: files in memory count as the plugin's own
//! memory, and the kernel kills the plugin at its limit. So a volume that would not fit is refused before
//! that. Must not look at a file.

use std::collections::HashMap;

use parking_lot::Mutex;

/// What the plugin itself takes, and what changes of running volumes take for a moment, in bytes: this, and
/// an eighth of the limit.
const PLUGIN_BYTES: u64 = 24 << 20;

/// How many times what is left free the volumes of one namespace may take: seven eighths of all where it is
/// alone, and there is always something left for one that comes.
const TIMES_FREE: u64 = 7;

/// What a volume takes.
#[derive(Debug)]
struct Reservation {
    namespace: String,
    bytes: u64,
}

/// The quota for volumes.
#[derive(Debug)]
pub struct MemoryQuota {
    /// None: without bound.
    most: Option<u64>,
    /// Each volume.
    taken: Mutex<HashMap<String, Reservation>>,
}

/// A volume does not fit beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the volume needs {wants} bytes of the node plugin's memory, and its namespace has {left} left for volumes on this node: raise \
     the chart's `node.resources.limits.memory`, or mount less"
)]
pub struct QuotaExceeded {
    /// What the volume takes.
    pub wants: u64,
    /// What is left for its namespace.
    pub left: u64,
}

impl MemoryQuota {
    /// The room of a plugin with this limit of its memory, in bytes; 0: without.
    #[must_use]
    pub fn with_limit(limit: u64) -> Self {
        let most = limit.saturating_sub(PLUGIN_BYTES).saturating_sub(limit / 8);
        Self {
            most: (limit > 0).then_some(most),
            taken: Mutex::default(),
        }
    }

    /// Sets the size of a volume of a pod in this namespace. Returns the former size, which is given back to
    /// [`Self::set`] if the change fails.
    ///
    /// # Errors
    /// [`QuotaExceeded`]. A volume that becomes no larger always fits: neither a rotation nor a wipe waits
    /// for room.
    pub fn reserve(&self, volume: &str, namespace: &str, bytes: u64) -> Result<u64, QuotaExceeded> {
        let mut taken = self.taken.lock();
        let before = taken.get(volume).map_or(0, |taken| taken.bytes);
        let sum = |of: &dyn Fn(&Reservation) -> bool| {
            let others = taken
                .iter()
                .filter(|(id, taken)| id.as_str() != volume && of(taken));
            others.fold(0, |sum: u64, (_, taken)| sum.saturating_add(taken.bytes))
        };
        let left = self.most.map(|most| {
            let own = sum(&|taken| taken.namespace == namespace);
            let free = most.saturating_sub(sum(&|_| true));
            // `own` and the volume are at most so many times what is free then.
            (TIMES_FREE.saturating_mul(free)).saturating_sub(own) / (TIMES_FREE + 1)
        });
        if let Some(left) = left
            && bytes > before
            && bytes > left
        {
            return Err(QuotaExceeded { wants: bytes, left });
        }
        put(&mut taken, volume, namespace, bytes);
        Ok(before)
    }

    /// A volume is gone.
    pub fn release(&self, volume: &str) {
        self.taken.lock().remove(volume);
    }

    /// A volume is so large, whether or not it fits.
    pub fn set(&self, volume: &str, namespace: &str, bytes: u64) {
        put(&mut self.taken.lock(), volume, namespace, bytes);
    }

    /// What all volumes take.
    #[cfg(test)]
    fn all(&self) -> u64 {
        self.taken
            .lock()
            .values()
            .fold(0, |sum, taken| sum.saturating_add(taken.bytes))
    }
}

fn put(taken: &mut HashMap<String, Reservation>, volume: &str, namespace: &str, bytes: u64) {
    if bytes == 0 {
        taken.remove(volume);
        return;
    }
    let namespace = namespace.to_owned();
    taken.insert(volume.to_owned(), Reservation { namespace, bytes });
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn volumes_fit_beside_the_plugin_and_each_other() {
        // 64 MiB, without 24 and an eighth: 32, of which one namespace has at most seven eighths.
        let quota = MemoryQuota::with_limit(64 * MIB);
        assert_eq!(quota.reserve("a", "shop", 20 * MIB), Ok(0));
        let refused = QuotaExceeded {
            wants: 9 * MIB,
            left: 8 * MIB,
        };
        assert_eq!(quota.reserve("b", "shop", 9 * MIB), Err(refused));
        assert_eq!(quota.reserve("b", "shop", 8 * MIB), Ok(0));
        assert_eq!(quota.all(), 28 * MIB);
        // Full: what runs changes on, and may shrink, but not grow.
        assert_eq!(quota.reserve("a", "shop", 20 * MIB), Ok(20 * MIB));
        assert!(quota.reserve("a", "shop", 21 * MIB).is_err());
        assert_eq!(quota.reserve("a", "shop", MIB), Ok(20 * MIB));
        assert_eq!(quota.reserve("b", "shop", 20 * MIB), Ok(8 * MIB));
        quota.release("b");
        assert_eq!(quota.all(), MIB);
    }

    #[test]
    fn one_namespace_that_takes_all_it_gets_leaves_something_for_each_that_comes() {
        let quota = MemoryQuota::with_limit(64 * MIB);
        let mut left = 32 * MIB;
        for namespace in ["a", "b", "c"] {
            let mut number = 0;
            let mut own = 0;
            // In steps of a page, until nothing more is had.
            while quota
                .reserve(&format!("{namespace}-{number}"), namespace, 64 << 10)
                .is_ok()
            {
                number += 1;
                own += 64 << 10;
            }
            let share = left * 7 / 8;
            assert!(
                own <= share && own + (128 << 10) > share,
                "{namespace}: {own} of {share}"
            );
            left -= own;
        }
    }

    #[test]
    fn what_is_there_already_may_be_more_than_the_limit() {
        let quota = MemoryQuota::with_limit(32 * MIB);
        quota.set("a", "shop", 100 * MIB);
        assert_eq!(quota.reserve("a", "shop", 100 * MIB), Ok(100 * MIB));
        let refused = QuotaExceeded { wants: 1, left: 0 };
        assert_eq!(quota.reserve("b", "other", 1), Err(refused));
        let without = MemoryQuota::with_limit(0);
        assert_eq!(without.reserve("a", "shop", u64::MAX), Ok(0));
        assert_eq!(without.reserve("b", "shop", u64::MAX), Ok(0));
    }
}
