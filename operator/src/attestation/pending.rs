//! The attestations that wait until their object is seen, counted so that nobody can fill the store with
//! them. Most are used a moment later. A change that was refused after the webhook saw it, or was overtaken
//! by the next one, is never seen: its attestation expires by age.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use strongroom_store::vault::AttestationId;

/// How long one waits.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(10);
/// Most of one namespace,
const MAX_PER_NAMESPACE: usize = 4_096;
/// and of all together.
const MAX_TOTAL: usize = 16_384;
/// Most that are forgotten at once.
const FORGET_BATCH: usize = 128;

/// What waits; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PendingAttestations(Arc<Mutex<PendingState>>);

#[derive(Debug)]
struct PendingState {
    /// By the order of their coming.
    all: BTreeMap<u64, PendingAttestation>,
    numbers: HashMap<AttestationId, u64>,
    by_namespace: HashMap<Arc<str>, BTreeSet<u64>>,
    by_object: HashMap<Box<str>, BTreeSet<u64>>,
    /// Gone from here, and not from the store yet.
    stale: Vec<AttestationId>,
    next: u64,
    of_namespace: usize,
    of_all: usize,
}

#[derive(Debug)]
struct PendingAttestation {
    id: AttestationId,
    namespace: Arc<str>,
    object: Box<str>,
    at: Timestamp,
}

impl Default for PendingAttestations {
    fn default() -> Self {
        Self::bounded(MAX_PER_NAMESPACE, MAX_TOTAL)
    }
}

impl PendingAttestations {
    fn bounded(of_namespace: usize, of_all: usize) -> Self {
        Self(Arc::new(Mutex::new(PendingState {
            all: BTreeMap::new(),
            numbers: HashMap::new(),
            by_namespace: HashMap::new(),
            by_object: HashMap::new(),
            stale: Vec::new(),
            next: 0,
            of_namespace,
            of_all,
        })))
    }

    /// Makes room for one more of a namespace: of that the oldest goes, or of the namespace that has most
    /// where there is no room at all. Answers with what the store has to forget.
    pub(crate) fn make_room(&self, namespace: &str) -> Vec<AttestationId> {
        let mut book = self.0.lock();
        while book
            .by_namespace
            .get(namespace)
            .is_some_and(|its| its.len() >= book.of_namespace)
        {
            book.drop_oldest_of(namespace);
        }
        while book.all.len() >= book.of_all {
            let most = book.by_namespace.iter().max_by_key(|(_, its)| its.len());
            let Some(most) = most.map(|(namespace, _)| Arc::clone(namespace)) else {
                break;
            };
            book.drop_oldest_of(&most);
        }
        book.take_stale()
    }

    /// One came, about this object.
    pub(crate) fn add(&self, id: AttestationId, namespace: &str, object: &str, at: Timestamp) {
        let mut book = self.0.lock();
        book.forget(id);
        let number = book.next;
        book.next += 1;
        let namespace = match book.by_namespace.get_key_value(namespace) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(namespace),
        };
        book.numbers.insert(id, number);
        book.by_namespace
            .entry(Arc::clone(&namespace))
            .or_default()
            .insert(number);
        book.by_object.entry(object.into()).or_default().insert(number);
        let one = PendingAttestation {
            id,
            namespace,
            object: object.into(),
            at,
        };
        book.all.insert(number, one);
    }

    /// What one is about was seen: those of the same object that came before it will not be any more.
    pub(crate) fn joined(&self, id: AttestationId) {
        let mut book = self.0.lock();
        let Some(number) = book.numbers.get(&id).copied() else {
            return;
        };
        let object = book.all.get(&number).map(|one| one.object.clone());
        let before: Vec<AttestationId> = object
            .and_then(|object| book.by_object.get(&object))
            .into_iter()
            .flat_map(|its| its.range(..number))
            .filter_map(|number| book.all.get(number).map(|one| one.id))
            .collect();
        book.forget(id);
        for overtaken in before {
            book.forget(overtaken);
            book.stale.push(overtaken);
        }
    }

    /// Some that have waited for too long at `now`, or will not come any more, for the store to forget.
    pub(crate) fn take_expired(&self, now: Timestamp) -> Vec<AttestationId> {
        let mut book = self.0.lock();
        while book.stale.len() < FORGET_BATCH {
            let oldest = book.all.first_key_value();
            let aged = oldest.filter(|(_, one)| now.duration_since(one.at) >= MAX_AGE);
            let Some(id) = aged.map(|(_, one)| one.id) else {
                break;
            };
            book.forget(id);
            book.stale.push(id);
        }
        book.take_stale()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().all.len()
    }
}

