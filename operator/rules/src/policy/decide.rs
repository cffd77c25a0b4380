//! The decision: whether a request is allowed.
//!
//! In the same namespace an identity policy *or* a secret policy must allow, from another one *both*. Users
//! have no namespace: for them the secret policy is enough. A Deny wins. A secret under a customer's key
//! takes the same for the key's use.
//!
//! `get` on the ManagedSecret by RBAC counts as an Allow for DescribeSecret: whoever has it sees the object's
//! status anyway.
//!
//! The managers of a product may what the product may with its own secrets, as if a policy of either kind
//! allowed it; of a key's use they have the identity's half, and the other one is the tenant's. A Deny wins
//! over them as well. Of a secret that has identity policies alone ([`PolicyScope::IdentityOnly`]) nobody
//! else of another namespace gets anything, and no secret policy allows a ServiceAccount anything.

use std::sync::LazyLock;

use super::Action;
use super::evaluate::{Effect, EvaluationError, QuestionTarget};
use super::filter::Probe;
use super::namespace::NamespacePolicies;
use super::policy_set::{PolicySet, StatementRef};
use super::request::{Identity, PolicyScope, Request};
use super::source::PolicySource;

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
    /// No policy can allow it: the caller is of another namespace, and the secret has identity policies
    /// alone.
    pub barred: bool,
}

impl Decision {
    /// The decision about two things of which both must be allowed.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self.allowed, other.allowed) {
            (false, _) => self,
            (true, false) => other,
            (true, true) => Self {
                statements: in_order([self.statements, other.statements].concat()),
                rbac: self.rbac || other.rbac,
                ..self
            },
        }
    }

    /// The decision for a caller that may `get` the ManagedSecret by RBAC: DescribeSecret is allowed unless a
    /// statement denies it.
    #[must_use]
    pub fn or_by_rbac(self, action: Action) -> Self {
        let lacks = !self.missing.is_empty() || self.barred;
        let by_rbac = action == Action::DescribeSecret && !self.allowed && lacks;
        if !by_rbac {
            return self;
        }
        Self {
            allowed: true,
            missing: Vec::new(),
            rbac: true,
            barred: false,
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

impl MissingPermission {
    /// Which policy is not there, in words: `own` is the principal's namespace, `of_secret` the secret's.
    #[must_use]
    pub fn text(&self, own: &str, of_secret: &str) -> String {
        let action = self.action;
        match self.policy {
            PolicyKind::Identity => format!("no identity policy in namespace `{own}` allows {action}"),
            PolicyKind::Secret => format!("no secret policy in namespace `{of_secret}` allows {action}"),
            PolicyKind::Either => format!("no policy in namespace `{of_secret}` allows {action}"),
        }
    }
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
    let (mut denied, mut barred) = (false, false);
    let (mut denying, mut allowing, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    let relation = relation(request);
    let uses = request.key.map(|(action, _)| (action, QuestionTarget::Key));
    for (action, target) in [(request.action, QuestionTarget::Secret)].into_iter().chain(uses) {
        let probe = Probe::new(request, action, target);
        let (identity, by_identity) = match &request.principal.identity {
            Identity::ServiceAccount { namespace, name } => own.ask_identities((namespace, name), &probe)?,
            Identity::User(_) => (Effect::Nothing, Vec::new()),
        };
        let (secret, by_secret) = match target {
            QuestionTarget::Secret => of_secret.ask_secrets(&probe)?,
            QuestionTarget::Key => {
                of_secret.ask_secrets(&Probe::new(request, action, QuestionTarget::Secret))?
            }
        };
        let counts = counting(relation, request.products.scope, target);
        let (rights, by_product) = product_rights(relation, request, action);
        allowing.extend(by_product);
        for (says, by, counts) in [
            (identity, by_identity, counts.identity),
            (secret, by_secret, counts.secret),
        ] {
            match says {
                Effect::Deny => {
                    denied = true;
                    denying.extend(by);
                }
                Effect::Allow if counts => allowing.extend(by),
                Effect::Allow | Effect::Nothing => {}
            }
        }
        let allowed = Sides {
            identity: rights.identity || (counts.identity && identity == Effect::Allow),
            secret: rights.secret || (counts.secret && secret == Effect::Allow),
        };
        barred |= counts == Sides::NEITHER && allowed == Sides::NEITHER;
        missing.extend(lacking(relation, counts, allowed).map(|policy| MissingPermission { action, policy }));
    }
    if denied {
        return Ok(Decision {
            allowed: false,
            statements: in_order(denying),
            missing: Vec::new(),
            rbac: false,
            barred: false,
        });
    }
    Ok(Decision {
        allowed: missing.is_empty() && !barred,
        statements: in_order(allowing),
        missing: if barred { Vec::new() } else { missing },
        rbac: false,
        barred,
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

/// One thing about identity policies and the same about policies of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sides {
    identity: bool,
    secret: bool,
}

impl Sides {
    const BOTH: Self = Self {
        identity: true,
        secret: true,
    };
    const NEITHER: Self = Self {
        identity: false,
        secret: false,
    };
}

/// Whose Allow counts. Of a key both do: it is the tenant's, whatever the product agreed to.
const fn counting(relation: Relation, scope: PolicyScope, target: QuestionTarget) -> Sides {
    match (scope, target, relation) {
        (PolicyScope::Both, ..)
        | (_, QuestionTarget::Key, _)
        | (PolicyScope::IdentityOnly, _, Relation::User) => Sides::BOTH,
        (PolicyScope::IdentityOnly, QuestionTarget::Secret, Relation::Same) => Sides {
            identity: true,
            secret: false,
        },
        (PolicyScope::IdentityOnly, QuestionTarget::Secret, Relation::Other) => Sides::NEITHER,
    }
}

/// What the caller may as a manager of the secret's product, and where that stands.
///
/// INVARIANT: it is never all that the use of a key takes. In its own namespace, where one policy is enough,
/// it is nothing.
fn product_rights(
    relation: Relation,
    request: &Request<'_>,
    action: Action,
) -> (Sides, Option<StatementRef>) {
    let sides = match (request.products.acts_for, relation) {
        (None, _) => Sides::NEITHER,
        (Some(_), _) if !action.is_products() => Sides::NEITHER,
        (Some(_), Relation::Other) => Sides {
            identity: true,
            secret: !action.uses_key(),
        },
        (Some(_), Relation::Same | Relation::User) if action.uses_key() => Sides::NEITHER,
        (Some(_), Relation::Same | Relation::User) => Sides::BOTH,
    };
    let code = request.products.acts_for.filter(|_| sides != Sides::NEITHER);
    let statement = code.map(|code| {
        let source = PolicySource::Product(code.to_string());
        StatementRef::new(request.secret.namespace, &source, 1, None)
    });
    (sides, statement)
}

/// Which policies would have to allow as well.
fn lacking(relation: Relation, counts: Sides, allowed: Sides) -> impl Iterator<Item = PolicyKind> {
    let Sides { identity, secret } = allowed;
    let kinds = match relation {
        Relation::Same => {
            let which = if counts.secret {
                PolicyKind::Either
            } else {
                PolicyKind::Identity
            };
            [(!identity && !secret).then_some(which), None]
        }
        // No policy would help.
        Relation::Other if counts == Sides::NEITHER => [None, None],
        Relation::Other => [
            (!identity).then_some(PolicyKind::Identity),
            (!secret).then_some(PolicyKind::Secret),
        ],
        Relation::User => [(!secret).then_some(PolicyKind::Secret), None],
    };
    kinds.into_iter().flatten()
}
