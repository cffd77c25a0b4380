//! The changes of SecretPolicies that have not taken effect yet. Each namespace has a line, and the
//! namespaces take turns. Of an object only the newest change waits. The texts that wait have a bound in
//! bytes: where there is no room for one, the identity of its object waits, and the object is read again when
//! its turn comes. Must not put anything in force.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use kube::ResourceExt;
use strongroom_crds::v1alpha1::SecretPolicy;

use crate::controllers::cached_object::{CachedObject, Extent, TooLarge};

/// Changes that are taken in at once, each of another namespace.
pub(super) const MAX_PARALLEL_CHANGES: usize = 2;
/// Bytes of texts of one namespace that wait.
const MAX_NAMESPACE_BYTES: usize = 2 << 20;
/// Bytes of texts of all namespaces that wait.
const MAX_TOTAL_BYTES: usize = 8 << 20;

/// The newest change of an object.
#[derive(Debug)]
pub(super) struct PolicyChange {
    /// The object; of one that was deleted, or that there was no room for, its identity.
    pub(super) policy: CachedObject<SecretPolicy>,
    /// Whether it was deleted.
    pub(super) deleted: bool,
}

impl PolicyChange {
    /// Bytes that count towards the bounds.
    fn bytes(&self) -> usize {
        self.policy.weight()
    }

    /// Whether the object has to be read again.
    pub(super) fn lacks_text(&self) -> bool {
        !self.deleted && matches!(self.policy.extent(), Extent::Nothing(_))
    }
}

/// The changes of one namespace that wait.
#[derive(Debug, Default)]
struct NamespaceQueue {
    /// The changes, in the order in which they take effect.
    changes: BTreeMap<i64, PolicyChange>,
    /// The number of each object's change, by name.
    numbers: HashMap<String, i64>,
    bytes: usize,
}

impl NamespaceQueue {
    /// A number behind all others.
    fn last(&self) -> i64 {
        self.changes
            .last_key_value()
            .map_or(0, |(last, _)| last.saturating_add(1))
    }

    /// A number before all others.
    fn first(&self) -> i64 {
        self.changes
            .first_key_value()
            .map_or(0, |(first, _)| first.saturating_sub(1))
    }

    fn insert(&mut self, number: i64, name: String, change: PolicyChange) {
        self.bytes = self.bytes.saturating_add(change.bytes());
        self.numbers.insert(name, number);
        self.changes.insert(number, change);
    }

    fn remove(&mut self, name: &str) -> Option<(i64, PolicyChange)> {
        let number = self.numbers.remove(name)?;
        let change = self.changes.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(change.bytes());
        Some((number, change))
    }

    fn take_first(&mut self) -> Option<PolicyChange> {
        let (_, change) = self.changes.pop_first()?;
        self.numbers.remove(&change.policy.name_any());
        self.bytes = self.bytes.saturating_sub(change.bytes());
        Some(change)
    }
}

/// All changes that wait, and the namespaces of which one is being taken in.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    /// The lines of the namespaces that stand in `turns`, have a change under way or rest.
    lines: HashMap<String, NamespaceQueue>,
    /// The namespaces that may have a turn, each once: the next is first.
    turns: VecDeque<String>,
    /// The namespaces of which a change is under way: at most one of each.
    under_way: HashSet<String>,
    /// Bytes of all texts that wait.
    bytes: usize,
}

