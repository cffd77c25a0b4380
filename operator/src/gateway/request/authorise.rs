//! The fourth station: may the caller? Every request is decided here, a read of a value as everything else,
//! and a refusal is audited before it is told.
//!
//! The operation matrix and the policies both decide about a default secret. What is told is the first that
//! refuses: that the caller may not know of the secret, then the matrix, then the policies.

use std::sync::Arc;

use strongroom_model::Hosting;
use strongroom_rules::policy::{
    Action, Decision, Explanation, ProductContext, Request, RequestFacts, SecretRef, denial, explain,
};
use strongroom_rules::product::{ProductDirectory, ProductRefusal};
use strongroom_store::vault::{KeyRef, KeyView, Meta, SecretView};

use super::context::RequestContext;
use super::find::{FoundSecret, SecretPath};
use super::{product, record};
use crate::gateway::authenticate::Caller;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::state::Gateway;
use crate::policies::DecisionError;

/// The key that a secret comes under by what is asked for: one that is not there yet, or one that moves.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::gateway) enum TargetKey<'a> {
    /// The namespace's default key, or none: nothing comes under a key.
    #[default]
    Default,
    /// A customer's key.
    Customer(&'a KeyView),
    /// A customer's key of this name, which is not there.
    Missing(&'a str),
}

impl<'a> TargetKey<'a> {
    /// The key of this name that was looked for; no name is the default key.
    pub(in crate::gateway) const fn named(name: Option<&'a str>, found: Option<&'a KeyView>) -> Self {
        match (name, found) {
            (_, Some(key)) => Self::Customer(key),
            (Some(name), None) => Self::Missing(name),
            (None, None) => Self::Default,
        }
    }

    /// How a default secret under it is hosted.
    pub(in crate::gateway) const fn hosting(self) -> Hosting {
        match self {
            Self::Default => Hosting::Free,
            Self::Customer(_) | Self::Missing(_) => Hosting::Paid,
        }
    }

    /// What comes under it makes this use of it.
    fn used(self, use_of_key: Action) -> Option<UsedKey> {
        match self {
            Self::Customer(key) => Some(UsedKey::found(use_of_key, key.clone())),
            Self::Missing(name) => Some(UsedKey {
                use_of_key,
                found: None,
                wanted: name.to_owned(),
            }),
            Self::Default => None,
        }
    }
}

/// A customer's key that an action uses. It is decided about by its name, whether or not there is one: who
/// is not granted it learns nothing of that.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct UsedKey {
    /// What is done with it.
    pub(in crate::gateway) use_of_key: Action,
    /// None: there is none of the name.
    pub(in crate::gateway) found: Option<KeyView>,
    /// Its name, where there is none.
    wanted: String,
}

impl UsedKey {
    const fn found(use_of_key: Action, key: KeyView) -> Self {
        Self {
            use_of_key,
            found: Some(key),
            wanted: String::new(),
        }
    }

    pub(in crate::gateway) fn name(&self) -> &str {
        self.found
            .as_ref()
            .map_or(self.wanted.as_str(), |key| key.name.as_str())
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct AccessRequest<'a> {
    pub(in crate::gateway) action: Action,
    pub(in crate::gateway) path: &'a SecretPath,
    /// The secret, where there is one.
    pub(in crate::gateway) secret: Option<&'a SecretView>,
    /// The key that the secret will come under.
    pub(in crate::gateway) new_key: TargetKey<'a>,
    pub(in crate::gateway) facts: &'a RequestFacts,
}

impl<'a> AccessRequest<'a> {
    /// An action on a secret that was looked for.
    pub(in crate::gateway) fn of_found(
        action: Action,
        found: &'a FoundSecret<'_>,
        facts: &'a RequestFacts,
    ) -> Self {
        Self {
            action,
            path: found.path(),
            secret: found.view(),
            new_key: TargetKey::Default,
            facts,
        }
    }
}

/// A secret that is there, and a decision that allows what is asked. Only [`authorise`] makes one.
#[derive(Debug)]
pub(in crate::gateway) struct Authorised<'a> {
    action: Action,
    path: &'a SecretPath,
    secret: &'a SecretView,
    decision: Decision,
}

