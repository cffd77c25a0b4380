//! The statements in force, shared by the watches that bring them and the requests that ask them.
//!
//! A statement takes effect in the turn of its namespace. Until both lists are complete nothing is decided: a
//! Deny might still be on its way. What is in force of a SecretPolicy is kept in the store (`retained`), so
//! that it survives a restart when a newer generation is broken.
//!
//! Policies compile outside of every lock, and each namespace has a place of its own (`by_namespace`):
//! nobody's policies keep another namespace waiting. Those with principals of RAM are resolved before, and
//! again when these stand for others (`ram`).

mod by_namespace;
mod changes;
mod ram;
mod retained;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use strongroom_crds::v1alpha1::SecretPolicySpec;
use strongroom_rules::policy::{
    BOUNDS, BOUNDS_WITH_DENIALS, CompileError, Decision, EvaluationError, Fallback, KnownGenerations,
    NamespacePolicies, PolicyLimitExceeded, PolicySource, Request, SharedStatements, StoredGeneration,
    UnknownReason, compile, decide_by, deny_everything, fallback,
};
use strongroom_store::vault::{EnforcedPolicies, EnforcedPolicy};
use tokio::sync::{Notify, watch};

use self::by_namespace::PoliciesByNamespace;
use self::changes::PolicyChanges;
pub(crate) use self::ram::{PrincipalResolution, RamPolicies};
use self::retained::{RetainedLookup, RetentionState, parsed};

/// The statements in force; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    places: PoliciesByNamespace,
    shared: SharedStatements,
    ram: RamPolicies,
    outcomes: Mutex<HashMap<(String, String), PolicyOutcome>>,
    keeping: Mutex<RetentionState>,
    /// Something of a policy that is gone is kept.
    stale: Notify,
    changes: PolicyChanges,
    policies_listed: AtomicBool,
    readers_listed: AtomicBool,
    /// How often it was decided: that a refusal costs the same whatever there is, is shown by counting.
    #[cfg(test)]
    decisions: std::sync::atomic::AtomicU64,
}

/// What became of the newest generation of a SecretPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyOutcome {
    /// Which object, and which generation of it.
    pub(crate) seen: PolicyGeneration,
    /// Set where it could not come into force.
    pub(crate) flaw: Option<PolicyFailure>,
    /// It is in force as it was before there were bounds; over which one it is.
    pub(crate) over: Option<PolicyLimitExceeded>,
}

impl PolicyOutcome {
    /// The generation whose statements are in force; none where nothing is.
    pub(crate) fn in_force(&self) -> Option<i64> {
        match &self.flaw {
            None => Some(self.seen.generation),
            Some(flaw) => flaw.instead.in_force(),
        }
    }
}

/// Why a generation could not come into force, and what is in force instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyFailure {
    pub(crate) why: PolicyFailureReason,
    /// What is in force.
    pub(crate) instead: Fallback,
}

/// Why a generation cannot come into force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PolicyFailureReason {
    /// It does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It does not fit its type.
    #[error("{0}")]
    Misfit(String),
    /// The namespace would have more in force than it may.
    #[error(transparent)]
    TooLarge(#[from] PolicyLimitExceeded),
}

/// One generation of one object: a policy that is made again under its name begins at 1 anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyGeneration {
    /// `metadata.uid`.
    pub(crate) uid: String,
    /// `metadata.generation`.
    pub(crate) generation: i64,
}

/// A generation of a SecretPolicy, as a watch brings it.
#[derive(Clone, Debug)]
pub(crate) struct ObservedPolicy {
    /// Which object, and which generation of it.
    pub(crate) seen: PolicyGeneration,
    /// The generation that was in force when a process last wrote the status.
    pub(crate) told: Option<i64>,
    /// Its spec, or why there is none: then with what it is attached to, as far as that can be read.
    pub(crate) spec: Result<SecretPolicySpec, (PolicyFailureReason, SecretPolicySpec)>,
}

#[cfg(test)]
impl ObservedPolicy {
    /// The first generation of the object with this UID.
    pub(crate) fn first(uid: &str, spec: SecretPolicySpec) -> Self {
        Self {
            seen: PolicyGeneration {
                uid: uid.to_owned(),
                generation: 1,
            },
            told: None,
            spec: Ok(spec),
        }
    }
}

