//! Policies with principals of RAM: whom those stand for changes while the policy does not. Their statements
//! are kept, and are put in force again where the directory says something else.
//!
//! Where such a policy is in force, nothing is decided before it was resolved by a complete directory: a Deny
//! might be for whoever asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use strongroom_crds::v1alpha1::SecretPolicySpec;
use strongroom_rules::ram_directory::{
    RamDirectory, ResolvedPolicy, UnresolvedPrincipal, names_ram, ram_accounts,
};
use tokio::sync::Notify;

#[cfg(test)]
mod tests;

/// Principals that a status names of those that are not certain.
const MAX_NAMED_PRINCIPALS: usize = 8;

/// Namespace and name of a policy.
type Place = (String, String);

/// The policies in force that have principals of RAM, and the directory that says whom those stand for.
#[derive(Debug, Default)]
pub(crate) struct RamPolicies {
    state: Mutex<RamState>,
    /// How many there are: where there is none, no decision looks further.
    count: AtomicUsize,
    /// How many were not resolved by a complete directory yet.
    pending: AtomicUsize,
    /// The first has come.
    wanted: Notify,
    /// One may be for others than before.
    outdated: Notify,
}

#[derive(Debug, Default)]
struct RamState {
    directory: RamDirectory,
    namespaces_listed: bool,
    service_accounts_listed: bool,
    policies: BTreeMap<Place, RamPolicy>,
    /// The policies that name principals of an account.
    by_account: HashMap<String, BTreeSet<Place>>,
    outdated: BTreeSet<Place>,
    /// Those that were not resolved by a complete directory yet.
    pending: BTreeSet<Place>,
}

/// A policy in force.
#[derive(Debug)]
pub(super) struct RamPolicy {
    /// As it was written, in JSON, which takes less room than what it is read into.
    spec: Arc<[u8]>,
    accounts: BTreeSet<String>,
    /// What is in force of it, as far as that can differ.
    in_force: ResolutionDigest,
    unresolved: UnresolvedSummary,
}

impl RamPolicy {
    fn new(spec: &SecretPolicySpec, resolved: &ResolvedPolicy) -> Self {
        Self {
            // What was read from JSON can be written to it.
            spec: serde_json::to_vec(spec).unwrap_or_default().into(),
            accounts: ram_accounts(spec),
            in_force: ResolutionDigest::new(resolved),
            unresolved: UnresolvedSummary::new(&resolved.unresolved),
        }
    }
}

/// A policy in force, resolved anew.
#[derive(Debug)]
pub(super) struct NewResolution {
    pub(super) policy: ResolvedPolicy,
    digest: ResolutionDigest,
    /// As it was written, which stands for the policy.
    spec: Arc<[u8]>,
}

/// Stands for whom all principals of a policy were taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ResolutionDigest([u8; 32]);

impl ResolutionDigest {
    fn new(resolved: &ResolvedPolicy) -> Self {
        let text = serde_json::to_vec(&resolved.spec.statements).unwrap_or_default();
        Self(Sha256::digest(&text).into())
    }
}

/// The principals of a policy that are not certain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnresolvedSummary {
    /// Some of them, in order.
    pub(crate) first: Vec<UnresolvedPrincipal>,
    /// How many there are.
    pub(crate) count: usize,
    /// Whether one of them can mean several.
    pub(crate) is_ambiguous: bool,
}

impl UnresolvedSummary {
    fn new(unresolved: &[UnresolvedPrincipal]) -> Self {
        Self {
            first: unresolved.iter().take(MAX_NAMED_PRINCIPALS).cloned().collect(),
            count: unresolved.len(),
            is_ambiguous: unresolved.iter().any(|principal| principal.reason.is_ambiguous()),
        }
    }
}

/// What there is to say of the principals of RAM of a policy in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PrincipalResolution {
    /// The directory is not complete yet.
    Pending,
    /// These are not certain.
    Complete(UnresolvedSummary),
}

impl RamState {
    fn forget(&mut self, place: &Place) {
        let Some(policy) = self.policies.remove(place) else {
            return;
        };
        self.outdated.remove(place);
        self.pending.remove(place);
        for account in &policy.accounts {
            if let Some(places) = self.by_account.get_mut(account) {
                places.remove(place);
                if places.is_empty() {
                    self.by_account.remove(account);
                }
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.namespaces_listed && self.service_accounts_listed
    }
}

impl RamPolicies {
    /// The policy as it is to be in force, and what is kept of it; none where it names nobody of RAM.
    pub(super) fn resolve(&self, spec: &SecretPolicySpec) -> Option<(ResolvedPolicy, RamPolicy)> {
        if !names_ram(spec) {
            return None;
        }
        let resolved = self.state.lock().directory.resolve_policy(spec)?;
        let policy = RamPolicy::new(spec, &resolved);
        Some((resolved, policy))
    }

    /// A policy comes into force as it was resolved, or with nothing to resolve.
    pub(super) fn put(&self, namespace: &str, name: &str, policy: Option<RamPolicy>) {
        if policy.is_none() && self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let place = (namespace.to_owned(), name.to_owned());
        let mut state = self.state.lock();
        state.forget(&place);
        if let Some(policy) = policy {
            for account in &policy.accounts {
                let places = state.by_account.entry(account.clone()).or_default();
                places.insert(place.clone());
            }
            state.policies.insert(place.clone(), policy);
            if !state.is_complete() {
                state.pending.insert(place.clone());
            }
            // The directory may have changed since it was resolved.
            state.outdated.insert(place);
            self.wanted.notify_one();
            self.outdated.notify_one();
        }
        self.counted(&state);
    }

    fn counted(&self, state: &RamState) {
        self.count.store(state.policies.len(), Ordering::Release);
        self.pending.store(state.pending.len(), Ordering::Release);
    }

    /// Nothing of a policy is in force any more.
    pub(super) fn forget(&self, namespace: &str, name: &str) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut state = self.state.lock();
        state.forget(&(namespace.to_owned(), name.to_owned()));
        self.counted(&state);
    }

    /// Whether a namespace has a policy of which it is not known yet whom it is for.
    pub(super) fn is_pending(&self, namespace: &str) -> bool {
        if self.pending.load(Ordering::Acquire) == 0 {
            return false;
        }
        let first = (namespace.to_owned(), String::new());
        let state = self.state.lock();
        let mut places = state.pending.range((Bound::Included(first), Bound::Unbounded));
        places.next().is_some_and(|(home, _)| home == namespace)
    }

    /// What there is to say of the principals of a policy; none where it names nobody of RAM.
    pub(super) fn resolution(&self, namespace: &str, name: &str) -> Option<PrincipalResolution> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let state = self.state.lock();
        let policy = state.policies.get(&(namespace.to_owned(), name.to_owned()))?;
        Some(if state.is_complete() {
            PrincipalResolution::Complete(policy.unresolved.clone())
        } else {
            PrincipalResolution::Pending
        })
    }