impl<'a> Authorised<'a> {
    pub(in crate::gateway) const fn action(&self) -> Action {
        self.action
    }

    pub(in crate::gateway) const fn path(&self) -> &'a SecretPath {
        self.path
    }

    pub(in crate::gateway) const fn secret(&self) -> &'a SecretView {
        self.secret
    }

    pub(in crate::gateway) const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Who asks and what allowed it, for the store and its record.
    pub(in crate::gateway) fn meta(&self, request: &RequestContext) -> Meta {
        request.meta(&self.decision.statements)
    }
}

/// Decides, and records a refusal. The answer of an allowed request is recorded by whoever gives it.
pub(in crate::gateway) fn authorise<'a>(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'a>,
) -> Result<Authorised<'a>, Problem> {
    let decision = permit(gateway, request, access, access.secret.is_some())?;
    match access.secret {
        Some(secret) => Ok(Authorised {
            action: access.action,
            path: access.path,
            secret,
            decision,
        }),
        None => Err(Problem::no_secret(access.path)),
    }
}

/// What refuses a request, with the decision of the policies about the action itself.
struct RefusedAccess {
    decision: Decision,
    matrix: Result<(), ProductRefusal>,
    /// The decision of the policies about knowing of the secret.
    knows: Decision,
    /// The name is one of the caller's own product.
    own: bool,
}

/// Decides about what is there, or is declared and may be made; a refusal is recorded.
///
/// INVARIANT: whoever is refused is decided about twice, whether the secret is there or not, so that the time
/// tells nobody which it is.
pub(in crate::gateway) fn permit(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'_>,
    exists: bool,
) -> Result<Decision, Problem> {
    let (code, statements, problem) = match decide_both(gateway, request, access, exists) {
        Err(problem) => (problem.code(), Vec::new(), problem),
        Ok(Ok(decision)) => return Ok(decision),
        // A caller that may not know of the secret is not told, the record is.
        Ok(Err(refused)) if exists => {
            let RefusedAccess {
                decision,
                matrix,
                knows,
                own,
            } = refused;
            let by_matrix = matrix
                .err()
                .map(|refusal| product::problem(&refusal, access.action));
            let code = by_matrix.as_ref().map_or(Code::PolicyDenied, Problem::code);
            let problem = match by_matrix {
                _ if !knows.allowed && !own => Problem::no_secret(access.path),
                Some(problem) => problem,
                None => denied(gateway, request.caller(), access, (&decision, &knows))?,
            };
            (code, decision.statements, problem)
        }
        Ok(Err(refused)) => {
            let problem = Problem::no_secret(access.path);
            (problem.code(), refused.decision.statements, problem)
        }
    };
    record::refusal(gateway, request, access, &statements, code)?;
    Err(problem)
}

/// The decision of the policies, where the matrix allows it as well and the secret is there.
fn decide_both(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'_>,
    exists: bool,
) -> Result<Result<Decision, RefusedAccess>, Problem> {
    let (caller, action) = (request.caller(), access.action);
    let products = products(gateway, access)?;
    let decision = decide_among(gateway, &products, caller, action, access)?;
    let listener = request.listener().facts();
    let matrix = product::judge(&products, caller, listener, action, access);
    if exists && decision.allowed && matrix.is_ok() {
        product::note_manager(gateway, &products, request, access);
        return Ok(Ok(decision));
    }
    let knows = decide_among(gateway, &products, caller, Action::DescribeSecret, access)?;
    Ok(Err(RefusedAccess {
        own: product::knows_own(&products, caller, action, access),
        decision,
        matrix,
        knows,
    }))
}

/// Whether matrix and policies allow this action, of whoever is told nothing else.
pub(in crate::gateway) fn is_allowed(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'_>,
) -> Result<bool, Problem> {
    let (caller, action) = (request.caller(), access.action);
    let products = products(gateway, access)?;
    let decision = decide_among(gateway, &products, caller, action, access)?;
    let listener = request.listener().facts();
    let matrix = product::judge(&products, caller, listener, action, access);
    Ok(decision.allowed && matrix.is_ok())
}