impl PendingChanges {
    /// An object changed. The answer is what waited of it until now, in whose place this change waits. A
    /// deletion waits behind all others of its namespace, so that a policy goes only after the one that was
    /// made to replace it has come.
    pub(super) fn arrives(
        &mut self,
        policy: CachedObject<SecretPolicy>,
        deleted: bool,
    ) -> Option<PolicyChange> {
        let (namespace, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
        let turns = &mut self.turns;
        let line = self.lines.entry(namespace.clone()).or_insert_with(|| {
            turns.push_back(namespace);
            NamespaceQueue::default()
        });
        let before = line.remove(&name);
        if let Some((_, before)) = &before {
            self.bytes = self.bytes.saturating_sub(before.bytes());
        }
        let bytes = policy.weight();
        let fits = line.bytes.saturating_add(bytes) <= MAX_NAMESPACE_BYTES
            && self.bytes.saturating_add(bytes) <= MAX_TOTAL_BYTES;
        let policy = if fits && !deleted {
            policy
        } else {
            policy.identity(TooLarge::Namespace)
        };
        let change = PolicyChange { policy, deleted };
        self.bytes = self.bytes.saturating_add(change.bytes());
        let number = before
            .as_ref()
            .map(|(number, _)| *number)
            .filter(|_| !deleted)
            .unwrap_or_else(|| line.last());
        line.insert(number, name, change);
        before.map(|(_, before)| before)
    }

    /// The next change, which is under way from now on.
    pub(super) fn next(&mut self) -> Option<PolicyChange> {
        while self.under_way.len() < MAX_PARALLEL_CHANGES {
            let namespace = self.turns.pop_front()?;
            match self
                .lines
                .get_mut(&namespace)
                .and_then(NamespaceQueue::take_first)
            {
                Some(change) => {
                    self.bytes = self.bytes.saturating_sub(change.bytes());
                    self.under_way.insert(namespace);
                    return Some(change);
                }
                // What waited there was forgotten.
                None => drop(self.lines.remove(&namespace)),
            }
        }
        None
    }

    /// The change of this namespace that was under way was taken in.
    pub(super) fn done(&mut self, namespace: &str) {
        if self.under_way.remove(namespace) {
            self.has_turns(namespace);
        }
    }

    /// The change that was under way could not be taken in, and its object has to be read again. The
    /// namespace has no turn before [`PendingChanges::rested`].
    pub(super) fn rests(&mut self, identity: CachedObject<SecretPolicy>) {
        let (namespace, name) = (identity.namespace().unwrap_or_default(), identity.name_any());
        self.under_way.remove(&namespace);
        let line = self.lines.entry(namespace).or_default();
        if !line.numbers.contains_key(&name) {
            let change = PolicyChange {
                policy: identity,
                deleted: false,
            };
            self.bytes = self.bytes.saturating_add(change.bytes());
            line.insert(line.first(), name, change);
        }
    }

    /// A namespace that rested has turns again.
    pub(super) fn rested(&mut self, namespace: &str) {
        self.has_turns(namespace);
    }

    fn has_turns(&mut self, namespace: &str) {
        match self.lines.get(namespace) {
            Some(line) if line.changes.is_empty() => drop(self.lines.remove(namespace)),
            Some(_) => self.turns.push_back(namespace.to_owned()),
            None => {}
        }
    }

    /// Whether a change of this namespace is under way.
    pub(super) fn is_under_way(&self, namespace: &str) -> bool {
        self.under_way.contains(namespace)
    }

    /// Whether any change is under way.
    pub(super) fn is_any_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// What waits of an object does not wait any more.
    pub(super) fn forget(&mut self, namespace: &str, name: &str) -> Option<PolicyChange> {
        let (_, change) = self.lines.get_mut(namespace)?.remove(name)?;
        self.bytes = self.bytes.saturating_sub(change.bytes());
        Some(change)
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) -> Vec<PolicyChange> {
        self.bytes = 0;
        // The lines stay for the turns of their namespaces.
        self.lines
            .values_mut()
            .flat_map(|line| std::mem::take(line).changes.into_values())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use kube::Resource;
    use serde_json::json;

    use super::*;

    /// A generation of a policy whose text has about so many bytes.
    fn policy(namespace: &str, name: &str, generation: i64, bytes: usize) -> CachedObject<SecretPolicy> {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": namespace, "uid": name, "generation": generation,
                "annotations": {"text": "x".repeat(bytes)}},
            "spec": {"secrets": ["db"], "statements": []},
        }))
        .unwrap()
    }

    fn applied(pending: &mut PendingChanges, namespace: &str, name: &str, generation: i64) -> Option<String> {
        pending
            .arrives(policy(namespace, name, generation, 0), false)
            .map(|change| said(&change))
    }

    fn deleted(pending: &mut PendingChanges, namespace: &str, name: &str) -> Option<String> {
        pending
            .arrives(policy(namespace, name, 1, 0), true)
            .map(|change| said(&change))
    }

    /// Namespace, name and generation, and what there is to do.
    fn said(change: &PolicyChange) -> String {
        let policy = &change.policy;
        let generation = policy.meta().generation.unwrap();
        let end = match (change.deleted, change.lacks_text()) {
            (true, _) => " deleted",
            (false, true) => " to be read",
            (false, false) => "",
        };
        format!(
            "{}/{}:{generation}{end}",
            policy.namespace().unwrap(),
            policy.name_any()
        )
    }

    /// All that may begin now.
    fn begun(pending: &mut PendingChanges) -> Vec<String> {
        std::iter::from_fn(|| pending.next().map(|change| said(&change))).collect()
    }

    /// What is begun, one after the other, once what is under way is done.
    fn rest_of(pending: &mut PendingChanges, under_way: &[&str]) -> Vec<String> {
        let mut under_way: VecDeque<String> = under_way.iter().map(|home| (*home).to_owned()).collect();
        let mut all = Vec::new();
        while let Some(namespace) = under_way.pop_front() {
            pending.done(&namespace);
            for said in begun(pending) {
                under_way.push_back(said.split_once('/').unwrap().0.to_owned());
                all.push(said);
            }
        }
        assert!(pending.lines.is_empty() && pending.turns.is_empty() && pending.under_way.is_empty());
        assert_eq!(pending.bytes, 0);
        all
    }

    #[test]
    fn namespaces_take_turns_with_one_change_each() {
        let mut pending = PendingChanges::default();
        for name in ["1", "2", "3"] {
            applied(&mut pending, "a", name, 1);
        }
        assert_eq!(begun(&mut pending), ["a/1:1"], "one of a namespace at once");
        for namespace in ["b", "c"] {
            applied(&mut pending, namespace, "1", 1);
        }
        assert_eq!(begun(&mut pending), ["b/1:1"], "two at once");
        pending.done("a");
        assert_eq!(
            begun(&mut pending),
            ["c/1:1"],
            "the others come before `a` comes again"
        );
        assert_eq!(rest_of(&mut pending, &["b", "c"]), ["a/2:1", "a/3:1"]);
    }

    #[test]
    fn the_newest_change_of_an_object_waits_in_the_place_of_the_one_before() {
        let mut pending = PendingChanges::default();
        applied(&mut pending, "a", "1", 1);
        assert_eq!(begun(&mut pending), ["a/1:1"]);
        // Of what is under way a newer one waits.
        assert_eq!(applied(&mut pending, "a", "1", 2), None);
        applied(&mut pending, "a", "2", 1);
        assert_eq!(applied(&mut pending, "a", "1", 3).as_deref(), Some("a/1:2"));
        assert_eq!(rest_of(&mut pending, &["a"]), ["a/1:3", "a/2:1"]);
    }

    #[test]
    fn a_deletion_replaces_what_waits_of_its_object_and_comes_after_all_others() {
        let mut pending = PendingChanges::default();
        applied(&mut pending, "a", "0", 1);
        assert_eq!(begun(&mut pending), ["a/0:1"]);
        applied(&mut pending, "a", "old", 1);
        applied(&mut pending, "a", "new", 1);
        assert_eq!(deleted(&mut pending, "a", "old").as_deref(), Some("a/old:1"));
        applied(&mut pending, "a", "gone", 1);
        deleted(&mut pending, "a", "gone");
        // Made again, the object has the place of its deletion.
        assert_eq!(
            applied(&mut pending, "a", "gone", 7).as_deref(),
            Some("a/gone:1 deleted")
        );
        assert_eq!(
            rest_of(&mut pending, &["a"]),
            ["a/new:1", "a/old:1 deleted", "a/gone:7"]
        );
    }

    #[test]
    fn texts_that_wait_have_a_bound_and_beyond_it_the_identity_waits() {
        const LARGE: usize = 900 << 10;
        let mut pending = PendingChanges::default();
        let large = |pending: &mut PendingChanges, namespace: &str, name: &str| {
            pending.arrives(policy(namespace, name, 1, LARGE), false);
        };
        for name in ["1", "2", "3"] {
            large(&mut pending, "a", name);
        }
        // Small ones have room yet, and a newer one has that of the one before.
        applied(&mut pending, "a", "4", 1);
        pending.arrives(policy("a", "2", 2, LARGE), false);
        assert_eq!(begun(&mut pending), ["a/1:1"]);
        // Each namespace has room for two large ones, and all together have it for nine.
        for namespace in ["b", "c", "d", "e", "f"] {
            large(&mut pending, namespace, "1");
            large(&mut pending, namespace, "2");
        }
        let to_be_read = |pending: &PendingChanges| {
            let changes = pending.lines.values().flat_map(|line| line.changes.values());
            let mut all: Vec<String> = changes.filter(|change| change.lacks_text()).map(said).collect();
            all.sort();
            all
        };
        assert!(pending.bytes <= MAX_TOTAL_BYTES);
        assert_eq!(
            to_be_read(&pending),
            ["a/3:1 to be read", "f/1:1 to be read", "f/2:1 to be read"]
        );
        // What is taken leaves its room to others.
        assert_eq!(begun(&mut pending), ["b/1:1"]);
        large(&mut pending, "f", "2");
        assert_eq!(to_be_read(&pending), ["a/3:1 to be read", "f/1:1 to be read"]);
        assert_eq!(rest_of(&mut pending, &["a", "b"]).len(), 12);
    }

    #[test]
    fn what_could_not_be_read_is_first_again_once_its_namespace_has_rested() {
        let mut pending = PendingChanges::default();
        for name in ["1", "2"] {
            applied(&mut pending, "a", name, 1);
        }
        let taken = pending.next().unwrap();
        pending.rests(taken.policy.identity(TooLarge::Namespace));
        assert!(begun(&mut pending).is_empty() && !pending.is_any_under_way());
        applied(&mut pending, "b", "1", 1);
        assert_eq!(begun(&mut pending), ["b/1:1"], "nobody else waits for it");
        pending.rested("a");
        assert_eq!(begun(&mut pending), ["a/1:1 to be read"]);
        // Where a newer change waits, that one is read instead.
        applied(&mut pending, "a", "1", 2);
        pending.rests(policy("a", "1", 1, 0).identity(TooLarge::Namespace));
        pending.rested("a");
        assert_eq!(rest_of(&mut pending, &["b"]), ["a/2:1", "a/1:2"]);
    }

    #[test]
    fn what_is_forgotten_has_no_turn() {
        let mut pending = PendingChanges::default();
        for (namespace, name) in [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("c", "2")] {
            applied(&mut pending, namespace, name, 1);
        }
        assert_eq!(begun(&mut pending), ["a/1:1", "b/1:1"]);
        let forgotten = pending.forget("a", "2").map(|change| said(&change));
        assert_eq!(forgotten.as_deref(), Some("a/2:1"));
        assert!(pending.forget("a", "2").is_none() && pending.forget("x", "1").is_none());
        assert_eq!(pending.clear().len(), 2);
        // A namespace whose changes were forgotten has one turn for those that come after.
        applied(&mut pending, "c", "3", 1);
        assert_eq!(rest_of(&mut pending, &["a", "b"]), ["c/3:1"]);
    }
}