    /// A policy in force as the directory has its principals now; none where they stand for the same as
    /// before.
    pub(super) fn resolve_again(&self, namespace: &str, name: &str) -> Option<NewResolution> {
        let place = (namespace.to_owned(), name.to_owned());
        let text = {
            let mut state = self.state.lock();
            state.outdated.remove(&place);
            Arc::clone(&state.policies.get(&place)?.spec)
        };
        let spec: SecretPolicySpec = serde_json::from_slice(&text).ok()?;
        let resolved = self.state.lock().directory.resolve_policy(&spec)?;
        let digest = ResolutionDigest::new(&resolved);
        let mut state = self.state.lock();
        let policy = state.policies.get_mut(&place);
        let policy = policy.filter(|policy| Arc::ptr_eq(&policy.spec, &text))?;
        // Who is not certain may differ where those who are meant do not.
        policy.unresolved = UnresolvedSummary::new(&resolved.unresolved);
        (policy.in_force != digest).then_some(NewResolution {
            policy: resolved,
            digest,
            spec: text,
        })
    }

    /// The policy is about to be in force like this. Answers whether it is still the same policy.
    pub(super) fn replace(&self, namespace: &str, name: &str, new: &NewResolution) -> bool {
        let mut state = self.state.lock();
        let place = (namespace.to_owned(), name.to_owned());
        let policy = state.policies.get_mut(&place);
        let Some(policy) = policy.filter(|policy| Arc::ptr_eq(&policy.spec, &new.spec)) else {
            return false;
        };
        policy.in_force = new.digest;
        true
    }

    /// Waits until there is a policy with principals of RAM.
    pub(crate) async fn first_policy(&self) {
        self.wanted.notified().await;
    }

    /// Waits until some policy may be for others than before.
    pub(crate) async fn outdated(&self) {
        self.outdated.notified().await;
    }

    /// A policy that may be for others than before, of the namespace after this one: each has its turn.
    pub(crate) fn next_outdated(&self, after: &str) -> Option<(String, String)> {
        let state = self.state.lock();
        if !state.is_complete() {
            return None;
        }
        // No name of a namespace has a character below `!`, so this is behind all policies of it.
        let behind = (format!("{after}\u{1}"), String::new());
        let later = state
            .outdated
            .range((Bound::Included(behind), Bound::Unbounded))
            .next();
        later.or_else(|| state.outdated.first()).cloned()
    }

    /// The directory changes; the answer of `change` is the accounts that may stand for others than before.
    pub(crate) fn change(&self, change: impl FnOnce(&mut RamDirectory) -> BTreeSet<String>) {
        let mut state = self.state.lock();
        let accounts = change(&mut state.directory);
        let concerned = accounts
            .iter()
            .filter_map(|account| state.by_account.get(account));
        let places: Vec<Place> = concerned.flatten().cloned().collect();
        self.mark(&mut state, places);
    }

    /// All Namespaces are known.
    pub(crate) fn namespaces_listed(&self) {
        self.listed(|state| &mut state.namespaces_listed);
    }

    /// All ServiceAccounts are known.
    pub(crate) fn service_accounts_listed(&self) {
        self.listed(|state| &mut state.service_accounts_listed);
    }

    fn listed(&self, list: impl FnOnce(&mut RamState) -> &mut bool) {
        let mut state = self.state.lock();
        let before = state.is_complete();
        *list(&mut state) = true;
        if state.is_complete() && !before {
            let places: Vec<Place> = state.policies.keys().cloned().collect();
            self.mark(&mut state, places);
        }
    }

    fn mark(&self, state: &mut RamState, places: Vec<Place>) {
        if !places.is_empty() {
            state.outdated.extend(places);
            self.outdated.notify_one();
        }
    }

    /// What is in force of a policy is as a complete directory says.
    pub(super) fn settled(&self, namespace: &str, name: &str) {
        let mut state = self.state.lock();
        if state.is_complete() {
            state.pending.remove(&(namespace.to_owned(), name.to_owned()));
            self.counted(&state);
        }
    }
}
