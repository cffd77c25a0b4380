//! The statements in force, shared by the watches that bring them and the requests that ask them.
//!
//! A statement takes effect with the event that brings it. Until both lists are complete nothing is decided: a Deny might still be on its way.
//! What is in force of a SecretPolicy is kept in the store (`kept`), so that it survives a restart when a newer generation is broken.

mod kept;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use strongroom_crds::v1alpha1::SecretPolicySpec;
use strongroom_rules::policy::{
    Before, CompileError, Decision, Fallback, Kept, PolicyBook, Request, Source, Unanswerable, decide,
    fallback,
};
use tokio::sync::{Notify, watch};

pub(crate) use self::kept::{AllKept, KeptPolicy};
use self::kept::{Found, Keeping};

/// The statements in force; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    book: RwLock<PolicyBook>,
    outcomes: Mutex<HashMap<(String, String), Outcome>>,
    keeping: Mutex<Keeping>,
    /// Something of a policy that is gone is kept.
    stale: Notify,
    /// Counts changes of what is in force.
    changed: watch::Sender<u64>,
    asks_labels: AtomicBool,
    policies_listed: AtomicBool,
    readers_listed: AtomicBool,
}

/// What became of the newest generation of a SecretPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Which object, and which generation of it.
    pub(crate) seen: Seen,
    /// Set where it could not come into force.
    pub(crate) flaw: Option<Flaw>,
}

impl Outcome {
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
pub(crate) struct Flaw {
    /// Why.
    pub(crate) why: Why,
    /// What is in force.
    pub(crate) instead: Fallback,
}

/// Why a generation cannot come into force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    /// It does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It does not fit its type.
    #[error("{0}")]
    Misfit(String),
}

/// One generation of one object: a policy that is made again under its name begins at 1 anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// `metadata.uid`.
    pub(crate) uid: String,
    /// `metadata.generation`.
    pub(crate) generation: i64,
}

/// A generation of a SecretPolicy, as a watch brings it.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    /// Which object, and which generation of it.
    pub(crate) seen: Seen,
    /// The generation that was in force when a process last wrote the status.
    pub(crate) told: Option<i64>,
    /// Its spec, or why there is none: then with what it is attached to, as far as that can be read.
    pub(crate) spec: Result<SecretPolicySpec, (Why, SecretPolicySpec)>,
}

