//! The decision: who may.
//!
//! In the same namespace an identity policy *or* a secret policy must allow, from another one *both*. Users
//! have no namespace: for them the secret policy is enough. A Deny wins. A secret under a customer's key
//! takes the same for the key's use.
//!
//! `get` on the ManagedSecret by RBAC counts as an Allow for DescribeSecret: whoever has it sees the object's
//! status anyway.

use std::sync::LazyLock;

use super::Action;
use super::evaluate::{Effect, EvaluationError, Target};
use super::filter::Probe;
use super::namespace::NamespacePolicies;
use super::policy_set::{PolicySet, StatementRef};
use super::request::{Identity, Request};

/// Whether a request is allowed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request may be carried out.
    pub allowed: bool,
    /// The statements that decided: those that deny, or else those that allow.
    pub statements: Vec<StatementRef>,
    /// What would have to be allowed yet. Empty where a statement denies.
    pub missing: Vec<MissingPermission>,
    /// RBAC alone allows it: the caller may `get` the ManagedSecret.
    pub rbac: bool,
}

impl Decision {
    /// The decision for a caller that may `get` the ManagedSecret by RBAC: DescribeSecret is allowed unless a
    /// statement denies it.
    #[must_use]
    pub fn or_by_rbac(self, action: Action) -> Self {
        let by_rbac = action == Action::DescribeSecret && !self.allowed && !self.missing.is_empty();
        if !by_rbac {
            return self;
        }
        Self {
            allowed: true,
            missing: Vec::new(),
            rbac: true,
            ..self
        }
    }
}

/// A permission that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingPermission {
    /// What is not allowed.
    pub action: Action,
    /// Which kind of policy has to allow it.
    pub policy: PolicyKind,
}

/// The two kinds of policies, by what they are attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyKind {
    /// Attached to ServiceAccounts.
    Identity,
    /// Attached to secrets.
    Secret,
    /// Either will do.
    Either,
}

/// How the caller stands to the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// Of the same namespace: one policy is enough.
    Same,
    /// Of another namespace: both must allow.
    Other,
    /// Of no namespace.
    User,
}

/// Decides a request by everything in force.
///
/// # Errors
/// [`EvaluationError`]: then it is denied.
pub fn decide(book: &PolicySet, request: &Request<'_>) -> Result<Decision, EvaluationError> {
    let own = request.principal.identity.namespace();
    let own = own.and_then(|namespace| book.namespace(namespace));
    decide_by(own, book.namespace(request.secret.namespace), request)
}

/// Decides a request by what is in force in the principal's namespace, if it has one, and in the secret's.
///
/// # Errors
/// [`EvaluationError`]: then it is denied.
pub fn decide_by(
    own: Option<&NamespacePolicies>,
    of_secret: Option<&NamespacePolicies>,
    request: &Request<'_>,
) -> Result<Decision, EvaluationError> {
    static NOTHING: LazyLock<NamespacePolicies> = LazyLock::new(NamespacePolicies::default);
    let (own, of_secret) = (own.unwrap_or(&NOTHING), of_secret.unwrap_or(&NOTHING));
    let mut denied = false;
    let (mut denying, mut allowing, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    let uses = request.key.map(|(action, _)| (action, Target::Key));
    for (action, target) in [(request.action, Target::Secret)].into_iter().chain(uses) {
        let probe = Probe::new(request, action, target);
        let (identity, by_identity) = match &request.principal.identity {
            Identity::ServiceAccount { namespace, name } => own.ask_identities((namespace, name), &probe)?,
            Identity::User(_) => (Effect::Nothing, Vec::new()),
        };
        let (secret, by_secret) = match target {
            Target::Secret => of_secret.ask_secrets(&probe)?,
            Target::Key => of_secret.ask_secrets(&Probe::new(request, action, Target::Secret))?,
        };
        for (says, by) in [(identity, by_identity), (secret, by_secret)] {
            match says {
                Effect::Deny => {
                    denied = true;
                    denying.extend(by);
                }
                Effect::Allow => allowing.extend(by),
                Effect::Nothing => {}
            }
        }
        missing.extend(
            lacking(relation(request), identity, secret).map(|policy| MissingPermission { action, policy }),
        );
    }
    if denied {
        return Ok(Decision {
            allowed: false,
            statements: in_order(denying),
            missing: Vec::new(),
            rbac: false,
        });
    }
    Ok(Decision {
        allowed: missing.is_empty(),
        statements: in_order(allowing),
        missing,
        rbac: false,
    })
}

fn in_order(mut statements: Vec<StatementRef>) -> Vec<StatementRef> {
    statements.sort();
    statements.dedup();
    statements
}

fn relation(request: &Request<'_>) -> Relation {
    match request.principal.identity.namespace() {
        None => Relation::User,
        Some(namespace) if namespace == request.secret.namespace => Relation::Same,
        Some(_) => Relation::Other,
    }
}

/// Which policies would have to allow as well.
fn lacking(relation: Relation, identity: Effect, secret: Effect) -> impl Iterator<Item = PolicyKind> {
    let (identity, secret) = (identity == Effect::Allow, secret == Effect::Allow);
    let kinds = match relation {
        Relation::Same => [(!identity && !secret).then_some(PolicyKind::Either), None],
        Relation::Other => [
            (!identity).then_some(PolicyKind::Identity),
            (!secret).then_some(PolicyKind::Secret),
        ],
        Relation::User => [(!secret).then_some(PolicyKind::Secret), None],
    };
    kinds.into_iter().flatten()
}