impl PendingState {
    fn forget(&mut self, id: AttestationId) {
        let Some(number) = self.numbers.remove(&id) else {
            return;
        };
        let Some(one) = self.all.remove(&number) else {
            return;
        };
        if let Some(its) = self.by_namespace.get_mut(&one.namespace) {
            its.remove(&number);
            if its.is_empty() {
                self.by_namespace.remove(&one.namespace);
            }
        }
        if let Some(its) = self.by_object.get_mut(&one.object) {
            its.remove(&number);
            if its.is_empty() {
                self.by_object.remove(&one.object);
            }
        }
    }

    fn drop_oldest_of(&mut self, namespace: &str) {
        let oldest = self.by_namespace.get(namespace).and_then(BTreeSet::first);
        if let Some(id) = oldest.and_then(|number| self.all.get(number)).map(|one| one.id) {
            self.forget(id);
            self.stale.push(id);
        }
    }

    fn take_stale(&mut self) -> Vec<AttestationId> {
        let rest = self.stale.split_off(self.stale.len().min(FORGET_BATCH));
        std::mem::replace(&mut self.stale, rest)
    }
}

#[cfg(test)]
mod tests {
    use strongroom_testing::clock::after as at;

    use super::*;

    fn id(number: u8) -> AttestationId {
        AttestationId([number; 32])
    }

    #[test]
    fn a_namespace_uses_up_its_own_share() {
        let waiting = PendingAttestations::bounded(3, 5);
        for number in 0..3 {
            assert!(waiting.make_room("loud").is_empty());
            waiting.add(id(number), "loud", &format!("o-{number}"), at(0));
        }
        assert_eq!(waiting.make_room("loud"), [id(0)]);
        waiting.add(id(3), "loud", "o-3", at(0));
        assert!(waiting.make_room("quiet").is_empty());
        waiting.add(id(4), "quiet", "q-4", at(0));
        // No room at all: who has most makes some.
        waiting.add(id(5), "third", "t-5", at(0));
        assert_eq!(waiting.make_room("quiet"), [id(1)]);
        waiting.add(id(6), "quiet", "q-6", at(0));
        assert_eq!(waiting.len(), 5);
    }

    #[test]
    fn what_was_overtaken_goes_with_what_was_seen() {
        let waiting = PendingAttestations::default();
        waiting.add(id(1), "shop", "a", at(0));
        waiting.add(id(2), "shop", "a", at(1));
        waiting.add(id(3), "shop", "b", at(1));
        waiting.add(id(4), "shop", "a", at(2));
        waiting.joined(id(2));
        assert_eq!(waiting.take_expired(at(3)), [id(1)]);
        assert_eq!(waiting.len(), 2, "what came later may yet be seen");
        // The same again takes the place of the first.
        waiting.add(id(3), "shop", "b", at(9));
        assert_eq!(waiting.len(), 2);
        waiting.joined(id(7));
    }

    #[test]
    fn what_never_comes_goes_by_its_age() {
        let waiting = PendingAttestations::default();
        for number in 0..200 {
            waiting.add(id(number), "shop", "a", at(i64::from(number)));
        }
        assert!(waiting.take_expired(at(599)).is_empty());
        assert_eq!(waiting.take_expired(at(600)), [id(0)]);
        assert_eq!(waiting.take_expired(at(2_000)).len(), 128);
        assert_eq!(waiting.take_expired(at(2_000)).len(), 71);
        assert_eq!(waiting.len(), 0);
        assert!(waiting.0.lock().by_namespace.is_empty() && waiting.0.lock().by_object.is_empty());
    }
}