#[cfg(test)]
impl Newest {
    /// The first generation of the object with this UID.
    pub(crate) fn first(uid: &str, spec: SecretPolicySpec) -> Self {
        Self {
            seen: Seen {
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
pub(crate) enum AskError {
    /// The lists are not complete.
    #[error("the policies are not loaded yet")]
    NotLoaded,
    /// The request cannot be put to them.
    #[error(transparent)]
    Unanswerable(#[from] Unanswerable),
}

impl Policies {
    fn change<T>(&self, change: impl FnOnce(&mut PolicyBook) -> T) -> T {
        // A panic inside would leave a shard half changed; there is none, since this crate and the rules have no panicking calls.
        let mut book = self.inner.book.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut book);
        self.inner
            .asks_labels
            .store(book.asks_labels(), Ordering::Release);
        drop(book);
        self.look_again();
        changed
    }

    fn has(&self, namespace: &str, source: &Source) -> bool {
        let book = self.inner.book.read().unwrap_or_else(PoisonError::into_inner);
        book.has(namespace, source)
    }

    /// Something else changed that whoever follows what is in force has to look at.
    pub(crate) fn look_again(&self) {
        self.inner.changed.send_modify(|count| *count += 1);
    }

    /// Says when what is in force may have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    fn outcomes<T>(&self, with: impl FnOnce(&mut HashMap<(String, String), Outcome>) -> T) -> T {
        with(&mut self.inner.outcomes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keeping<T>(&self, with: impl FnOnce(&mut Keeping) -> T) -> T {
        with(&mut self.inner.keeping.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the store keeps, read before the first list.
    pub(crate) fn found(&self, all: AllKept) {
        self.keeping(|keeping| *keeping = Keeping::found(all));
    }

    /// A SecretPolicy is like this now.
    pub(crate) fn policy(&self, namespace: &str, name: &str, newest: Newest) {
        let source = Source::Policy(name.to_owned());
        let known = self.outcome(namespace, name).filter(|known| {
            let same = known.seen.uid == newest.seen.uid;
            if !same {
                // Made again under its name: nothing of this object was in force.
                self.change(|book| book.remove(namespace, &source));
                self.not_kept(&known.seen.uid);
            }
            same
        });
        let Newest { seen, told, spec } = newest;
        let (why, spec) = match spec {
            Ok(spec) => match self.change(|book| book.put(namespace, &source, &spec)) {
                Ok(()) => (None, spec),
                Err(error) => (Some(Why::Compile(error)), spec),
            },
            Err((why, attached)) => (Some(why), attached),
        };
        let flaw = match why {
            None => {
                self.comes_into_force(namespace, name, &seen, &spec);
                None
            }
            Some(why) => {
                let here = known.and_then(|known| known.in_force());
                let instead = self.instead(namespace, &source, &seen.uid, (here, told), &spec);
                Some(Flaw { why, instead })
            }
        };
        let outcome = Outcome { seen, flaw };
        self.outcomes(|outcomes| outcomes.insert((namespace.to_owned(), name.to_owned()), outcome));
    }

    fn comes_into_force(&self, namespace: &str, name: &str, seen: &Seen, spec: &SecretPolicySpec) {
        let kept = || KeptPolicy {
            uid: seen.uid.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            generation: seen.generation,
            spec: serde_json::to_vec(spec).unwrap_or_default(),
        };
        self.keeping(|keeping| keeping.in_force(kept, &seen.uid, seen.generation));
    }

    /// Puts in force what is, where the newest generation cannot be.
    fn instead(
        &self,
        namespace: &str,
        source: &Source,
        uid: &str,
        (here, told): (Option<i64>, Option<i64>),
        attached: &SecretPolicySpec,
    ) -> Fallback {
        let found = self.keeping(|keeping| keeping.of(uid));
        let decided = |kept| fallback(Before { here, kept, told });
        let instead = match found {
            Found::Nothing => decided(Kept::Nothing),
            Found::Unreadable => decided(Kept::Unreadable),
            Found::Policy(policy) => match decided(Kept::Generation(policy.generation)) {
                Fallback::Kept(generation) => {
                    let compiles = policy
                        .parse()
                        .is_some_and(|spec| self.change(|book| book.put(namespace, source, &spec)).is_ok());
                    // An older version of this program may have known words that this one does not.
                    if compiles {
                        Fallback::Kept(generation)
                    } else {
                        decided(Kept::Unreadable)
                    }
                }
                other => other,
            },
        };
        if let Fallback::Denies(why) = instead {
            tracing::warn!(namespace, %source, %why, "everything that the policy is attached to is denied");
            if self
                .change(|book| book.deny(namespace, source, attached))
                .is_err()
            {
                tracing::error!(
                    namespace,
                    %source,
                    "a policy without attachment was in force; nothing of it is"
                );
            }
        }
        instead
    }

    /// A SecretPolicy is gone.
    pub(crate) fn no_policy(&self, namespace: &str, name: &str) {
        self.change(|book| book.remove(namespace, &Source::Policy(name.to_owned())));
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
            self.no_policy(&namespace, &name);
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
    pub(crate) fn to_keep(&self, uid: &str) -> Option<KeptPolicy> {
        self.keeping(|keeping| keeping.wanted(uid))
    }

    /// It is kept.
    pub(crate) fn kept(&self, policy: &KeptPolicy) {
        self.keeping(|keeping| keeping.kept(policy));
        let there = self
            .outcome(&policy.namespace, &policy.name)
            .is_some_and(|outcome| outcome.seen.uid == policy.uid);
        if !there {
            // It went in the meantime.
            self.not_kept(&policy.uid);
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

    /// The readers of the ManagedSecret with this name and UID are these. They count while the store has it as the secret's owner.
    pub(crate) fn readers(
        &self,
        namespace: &str,
        (name, uid): (&str, &str),
        store_name: &str,
        readers: &[String],
    ) {
        let source = Source::Readers(name.to_owned());
        if readers.is_empty() && !self.has(namespace, &source) {
            // Most objects have none, and whoever follows what is in force has nothing to look at.
            return;
        }
        self.change(|book| {
            if readers.is_empty() {
                book.remove(namespace, &source);
                return;
            }
            let spec = strongroom_rules::policy::of_readers(store_name, readers);
            if let Err(error) = book.put_of_owner(namespace, &source, uid, &spec) {
                // The schema lets no such name through. Nobody may read rather than the readers of before.
                tracing::error!(namespace, name, %error, "spec.readers cannot be compiled");
                book.remove(namespace, &source);
            }
        });
    }

    /// A complete list of ManagedSecrets has come; readers of those that `is_there` does not know are gone.
    pub(crate) fn readers_listed(&self, is_there: impl Fn(&str, &str) -> bool) {
        self.change(|book| {
            for namespace in book.namespaces() {
                for source in book.sources(&namespace) {
                    if let Source::Readers(name) = &source
                        && !is_there(&namespace, name)
                    {
                        book.remove(&namespace, &source);
                    }
                }
            }
        });
        self.inner.readers_listed.store(true, Ordering::Release);
    }

    /// Whether any statement asks for labels of a pod or a node.
    pub(crate) fn asks_labels(&self) -> bool {
        self.inner.asks_labels.load(Ordering::Acquire)
    }

    /// What became of a SecretPolicy.
    pub(crate) fn outcome(&self, namespace: &str, name: &str) -> Option<Outcome> {
        self.outcomes(|outcomes| outcomes.get(&(namespace.to_owned(), name.to_owned())).cloned())
    }

    /// Decides a request.
    pub(crate) fn decide(&self, request: &Request<'_>) -> Result<Decision, AskError> {
        let listed = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        if !listed(&self.inner.policies_listed) || !listed(&self.inner.readers_listed) {
            return Err(AskError::NotLoaded);
        }
        let book = self.inner.book.read().unwrap_or_else(PoisonError::into_inner);
        Ok(decide(&book, request)?)
    }
}
