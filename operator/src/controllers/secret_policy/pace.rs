//! How often a large policy that changes all the time is written: into the store, for the next start, and
//! into its status. Both contain its text, or make the API server answer with it. The statements take effect
//! without waiting for either.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Texts up to this length, in bytes, are written at once.
const LARGE_POLICY_BYTES: usize = 64 << 10;
/// Between two writes of a larger one.
const MIN_WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// When each large policy was written last, by the UID of its object.
#[derive(Debug, Default)]
pub(crate) struct WritePace(Mutex<HashMap<String, Instant>>);

impl WritePace {
    /// How long a policy of so many bytes waits until it may be written; none: it is written now.
    pub(super) fn wait(&self, uid: &str, bytes: usize, now: Instant) -> Option<Duration> {
        if bytes <= LARGE_POLICY_BYTES {
            return None;
        }
        let mut written = self.0.lock();
        let since = |at: &Instant| now.saturating_duration_since(*at);
        if let Some(at) = written.get(uid)
            && since(at) < MIN_WRITE_INTERVAL
        {
            return Some(MIN_WRITE_INTERVAL.saturating_sub(since(at)));
        }
        written.retain(|_, at| since(at) < MIN_WRITE_INTERVAL);
        written.insert(uid.to_owned(), now);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_policy_is_written_once_a_second_and_others_at_once() {
        let pace = WritePace::default();
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        assert_eq!(pace.wait("large", LARGE_POLICY_BYTES + 1, start), None);
        let rest = Some(Duration::from_millis(900));
        assert_eq!(pace.wait("large", LARGE_POLICY_BYTES + 1, after(100)), rest);
        assert_eq!(pace.wait("other", LARGE_POLICY_BYTES + 1, after(100)), None);
        assert_eq!(pace.wait("large", LARGE_POLICY_BYTES, after(100)), None);
        assert_eq!(pace.wait("large", LARGE_POLICY_BYTES + 1, after(1_000)), None);
        assert!(pace.wait("large", LARGE_POLICY_BYTES + 1, after(1_001)).is_some());
        assert_eq!(pace.wait("third", LARGE_POLICY_BYTES + 1, after(9_000)), None);
        assert_eq!(pace.0.lock().len(), 1, "nothing stays of those that rest");
    }
}