/// What policies alone decide, about a caller or about somebody who is asked about.
///
/// INVARIANT: policies are asked about names that can be. What is none is no secret, whatever anybody may,
/// and costs no decision.
pub(in crate::gateway) fn decide(
    gateway: &Gateway,
    caller: &Caller,
    action: Action,
    access: &AccessRequest<'_>,
) -> Result<Decision, Problem> {
    let products = products(gateway, access)?;
    decide_among(gateway, &products, caller, action, access)
}

/// The products by which it is decided about a secret that can be.
fn products(gateway: &Gateway, access: &AccessRequest<'_>) -> Result<Arc<ProductDirectory>, Problem> {
    if !access.path.is_possible() {
        return Err(Problem::no_secret(access.path));
    }
    product::snapshot(gateway)
}

fn decide_among(
    gateway: &Gateway,
    products: &ProductDirectory,
    caller: &Caller,
    action: Action,
    access: &AccessRequest<'_>,
) -> Result<Decision, Problem> {
    let of_products = product::context(products, caller, action, access);
    let by_policies = |key: Option<&UsedKey>| {
        let request = policy_request(caller, action, access, key, of_products);
        gateway.policies.decide(&request).map_err(|error| match error {
            DecisionError::NotLoaded => {
                Problem::new(Code::PoliciesUnavailable, error.to_string()).retry_after(1)
            }
            DecisionError::EvaluationError(_) => Problem::new(Code::PolicyDenied, error.to_string()),
        })
    };
    let mut decision = by_policies(used_key(gateway, action, access)?.as_ref())?;
    if let Some(left) = left_key(gateway, action, access)? {
        decision = decision.and(by_policies(Some(&left))?);
    }
    let by_rbac = access.secret.is_some_and(|secret| {
        let may_get = caller.may_get.as_ref();
        may_get.is_some_and(|may_get| may_get.covers(access.path.namespace().name(), secret))
    });
    Ok(if by_rbac {
        decision.or_by_rbac(action)
    } else {
        decision
    })
}

/// The use that an action makes of the key that the secret lies under.
const fn use_of_key(action: Action) -> Option<Action> {
    match action {
        Action::GetSecretValue => Some(Action::Decrypt),
        // What is updated uses a key only where it moves under it.
        Action::CreateSecret | Action::PutSecretValue | Action::RotateSecret | Action::UpdateSecret => {
            Some(Action::GenerateDataKey)
        }
        Action::ListSecrets
        | Action::DescribeSecret
        | Action::UpdateSecretVersionStage
        | Action::DeleteSecret
        | Action::PurgeSecret
        | Action::RestoreSecret
        | Action::ListSecretVersionIds
        | Action::UpdateSecretRotationPolicy
        | Action::SetSecretPolicy
        | Action::GetSecretPolicy
        | Action::Decrypt
        | Action::GenerateDataKey => None,
    }
}

/// The customer's key that the action uses, with the use.
pub(in crate::gateway) fn used_key(
    gateway: &Gateway,
    action: Action,
    access: &AccessRequest<'_>,
) -> Result<Option<UsedKey>, Problem> {
    let Some(use_of_key) = use_of_key(action) else {
        return Ok(None);
    };
    Ok(match access.secret {
        Some(secret) if action != Action::UpdateSecret => {
            let key = gateway.key(secret)?;
            key.map(|key| UsedKey::found(use_of_key, key))
        }
        Some(_) | None => access.new_key.used(use_of_key),
    })
}

/// The customer's key that a secret leaves for another one: what lies under it is decrypted for that. Where
/// it leaves it for the default key, the tenant's annotation says so.
fn left_key(
    gateway: &Gateway,
    action: Action,
    access: &AccessRequest<'_>,
) -> Result<Option<UsedKey>, Problem> {
    let Some(secret) = access.secret.filter(|_| action == Action::UpdateSecret) else {
        return Ok(None);
    };
    let leaves = match access.new_key {
        TargetKey::Default => false,
        TargetKey::Customer(key) => secret.key != KeyRef::Customer(key.id),
        TargetKey::Missing(_) => true,
    };
    if !leaves {
        return Ok(None);
    }
    let left = gateway.key(secret)?;
    Ok(left.map(|key| UsedKey::found(Action::Decrypt, key)))
}

