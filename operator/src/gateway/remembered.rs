//! Answers of the API server that are kept for a while. Each user says how old an answer may be for its purpose; nothing here knows one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Answers that are kept at the same time.
const MOST: usize = 65_536;

/// Answers by what was asked.
pub(super) struct Remembered<K, V> {
    answers: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    fn answers(&self) -> MutexGuard<'_, HashMap<K, (Instant, V)>> {
        // A panic while the lock was held leaves at worst a missing answer.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, if it is younger than that.
    pub(super) fn within<Q: Eq + Hash + ?Sized>(&self, key: &Q, age: Duration) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.aged(key, age).map(|(_, value)| value)
    }

    /// The answer with its age, if it is younger than that.
    pub(super) fn aged<Q: Eq + Hash + ?Sized>(&self, key: &Q, age: Duration) -> Option<(Duration, V)>
    where
        K: std::borrow::Borrow<Q>,
    {
        let answers = self.answers();
        let (at, value) = answers.get(key)?;
        let since = at.elapsed();
        (since < age).then(|| (since, value.clone()))
    }

    /// Keeps an answer. Where there are too many, those go first for which `keep` does not hold, given their age, and then all.
    pub(super) fn put(&self, key: K, value: V, keep: impl Fn(Duration, &V) -> bool) {
        let mut answers = self.answers();
        if answers.len() >= MOST {
            answers.retain(|_, (at, value)| keep(at.elapsed(), value));
            if answers.len() >= MOST {
                answers.clear();
            }
        }
        answers.insert(key, (Instant::now(), value));
    }

    /// Forgets one.
    pub(super) fn drop<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
    {
        self.answers().remove(key);
    }

    /// Forgets those for which `keep` does not hold, given their age.
    pub(super) fn forget(&self, keep: impl Fn(Duration, &V) -> bool) {
        self.answers().retain(|_, (at, value)| keep(at.elapsed(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn an_answer_counts_while_it_is_young_enough_for_whoever_asks() {
        let remembered = Remembered::default();
        assert_eq!(remembered.within("a", LONG), None);
        remembered.put("a".to_owned(), 1, |_, _| true);
        assert_eq!(remembered.within("a", LONG), Some(1));
        assert_eq!(remembered.within("a", Duration::ZERO), None);
        remembered.forget(|_, value| *value != 1);
        assert_eq!(remembered.within("a", LONG), None);
    }

    #[test]
    fn what_is_worth_less_makes_room_first() {
        let remembered = Remembered::default();
        for number in 0..MOST {
            remembered.put(number, number, |_, _| true);
        }
        remembered.put(MOST, MOST, |_, value| value % 2 == 0);
        assert_eq!(remembered.within(&0, LONG), Some(0));
        assert_eq!(remembered.within(&1, LONG), None);
        assert_eq!(remembered.within(&MOST, LONG), Some(MOST));
    }
}
