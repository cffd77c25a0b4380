//! What the store keeps of the policies in force, as far as this process has to know it: so that what is kept
//! already is not written again, and what was kept comes into force where the newest generation cannot.
//!
//! `readers` are not kept: they only allow, so what is lost of them weakens nothing, and the schema lets none
//! through that does not compile.

use std::collections::{HashMap, HashSet};

use strongroom_crds::v1alpha1::SecretPolicySpec;
use strongroom_store::vault::{EnforcedPolicies, EnforcedPolicy};

/// The spec that is kept of a policy, as JSON; none where it is not one of today.
pub(super) fn parsed(policy: &EnforcedPolicy) -> Option<SecretPolicySpec> {
    serde_json::from_slice(&policy.statements).ok()
}

/// What is known to be kept, and what has to be.
#[derive(Debug, Default)]
pub(super) struct RetentionState {
    /// As it was found at the start, by UID; until every policy was seen once.
    found: HashMap<String, EnforcedPolicy>,
    unreadable: bool,
    /// The generation that is kept, by UID.
    generations: HashMap<String, i64>,
    /// What came into force and is not kept yet, by UID.
    wanted: HashMap<String, EnforcedPolicy>,
    /// UIDs of policies that are gone and kept yet.
    gone: HashSet<String>,
}

/// What is found of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RetainedLookup {
    Nothing,
    Unreadable,
    Policy(EnforcedPolicy),
}

impl RetentionState {
    /// The store was read.
    pub(super) fn found(all: EnforcedPolicies) -> Self {
        Self {
            generations: all
                .policies
                .iter()
                .map(|policy| (policy.uid.to_string(), policy.generation))
                .collect(),
            found: all
                .policies
                .into_iter()
                .map(|policy| (policy.uid.to_string(), policy))
                .collect(),
            unreadable: all.unreadable > 0,
            ..Self::default()
        }
    }

    /// What was found of a policy at the start. After every policy was seen once, what is in force is known
    /// here.
    pub(super) fn lookup(&self, uid: &str) -> RetainedLookup {
        match self.found.get(uid) {
            Some(policy) => RetainedLookup::Policy(policy.clone()),
            // One of those that cannot be read may be this one.
            None if self.unreadable => RetainedLookup::Unreadable,
            None => RetainedLookup::Nothing,
        }
    }

    /// A generation came into force.
    pub(super) fn in_force(
        &mut self,
        policy: impl FnOnce() -> Option<EnforcedPolicy>,
        uid: &str,
        generation: i64,
    ) {
        if self.generations.get(uid) == Some(&generation) && !self.found.contains_key(uid) {
            self.wanted.remove(uid);
            return;
        }
        // No API server gives an object a name or a UID that the store cannot keep.
        let Some(policy) = policy() else { return };
        let same = |kept: &EnforcedPolicy| {
            // Compared as it is meant: another version may write the same otherwise.
            kept.generation == policy.generation && parsed(kept) == parsed(&policy)
        };
        if self.found.get(uid).is_some_and(same) {
            self.wanted.remove(uid);
        } else {
            self.wanted.insert(policy.uid.to_string(), policy);
        }
    }

    /// A policy is gone. Answers whether something of it is kept.
    pub(super) fn gone(&mut self, uid: &str) -> bool {
        self.wanted.remove(uid);
        let kept = self.generations.contains_key(uid);
        if kept {
            self.gone.insert(uid.to_owned());
        }
        kept
    }

    /// Every policy was seen: these are there. Answers whether something is kept of others.
    pub(super) fn listed(&mut self, there: &HashSet<String>) -> bool {
        self.found = HashMap::new();
        self.unreadable = false;
        let others: Vec<String> = self
            .generations
            .keys()
            .filter(|uid| !there.contains(*uid))
            .cloned()
            .collect();
        self.gone.extend(others);
        !self.gone.is_empty()
    }

    /// What has to be kept of a policy.
    pub(super) fn to_keep(&self, uid: &str) -> Option<EnforcedPolicy> {
        self.wanted.get(uid).cloned()
    }