/// The key to speak of: the one that the secret leaves, where its use is what is missing.
fn decided_key(
    gateway: &Gateway,
    access: &AccessRequest<'_>,
    decision: &Decision,
) -> Result<Option<UsedKey>, Problem> {
    let lacks = |key: &UsedKey| {
        let mut missing = decision.missing.iter();
        missing.any(|missing| missing.action == key.use_of_key)
    };
    match left_key(gateway, access.action, access)?.filter(lacks) {
        Some(left) => Ok(Some(left)),
        None => used_key(gateway, access.action, access),
    }
}

fn policy_request<'a>(
    caller: &'a Caller,
    action: Action,
    access: &AccessRequest<'a>,
    key: Option<&'a UsedKey>,
    products: ProductContext<'a>,
) -> Request<'a> {
    Request {
        principal: &caller.principal,
        action,
        secret: SecretRef {
            namespace: access.path.namespace().name(),
            name: access.path.name(),
        },
        key: key.map(|key| (key.use_of_key, key.name())),
        owner: access
            .secret
            .and_then(|secret| secret.object.as_ref())
            .map(|object| object.uid.as_str()),
        products,
        facts: access.facts,
    }
}

/// Whether the caller may know that the secret exists.
pub(in crate::gateway) fn may_describe(
    gateway: &Gateway,
    caller: &Caller,
    access: &AccessRequest<'_>,
) -> Result<bool, Problem> {
    Ok(decide(gateway, caller, Action::DescribeSecret, access)?.allowed)
}

/// The namespace whose statements a caller is shown: its own. Whoever has none, or knows of the secret by
/// RBAC, is shown those of the secret's.
fn visible_namespace<'a>(caller: &'a Caller, access: &AccessRequest<'a>, knows: &Decision) -> &'a str {
    let own = caller.principal.identity.namespace();
    own.filter(|_| !knows.rbac)
        .unwrap_or(access.path.namespace().name())
}

/// The decision about a subject, in words for a caller that knows of the secret by `knows`.
pub(in crate::gateway) fn explain_decision(
    gateway: &Gateway,
    (caller, subject): (&Caller, &Caller),
    access: &AccessRequest<'_>,
    (decision, knows): (&Decision, &Decision),
) -> Result<Explanation, Problem> {
    let key = decided_key(gateway, access, decision)?;
    let products = product::snapshot(gateway)?;
    let of_products = product::context(&products, subject, access.action, access);
    Ok(explain(
        &policy_request(subject, access.action, access, key.as_ref(), of_products),
        decision,
        visible_namespace(caller, access, knows),
    ))
}

/// The denial in one sentence, for a program, and the policies that would allow it.
pub(in crate::gateway) fn short_denial(
    gateway: &Gateway,
    caller: &Caller,
    access: &AccessRequest<'_>,
    decision: &Decision,
    object: &str,
) -> Result<(String, Vec<String>), Problem> {
    let key = decided_key(gateway, access, decision)?;
    let products = product::snapshot(gateway)?;
    let of_products = product::context(&products, caller, access.action, access);
    let request = policy_request(caller, access.action, access, key.as_ref(), of_products);
    let yaml = explain(&request, decision, access.path.namespace().name()).yaml;
    Ok((denial(&request, decision, object), yaml))
}

fn denied(
    gateway: &Gateway,
    caller: &Caller,
    access: &AccessRequest<'_>,
    decisions: (&Decision, &Decision),
) -> Result<Problem, Problem> {
    let explanation = explain_decision(gateway, (caller, caller), access, decisions)?;
    let detail = explanation.text.trim_end().replace('\n', "; ");
    Ok(Problem::new(Code::PolicyDenied, detail).with_missing(explanation.yaml))
}
