//! The statements in force, shared by the watches that bring them and the requests that ask them.
//!
//! A statement takes effect with the event that brings it. Until both lists are complete nothing is decided: a Deny might still be on its way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use strongroom_crds::v1alpha1::SecretPolicySpec;
use strongroom_rules::policy::{CompileError, Decision, PolicyBook, Request, Source, Unanswerable, decide};

/// The statements in force; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    book: RwLock<PolicyBook>,
    outcomes: Mutex<HashMap<(String, String), Outcome>>,
    asks_labels: AtomicBool,
    policies_listed: AtomicBool,
    readers_listed: AtomicBool,
}

/// What became of the newest generation of a SecretPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Which object, and which generation of it.
    pub(crate) seen: Seen,
    /// The generation whose statements are in force; none where nothing is.
    pub(crate) in_force: Option<i64>,
    /// Why the newest one does not compile.
    pub(crate) error: Option<CompileError>,
    /// What was in force is not known any more, so that everything it is attached to is denied.
    pub(crate) denies: bool,
}

/// One generation of one object: a policy that is made again under its name begins at 1 anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// `metadata.uid`.
    pub(crate) uid: String,
    /// `metadata.generation`.
    pub(crate) generation: i64,
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
        change(&mut book)
    }

    fn outcomes<T>(&self, with: impl FnOnce(&mut HashMap<(String, String), Outcome>) -> T) -> T {
        with(&mut self.inner.outcomes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A SecretPolicy is like this now. `before` is the generation that was in force when a process last wrote its status.
    pub(crate) fn policy(
        &self,
        namespace: &str,
        name: &str,
        seen: Seen,
        before: Option<i64>,
        spec: &SecretPolicySpec,
    ) {
        let source = Source::Policy(name.to_owned());
        let known = self.outcome(namespace, name).filter(|known| !known.denies);
        let outcome = self.change(|book| {
            let put = book.put(namespace, &source, spec);
            self.inner
                .asks_labels
                .store(book.asks_labels(), Ordering::Release);
            match put {
                Ok(()) => Outcome {
                    in_force: Some(seen.generation),
                    seen,
                    error: None,
                    denies: false,
                },
                Err(error) => {
                    let in_force = known.and_then(|known| known.in_force);
                    // Something was in force that this process never saw: a Deny of it must not be lost.
                    let denies = in_force.is_none() && before.is_some();
                    if denies && book.deny(namespace, &source, spec).is_err() {
                        tracing::error!(
                            namespace,
                            name,
                            "a policy without attachment was in force; nothing of it is"
                        );
                    }
                    Outcome {
                        seen,
                        in_force,
                        error: Some(error),
                        denies,
                    }
                }
            }
        });
        self.outcomes(|outcomes| outcomes.insert((namespace.to_owned(), name.to_owned()), outcome));
    }

    /// A SecretPolicy is gone.
    pub(crate) fn no_policy(&self, namespace: &str, name: &str) {
        self.change(|book| book.remove(namespace, &Source::Policy(name.to_owned())));
        self.outcomes(|outcomes| outcomes.remove(&(namespace.to_owned(), name.to_owned())));
    }

    /// A complete list of SecretPolicies has come; those that it does not have are gone.
    pub(crate) fn policies_listed(&self, listed: &std::collections::HashSet<(String, String)>) {
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
        self.inner.policies_listed.store(true, Ordering::Release);
    }

    /// The readers of a ManagedSecret are these.
    pub(crate) fn readers(&self, namespace: &str, name: &str, store_name: &str, readers: &[String]) {
        let source = Source::Readers(name.to_owned());
        self.change(|book| {
            if readers.is_empty() {
                book.remove(namespace, &source);
                return;
            }
            let spec = strongroom_rules::policy::of_readers(store_name, readers);
            if let Err(error) = book.put(namespace, &source, &spec) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strongroom_rules::policy::{Action, Facts, Identity, Principal, SecretRef};

    use super::*;

    fn spec(effect: &str, action: &str) -> SecretPolicySpec {
        serde_json::from_value(json!({"secrets": ["db"], "statements": [
            {"effect": effect, "principals": [{"serviceAccount": "app"}], "actions": [action]}]}))
        .unwrap()
    }

    fn seen(generation: i64) -> Seen {
        Seen {
            uid: "u".to_owned(),
            generation,
        }
    }

    fn allowed(policies: &Policies) -> Result<bool, AskError> {
        let principal = Principal {
            identity: Identity::of("system:serviceaccount:shop:app"),
            groups: Vec::new(),
        };
        let request = Request {
            principal: &principal,
            action: Action::GetSecretValue,
            secret: SecretRef {
                namespace: "shop",
                name: "db",
            },
            key: None,
            facts: &Facts::default(),
        };
        policies.decide(&request).map(|decision| decision.allowed)
    }

    fn listed() -> Policies {
        let policies = Policies::default();
        policies.policies_listed(&std::collections::HashSet::new());
        policies.readers_listed(|_, _| false);
        policies
    }

    #[test]
    fn nothing_is_decided_before_both_lists_are_there() {
        let policies = Policies::default();
        assert_eq!(allowed(&policies), Err(AskError::NotLoaded));
        policies.policies_listed(&std::collections::HashSet::new());
        assert_eq!(allowed(&policies), Err(AskError::NotLoaded));
        policies.readers_listed(|_, _| false);
        assert_eq!(allowed(&policies), Ok(false));
    }

    #[test]
    fn a_broken_generation_leaves_the_one_before_in_force() {
        let policies = listed();
        policies.policy(
            "shop",
            "p",
            seen(1),
            None,
            &spec("Allow", "secrets:GetSecretValue"),
        );
        policies.policy("shop", "p", seen(2), Some(1), &spec("Deny", "secrets:Nothing"));
        assert_eq!(allowed(&policies), Ok(true));
        let outcome = policies.outcome("shop", "p").unwrap();
        assert_eq!(
            (outcome.seen, outcome.in_force, outcome.denies),
            (seen(2), Some(1), false)
        );
        policies.no_policy("shop", "p");
        assert_eq!(allowed(&policies), Ok(false));
        assert_eq!(policies.outcome("shop", "p"), None);
    }

    #[test]
    fn a_broken_policy_that_was_in_force_before_a_restart_denies() {
        let policies = listed();
        policies.readers("shop", "db", "db", &["app".to_owned()]);
        policies.policy("shop", "never", seen(1), None, &spec("Deny", "secrets:Nothing"));
        assert_eq!(allowed(&policies), Ok(true));
        policies.policy("shop", "p", seen(2), Some(1), &spec("Deny", "secrets:Nothing"));
        assert_eq!(allowed(&policies), Ok(false));
        // Again, and still so: what denies is not what was in force.
        policies.policy("shop", "p", seen(3), Some(1), &spec("Deny", "secrets:Nothing"));
        assert_eq!(allowed(&policies), Ok(false));
        policies.policy(
            "shop",
            "p",
            seen(4),
            Some(1),
            &spec("Allow", "secrets:DescribeSecret"),
        );
        assert_eq!(allowed(&policies), Ok(true));
    }

    #[test]
    fn what_a_list_does_not_have_is_gone() {
        let policies = listed();
        policies.readers("shop", "db", "db", &["app".to_owned()]);
        policies.policy("shop", "p", seen(1), None, &spec("Deny", "*"));
        assert_eq!(allowed(&policies), Ok(false));
        policies.policies_listed(&std::collections::HashSet::new());
        assert_eq!(allowed(&policies), Ok(true));
        policies.readers_listed(|namespace, name| (namespace, name) == ("shop", "db"));
        assert_eq!(allowed(&policies), Ok(true));
        policies.readers_listed(|_, _| false);
        assert_eq!(allowed(&policies), Ok(false));
    }
}
