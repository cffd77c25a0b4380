//! Policies by the names that they are attached to. A lookup by name finds the policies of that name, and
//! matches no wildcard that cannot fit it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use super::compile::CompiledPolicy;
use super::pattern::Pattern;
use super::policy_set::StatementRef;
use super::source::PolicySource;

/// A policy in force.
#[derive(Debug)]
pub(super) struct ActivePolicy {
    pub(super) source: PolicySource,
    pub(super) policy: CompiledPolicy,
    /// UID of the ManagedSecret that declares it about its own secret; none: it counts for whatever it is
    /// attached to.
    pub(super) declared_by: Option<Box<str>>,
    /// Its statements by their names, each from the first time on that it decided something.
    names: Box<[OnceLock<StatementRef>]>,
}

impl ActivePolicy {
    pub(super) fn new(source: PolicySource, policy: CompiledPolicy, declared_by: Option<&str>) -> Self {
        Self {
            names: policy.statements.iter().map(|_| OnceLock::new()).collect(),
            source,
            policy,
            declared_by: declared_by.map(Into::into),
        }
    }

    /// The statement at this index, by its name. A policy is in force in one namespace, which is this one.
    pub(super) fn named(&self, namespace: &str, index: usize) -> StatementRef {
        let name = || {
            let sid = self.policy.sids.get(index).and_then(Option::as_deref);
            StatementRef::new(namespace, &self.source, index + 1, sid)
        };
        match self.names.get(index) {
            Some(known) => known.get_or_init(name).clone(),
            None => name(),
        }
    }

    /// Whether it counts for a secret that the store has as this object's. What an object declares of another
    /// one's secret does not.
    pub(super) fn counts(&self, owner: Option<&str>) -> bool {
        let declared_by = self.declared_by.as_deref();
        declared_by.is_none_or(|uid| owner == Some(uid))
    }
}

/// Policies and the names with wildcards that they are attached to, by what those names begin with.
type ByPrefix = HashMap<Arc<str>, Vec<(Pattern, Arc<ActivePolicy>)>>;

/// Policies of one kind in a namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct PolicyIndex {
    /// By name.
    exact: HashMap<Arc<str>, Vec<Arc<ActivePolicy>>>,
    /// By what the names begin with up to the first wildcard, by its length.
    wild: BTreeMap<usize, ByPrefix>,
}

impl PolicyIndex {
    pub(super) fn add(&mut self, policy: &Arc<ActivePolicy>) {
        for name in policy.policy.attachment.names() {
            match name.exact() {
                Some(name) => self
                    .exact
                    .entry(name.into())
                    .or_default()
                    .push(Arc::clone(policy)),
                None => self
                    .wild
                    .entry(name.prefix().len())
                    .or_default()
                    .entry(name.prefix().into())
                    .or_default()
                    .push((name.clone(), Arc::clone(policy))),
            }
        }
    }

    pub(super) fn remove(&mut self, policy: &Arc<ActivePolicy>) {
        for name in policy.policy.attachment.names() {
            if let Some(name) = name.exact() {
                if let Some(known) = self.exact.get_mut(name) {
                    known.retain(|known| !Arc::ptr_eq(known, policy));
                    if known.is_empty() {
                        self.exact.remove(name);
                    }
                }
                continue;
            }
            let prefix = name.prefix();
            let Some(of_length) = self.wild.get_mut(&prefix.len()) else {
                continue;
            };
            if let Some(known) = of_length.get_mut(prefix) {
                known.retain(|(_, known)| !Arc::ptr_eq(known, policy));
                if known.is_empty() {
                    of_length.remove(prefix);
                }
            }
            if of_length.is_empty() {
                self.wild.remove(&prefix.len());
            }
        }
    }

    /// The policies that are attached to this name, each once.
    pub(super) fn attached_to<'a>(&'a self, name: &str) -> Vec<&'a Arc<ActivePolicy>> {
        let exact = self.exact.get(name).into_iter().flatten();
        let mut found: Vec<&Arc<ActivePolicy>> = exact.collect();
        for (length, of_length) in self.wild.range(..=name.len()) {
            let known = name.get(..*length).and_then(|prefix| of_length.get(prefix));
            let matching = known
                .into_iter()
                .flatten()
                .filter(|(pattern, _)| pattern.matches(name));
            found.extend(matching.map(|(_, policy)| policy));
        }
        found.sort_unstable_by_key(|policy| Arc::as_ptr(policy).addr());
        found.dedup_by(|a, b| Arc::ptr_eq(a, b));
        found
    }
}