/// The statements cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecisionError {
    /// The lists are not complete.
    #[error("the policies are not loaded yet")]
    NotLoaded,
    /// The request cannot be put to them.
    #[error(transparent)]
    EvaluationError(#[from] EvaluationError),
}

impl Policies {
    fn remove(&self, namespace: &str, source: &PolicySource) {
        if self.has(namespace, source) {
            self.inner.places.change(namespace, |policies| {
                self.forget_principals(namespace, source);
                policies.remove(source);
            });
            self.notify_changed(namespace);
        }
    }

    /// What is in force of a source from now on has no principals of RAM that may stand for others.
    fn forget_principals(&self, namespace: &str, source: &PolicySource) {
        match source {
            PolicySource::Policy(name) => self.inner.ram.forget(namespace, name),
            PolicySource::Readers(_) | PolicySource::Product(_) => {}
        }
    }

    fn has(&self, namespace: &str, source: &PolicySource) -> bool {
        let policies = self.inner.places.get(namespace);
        policies.is_some_and(|policies| policies.has(source))
    }

    /// Compiles a policy, and puts it in force where the namespace has room for it. What was in force before
    /// there were bounds stays so, and over which bound it is comes with the answer.
    fn admit(
        &self,
        namespace: &str,
        source: &PolicySource,
        spec: &SecretPolicySpec,
        was_in_force: bool,
    ) -> Result<Option<PolicyLimitExceeded>, PolicyFailureReason> {
        let (resolved, ram) = self.inner.ram.resolve(spec).unzip();
        let enforced = resolved.as_ref().map_or(spec, |resolved| &resolved.spec);
        let policy = compile(namespace, enforced, &self.inner.shared)?;
        let source = source.clone();
        let over = self.inner.places.change(namespace, |policies| {
            let over = policies.fits(&source, &policy, BOUNDS).err();
            if over.is_none() || was_in_force {
                self.inner.ram.put(namespace, source.name(), ram);
                policies.put(source, policy);
            }
            over
        });
        match over {
            Some(over) if !was_in_force => Err(over.into()),
            over => {
                self.notify_changed(namespace);
                Ok(over)
            }
        }
    }

    /// Something of a namespace changed that whoever follows what is in force has to look at.
    pub(crate) fn notify_changed(&self, namespace: &str) {
        self.inner.changes.notify(namespace);
    }

    /// How many changes there are by now, and the namespaces of those after so many; none where that is not
    /// known.
    pub(crate) fn changed_since(&self, seen: u64) -> (u64, Option<BTreeSet<Arc<str>>>) {
        self.inner.changes.since(seen)
    }

