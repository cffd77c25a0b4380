//! Answers of the API server that are kept for a while. Each user says how old an answer may be for its
//! purpose; nothing here knows one.
//!
//! It is no `moka`. That makes room by frequency of use; here refusals go first, and then the answers of
//! whoever has the most of them. There an answer has one age at which it ends; here one that is too old
//! serves on while the API server is silent. Ages are by tokio's clock, which tests turn.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Answers that are kept at the same time.
const MAX_ANSWERS: usize = 65_536;
/// At least one of so many goes where there are too many.
const MIN_EVICTED_PART: usize = 16;

/// Answers by what was asked.
pub(super) struct TtlCache<K, V> {
    answers: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K, V> Default for TtlCache<K, V> {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash, V: Clone> TtlCache<K, V> {
    /// The answer, if it is younger than that.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q, age: Duration) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.get_with_age(key, age).map(|(_, value)| value)
    }

    /// What `look` makes of the answer, if it is younger than that: nothing is copied.
    pub(super) fn map<Q: Eq + Hash + ?Sized, T>(
        &self,
        key: &Q,
        age: Duration,
        look: impl FnOnce(&V) -> T,
    ) -> Option<T>
    where
        K: std::borrow::Borrow<Q>,
    {
        let answers = self.answers.lock();
        let (at, value) = answers.get(key)?;
        (at.elapsed() < age).then(|| look(value))
    }

    /// The answer with its age, if it is younger than that.
    pub(super) fn get_with_age<Q: Eq + Hash + ?Sized>(&self, key: &Q, age: Duration) -> Option<(Duration, V)>
    where
        K: std::borrow::Borrow<Q>,
    {
        let answers = self.answers.lock();
        let (at, value) = answers.get(key)?;
        let since = at.elapsed();
        (since < age).then(|| (since, value.clone()))
    }

    /// Keeps an answer. Where there are too many, those go first for which `keep` does not hold, given their
    /// age, and then the older half.
    pub(super) fn put(&self, key: K, value: V, keep: impl Fn(Duration, &V) -> bool) {
        self.put_with_owner(key, value, keep, |_| ());
    }

    /// The same; those that go then are of whoever has the most of them: nobody makes others' answers go.
    pub(super) fn put_with_owner<O: Eq + Hash>(
        &self,
        key: K,
        value: V,
        keep: impl Fn(Duration, &V) -> bool,
        owner: impl Fn(&V) -> O,
    ) {
        let mut answers = self.answers.lock();
        if answers.len() >= MAX_ANSWERS {
            answers.retain(|_, (at, value)| keep(at.elapsed(), value));
            if answers.len() >= MAX_ANSWERS {
                evict_from_largest_owners(&mut answers, owner);
            }
        }
        answers.insert(key, (Instant::now(), value));
    }

    /// Forgets one.
    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
    {
        self.answers.lock().remove(key);
    }

    /// Makes all so much older.
    #[cfg(test)]
    pub(super) fn age(&self, by: Duration) {
        for (at, _) in self.answers.lock().values_mut() {
            *at -= by;
        }
    }

    /// Forgets those for which `keep` does not hold, given their age.
    pub(super) fn forget(&self, keep: impl Fn(Duration, &V) -> bool) {
        self.answers
            .lock()
            .retain(|_, (at, value)| keep(at.elapsed(), value));
    }
}

/// Takes out the older half of what the owner of the most has, then that of the next, until there is room for
/// a while: all are looked at for it, and that must not happen for each answer of somebody with many owners.
fn evict_from_largest_owners<K, V, O: Eq + Hash>(
    answers: &mut HashMap<K, (Instant, V)>,
    owner: impl Fn(&V) -> O,
) {
    let mut by_owner: HashMap<O, Vec<Instant>> = HashMap::new();
    for (at, value) in answers.values() {
        by_owner.entry(owner(value)).or_default().push(*at);
    }
    let mut owners: Vec<(O, Vec<Instant>)> = by_owner.into_iter().collect();
    // Of owners of as many first the one whose newest is the oldest.
    owners.sort_by_cached_key(|(_, times)| (Reverse(times.len()), times.iter().max().copied()));
    let mut missing = (answers.len() / MIN_EVICTED_PART).max(1);
    // How many of an owner go, of those that are no younger than this.
    let mut going: HashMap<O, (usize, Instant)> = HashMap::new();
    for (owner, mut times) in owners {
        let half = times.len().div_ceil(2);
        if missing == 0 || half == 0 {
            break;
        }
        let (_, middle, _) = times.select_nth_unstable(half - 1);
        going.insert(owner, (half, *middle));
        missing = missing.saturating_sub(half);
    }
    answers.retain(|_, (at, value)| {
        let Some((left, middle)) = going.get_mut(&owner(value)) else {
            return true;
        };
        let goes = *left > 0 && *at <= *middle;
        *left = left.saturating_sub(usize::from(goes));
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn an_answer_counts_while_it_is_young_enough_for_whoever_asks() {
        let remembered = TtlCache::default();
        assert_eq!(remembered.get("a", HOUR), None);
        remembered.put("a".to_owned(), 1, |_, _| true);
        assert_eq!(remembered.get("a", HOUR), Some(1));
        assert_eq!(remembered.get("a", Duration::ZERO), None);
        assert_eq!(remembered.map("a", HOUR, |value| value + 1), Some(2));
        assert_eq!(remembered.map("a", Duration::ZERO, |value| value + 1), None);
        remembered.forget(|_, value| *value != 1);
        assert_eq!(remembered.get("a", HOUR), None);
    }

    #[test]
    fn what_is_worth_less_makes_room_first() {
        let remembered = TtlCache::default();
        for number in 0..MAX_ANSWERS {
            remembered.put(number, number, |_, _| true);
        }
        remembered.put(MAX_ANSWERS, MAX_ANSWERS, |_, value| value % 2 == 0);
        assert_eq!(remembered.get(&0, HOUR), Some(0));
        assert_eq!(remembered.get(&1, HOUR), None);
        assert_eq!(remembered.get(&MAX_ANSWERS, HOUR), Some(MAX_ANSWERS));
    }

    #[test]
    fn whoever_has_many_answers_makes_only_his_own_go() {
        let remembered = TtlCache::default();
        let put = |number: usize, whose: &'static str| {
            remembered.put_with_owner(number, whose, |_, _| true, |whose| *whose);
        };
        put(0, "b");
        for number in 1..3 * MAX_ANSWERS {
            put(number, "a");
        }
        assert_eq!(remembered.get(&0, HOUR), Some("b"));
        assert_eq!(
            remembered.get(&(3 * MAX_ANSWERS - 1), HOUR),
            Some("a"),
            "the newest stay"
        );
        assert!(remembered.answers.lock().len() <= MAX_ANSWERS);
    }

    #[test]
    fn many_owners_of_few_answers_make_room_for_many() {
        let remembered = TtlCache::default();
        let put = |number: usize, whose: usize| {
            remembered.put_with_owner(number, whose, |_, _| true, |whose| *whose);
        };
        for number in 0..MAX_ANSWERS {
            put(number, number);
        }
        put(MAX_ANSWERS, MAX_ANSWERS);
        let left = remembered.answers.lock().len();
        assert!(
            left <= MAX_ANSWERS - MAX_ANSWERS / MIN_EVICTED_PART + 1 && left > MAX_ANSWERS / 2,
            "{left}"
        );
    }
}