    /// The store has it by now.
    pub(super) fn mark_kept(&mut self, policy: &EnforcedPolicy) {
        let uid = policy.uid.as_str();
        self.generations.insert(uid.to_owned(), policy.generation);
        self.found.remove(uid);
        if self.wanted.get(uid) == Some(policy) {
            self.wanted.remove(uid);
        }
    }

    /// UIDs of policies that are gone and kept yet.
    pub(super) fn to_forget(&self) -> Vec<String> {
        self.gone.iter().cloned().collect()
    }

    /// The store has it no more.
    pub(super) fn forgotten(&mut self, uid: &str) {
        self.gone.remove(uid);
        self.generations.remove(uid);
        self.found.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(uid: &str, generation: i64) -> EnforcedPolicy {
        EnforcedPolicy {
            uid: uid.parse().unwrap(),
            namespace: "shop".parse().unwrap(),
            name: format!("name-of-{uid}"),
            generation,
            statements: format!(r#"{{"secrets":["s{generation}"],"statements":[]}}"#).into_bytes(),
        }
    }

    fn found(policies: &[EnforcedPolicy]) -> RetentionState {
        RetentionState::found(EnforcedPolicies {
            policies: policies.to_vec(),
            unreadable: 0,
        })
    }

    fn in_force(keeping: &mut RetentionState, policy: &EnforcedPolicy) {
        keeping.in_force(|| Some(policy.clone()), policy.uid.as_str(), policy.generation);
    }

    #[test]
    fn what_is_kept_as_it_is_in_force_is_not_written_again() {
        let mut keeping = found(&[policy("a", 1), policy("b", 1), policy("c", 1)]);
        let spaced = EnforcedPolicy {
            statements: br#"{ "statements": [], "secrets": ["s1"] }"#.to_vec(),
            ..policy("a", 1)
        };
        in_force(&mut keeping, &spaced);
        assert_eq!(keeping.to_keep("a"), None);
        in_force(&mut keeping, &policy("b", 2));
        assert_eq!(keeping.to_keep("b"), Some(policy("b", 2)));
        // The same number, and not the same: the objects came out of a backup.
        let other = EnforcedPolicy {
            generation: 1,
            ..policy("c", 2)
        };
        in_force(&mut keeping, &other);
        assert_eq!(keeping.to_keep("c"), Some(other.clone()));
        keeping.mark_kept(&other);
        assert_eq!(keeping.to_keep("c"), None);
        in_force(&mut keeping, &other);
        assert_eq!(keeping.to_keep("c"), None);
    }

    #[test]
    fn what_came_into_force_meanwhile_is_wanted_still() {
        let mut keeping = found(&[]);
        in_force(&mut keeping, &policy("a", 1));
        let first = keeping.to_keep("a").unwrap();
        in_force(&mut keeping, &policy("a", 2));
        keeping.mark_kept(&first);
        assert_eq!(keeping.to_keep("a"), Some(policy("a", 2)));
        // Back to what is kept, as after a restore of the objects.
        in_force(&mut keeping, &policy("a", 1));
        assert_eq!(keeping.to_keep("a"), None);
    }

    #[test]
    fn what_is_gone_is_forgotten_once() {
        let mut keeping = found(&[policy("a", 1), policy("b", 1), policy("c", 1)]);
        assert!(keeping.listed(&HashSet::from(["a".to_owned(), "b".to_owned()])));
        assert_eq!(keeping.to_forget(), ["c"]);
        keeping.forgotten("c");
        assert!(keeping.gone("a") && !keeping.gone("never"));
        assert_eq!(keeping.to_forget(), ["a"]);
        keeping.forgotten("a");
        assert!(keeping.to_forget().is_empty());
        assert!(!keeping.listed(&HashSet::from(["b".to_owned()])));
    }

    #[test]
    fn until_all_were_seen_any_may_be_the_one_that_cannot_be_read() {
        let mut keeping = RetentionState::found(EnforcedPolicies {
            policies: vec![policy("a", 1)],
            unreadable: 1,
        });
        assert_eq!(keeping.lookup("a"), RetainedLookup::Policy(policy("a", 1)));
        assert_eq!(keeping.lookup("b"), RetainedLookup::Unreadable);
        keeping.listed(&HashSet::from(["a".to_owned()]));
        assert_eq!(keeping.lookup("b"), RetainedLookup::Nothing);
    }
}