    /// Says when what is in force may have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    fn outcomes<T>(&self, with: impl FnOnce(&mut HashMap<(String, String), PolicyOutcome>) -> T) -> T {
        with(&mut self.inner.outcomes.lock())
    }

    fn keeping<T>(&self, with: impl FnOnce(&mut RetentionState) -> T) -> T {
        with(&mut self.inner.keeping.lock())
    }

    /// What the store keeps, read before the first list.
    pub(crate) fn load_retained(&self, all: EnforcedPolicies) {
        for kept in &all.policies {
            let namespace = kept.namespace.as_str();
            let policy = parsed(kept).and_then(|spec| compile(namespace, &spec, &self.inner.shared).ok());
            if let Some(policy) = policy {
                // It counts from the first policy on that comes, so that none takes its room.
                let source = PolicySource::Policy(kept.name.clone());
                self.inner
                    .places
                    .change(namespace, |policies| policies.expect(source, policy));
            }
        }
        self.keeping(|keeping| *keeping = RetentionState::found(all));
    }

    /// A SecretPolicy is like this now.
    pub(crate) fn policy(&self, namespace: &str, name: &str, newest: ObservedPolicy) {
        let source = PolicySource::Policy(name.to_owned());
        let known = self.outcome(namespace, name).filter(|known| {
            let same = known.seen.uid == newest.seen.uid;
            if !same {
                // Made again under its name: nothing of this object was in force.
                self.remove(namespace, &source);
                self.not_kept(&known.seen.uid);
            }
            same
        });
        let ObservedPolicy { seen, told, spec } = newest;
        let was_in_force = self.was_in_force(known.as_ref(), &seen);
        let (admitted, spec) = match spec {
            Ok(spec) => (self.admit(namespace, &source, &spec, was_in_force), spec),
            Err((why, attached)) => (Err(why), attached),
        };
        let (why, over) = match admitted {
            Ok(over) => (None, over),
            Err(why) => (Some(why), None),
        };
        let flaw = match why {
            None => {
                self.comes_into_force(namespace, name, &seen, &spec);
                None
            }
            Some(why) => {
                let here = known.and_then(|known| known.in_force());
                let instead = self.instead(namespace, &source, &seen.uid, (here, told), (&why, &spec));
                Some(PolicyFailure { why, instead })
            }
        };
        let outcome = PolicyOutcome { seen, flaw, over };
        self.outcomes(|outcomes| outcomes.insert((namespace.to_owned(), name.to_owned()), outcome));
    }

    /// Whether this very generation was in force: by this process, or by what the store keeps of one before.
    fn was_in_force(&self, known: Option<&PolicyOutcome>, seen: &PolicyGeneration) -> bool {
        let here = known.and_then(PolicyOutcome::in_force) == Some(seen.generation);
        let kept = || self.keeping(|keeping| keeping.lookup(&seen.uid));
        here || matches!(kept(), RetainedLookup::Policy(policy) if policy.generation == seen.generation)
    }

    fn comes_into_force(
        &self,
        namespace: &str,
        name: &str,
        seen: &PolicyGeneration,
        spec: &SecretPolicySpec,
    ) {
        let kept = || {
            Some(EnforcedPolicy {
                uid: seen.uid.parse().ok()?,
                namespace: namespace.parse().ok()?,
                name: name.to_owned(),
                generation: seen.generation,
                statements: serde_json::to_vec(spec).unwrap_or_default(),
            })
        };
        self.keeping(|keeping| keeping.in_force(kept, &seen.uid, seen.generation));
    }

    /// Puts in force what is, where the newest generation cannot be.
    fn instead(
        &self,
        namespace: &str,
        source: &PolicySource,
        uid: &str,
        (here, told): (Option<i64>, Option<i64>),
        (why, attached): (&PolicyFailureReason, &SecretPolicySpec),
    ) -> Fallback {
        let found = self.keeping(|keeping| keeping.lookup(uid));
        let decided = |kept| match fallback(KnownGenerations { here, kept, told }) {
            // It says something that cannot be in force, and it may deny.
            Fallback::Nothing if matches!(why, PolicyFailureReason::TooLarge(_)) => {
                Fallback::Denies(UnknownReason::TooLarge)
            }
            other => other,
        };
        let instead = match found {
            RetainedLookup::Nothing => decided(StoredGeneration::Nothing),
            RetainedLookup::Unreadable => decided(StoredGeneration::Unreadable),
            RetainedLookup::Policy(policy) => {
                match decided(StoredGeneration::Generation(policy.generation)) {
                    Fallback::Stored(generation) => {
                        let compiles = parsed(&policy)
                            .is_some_and(|spec| self.admit(namespace, source, &spec, true).is_ok());
                        // An older version of this program may have known words that this one does not.
                        if compiles {
                            Fallback::Stored(generation)
                        } else {
                            decided(StoredGeneration::Unreadable)
                        }
                    }
                    other => other,
                }
            }
        };
        if let Fallback::Denies(why) = instead {
            tracing::warn!(namespace, %source, error = %why, "policy unusable, everything it covers is denied");
            if self.deny(namespace, source, attached).is_err() {
                tracing::error!(
                    namespace,
                    %source,
                    "policy without attachment dropped"
                );
            }
        }
        instead
    }

    /// Denies what a policy is attached to; in a namespace without room for that, everything.
    fn deny(
        &self,
        namespace: &str,
        source: &PolicySource,
        attached: &SecretPolicySpec,
    ) -> Result<(), CompileError> {
        let policy = compile(namespace, &deny_everything(attached), &self.inner.shared)?;
        let source = source.clone();
        self.inner.places.change(namespace, |policies| {
            self.forget_principals(namespace, &source);
            if policies.fits(&source, &policy, BOUNDS_WITH_DENIALS).is_ok() {
                policies.put(source, policy);
            } else {
                policies.deny_all(source, &policy);
            }
        });
        self.notify_changed(namespace);
        Ok(())
    }

    /// The directory by which principals of RAM are resolved, and the policies that wait for it.
    pub(crate) fn ram(&self) -> &RamPolicies {
        &self.inner.ram
    }

    /// Resolves the principals of RAM of a policy in force again, and puts it in force anew where they stand
    /// for others.
    pub(crate) fn resolve_again(&self, namespace: &str, name: &str) {
        if let Some(new) = self.inner.ram.resolve_again(namespace, name) {
            let source = PolicySource::Policy(name.to_owned());
            match compile(namespace, &new.policy.spec, &self.inner.shared) {
                Ok(policy) => {
                    self.inner.places.change(namespace, |policies| {
                        if self.inner.ram.replace(namespace, name, &new) {
                            policies.put(source, policy);
                        }
                    });
                    self.notify_changed(namespace);
                }
                // It compiled with others in their place. What is in force stays, and is looked at again when
                // the directory changes.
                Err(error) => {
                    tracing::error!(namespace, name, %error, "resolved policy compilation failed");
                    return;
                }
            }
        }
        self.inner.ram.settled(namespace, name);
    }

    /// What there is to say of the principals of RAM of a policy in force; none where it has none.
    pub(crate) fn principals(&self, namespace: &str, name: &str) -> Option<PrincipalResolution> {
        self.inner.ram.resolution(namespace, name)
    }

    /// A SecretPolicy is gone.
    pub(crate) fn remove_policy(&self, namespace: &str, name: &str) {
        self.remove(namespace, &PolicySource::Policy(name.to_owned()));
        let gone = self.outcomes(|outcomes| outcomes.remove(&(namespace.to_owned(), name.to_owned())));
        if let Some(outcome) = gone {
            self.not_kept(&outcome.seen.uid);
        }
    }

    fn not_kept(&self, uid: &str) {
        if self.keeping(|keeping| keeping.gone(uid)) {
            self.inner.stale.notify_one();
        }
    }

    /// A complete list of SecretPolicies has come; those that it does not have are gone.
    pub(crate) fn policies_listed(&self, listed: &HashSet<(String, String)>) {
        let gone: Vec<(String, String)> = self.outcomes(|outcomes| {
            outcomes
                .keys()
                .filter(|place| !listed.contains(*place))
                .cloned()
                .collect()
        });
        for (namespace, name) in gone {
            self.remove_policy(&namespace, &name);
        }
        for namespace in self.inner.places.namespaces() {
            self.inner
                .places
                .change(&namespace, NamespacePolicies::expect_nothing);
        }
        let there = self.outcomes(|outcomes| {
            let uids = outcomes.values().map(|outcome| outcome.seen.uid.clone());
            uids.collect::<HashSet<String>>()
        });
        if self.keeping(|keeping| keeping.listed(&there)) {
            self.inner.stale.notify_one();
        }
        self.inner.policies_listed.store(true, Ordering::Release);
    }

    /// What of a policy has to be kept, because it is in force and is not kept yet.
    pub(crate) fn to_keep(&self, uid: &str) -> Option<EnforcedPolicy> {
        self.keeping(|keeping| keeping.to_keep(uid))
    }

    /// The store has it by now.
    pub(crate) fn mark_kept(&self, policy: &EnforcedPolicy) {
        self.keeping(|keeping| keeping.mark_kept(policy));
        let there = self
            .outcome(policy.namespace.as_str(), &policy.name)
            .is_some_and(|outcome| outcome.seen.uid == policy.uid.as_str());
        if !there {
            // It went in the meantime.
            self.not_kept(policy.uid.as_str());
        }
    }

    /// Waits until something of a policy that is gone may be kept.
    pub(crate) async fn stale(&self) {
        self.inner.stale.notified().await;
    }

    /// UIDs of the policies that are gone and kept yet.
    pub(crate) fn to_forget(&self) -> Vec<String> {
        self.keeping(|keeping| keeping.to_forget())
    }

    /// It is not kept any more.
    pub(crate) fn forgotten(&self, uid: &str) {
        self.keeping(|keeping| keeping.forgotten(uid));
    }

    /// The readers of the ManagedSecret with this name and UID are these. They count while the store has it
    /// as the secret's owner.
    pub(crate) fn readers(
        &self,
        namespace: &str,
        (name, uid): (&str, &str),
        store_name: &str,
        readers: &[String],
    ) {
        let source = PolicySource::Readers(name.to_owned());
        if readers.is_empty() && !self.has(namespace, &source) {
            // Most objects have none, and whoever follows what is in force has nothing to look at.
            return;
        }
        if readers.is_empty() {
            self.remove(namespace, &source);
            return;
        }
        let spec = strongroom_rules::policy::readers_policy(store_name, readers);
        match compile(namespace, &spec, &self.inner.shared) {
            Ok(policy) => {
                self.inner
                    .places
                    .change(namespace, |policies| policies.put_declared(source, uid, policy));
                self.notify_changed(namespace);
            }
            Err(error) => {
                // The schema lets no such name through. Nobody may read rather than the readers of before.
                tracing::error!(namespace, name, %error, "readers compilation failed");
                self.remove(namespace, &source);
            }
        }
    }

    /// A complete list of ManagedSecrets has come; readers of those that `is_there` does not know are gone.
    pub(crate) fn readers_listed(&self, is_there: impl Fn(&str, &str) -> bool) {
        for namespace in self.inner.places.namespaces() {
            let Some(policies) = self.inner.places.get(&namespace) else {
                continue;
            };
            let gone = |source: &&PolicySource| match source {
                PolicySource::Readers(name) => !is_there(&namespace, name),
                PolicySource::Policy(_) | PolicySource::Product(_) => false,
            };
            for source in policies.sources().filter(gone) {
                self.remove(&namespace, source);
            }
        }
        self.inner.readers_listed.store(true, Ordering::Release);
    }

    /// Whether any statement asks for labels of a pod or a node.
    pub(crate) fn any_asks_labels(&self) -> bool {
        self.inner.places.any_asks_labels()
    }

    /// Whether a statement of one of these namespaces asks for labels of a pod or a node. No other
    /// namespace's has a say in what is decided about them, and nobody waits for what those ask.
    pub(crate) fn asks_labels<'a>(&self, namespaces: impl IntoIterator<Item = &'a str>) -> bool {
        self.inner.places.ask_labels(namespaces)
    }

    /// What became of a SecretPolicy.
    pub(crate) fn outcome(&self, namespace: &str, name: &str) -> Option<PolicyOutcome> {
        self.outcomes(|outcomes| outcomes.get(&(namespace.to_owned(), name.to_owned())).cloned())
    }

    /// Decides a request.
    pub(crate) fn decide(&self, request: &Request<'_>) -> Result<Decision, DecisionError> {
        let listed = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        if !listed(&self.inner.policies_listed) || !listed(&self.inner.readers_listed) {
            return Err(DecisionError::NotLoaded);
        }
        let namespace = request.principal.identity.namespace();
        let is_pending = |namespace: &str| self.inner.ram.is_pending(namespace);
        if namespace.is_some_and(is_pending) || is_pending(request.secret.namespace) {
            return Err(DecisionError::NotLoaded);
        }
        #[cfg(test)]
        self.inner.decisions.fetch_add(1, Ordering::Relaxed);
        let own = namespace.and_then(|namespace| self.inner.places.get(namespace));
        let of_secret = self.inner.places.get(request.secret.namespace);
        Ok(decide_by(own.as_deref(), of_secret.as_deref(), request)?)
    }
}

#[cfg(test)]
impl Policies {
    /// Decisions so far.
    pub(crate) fn decisions(&self) -> u64 {
        self.inner.decisions.load(Ordering::Relaxed)
    }
}
