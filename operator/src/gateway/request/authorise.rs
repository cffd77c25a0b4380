//! The fourth station: may the caller? Every request is decided here, a read of a value as everything else,
//! and a refusal is on record before it is told.

use strongroom_rules::policy::{
    Action, Decision, Explanation, Request, RequestFacts, SecretRef, denial, explain,
};
use strongroom_store::vault::{KeyView, Meta, SecretView};

use super::context::RequestContext;
use super::find::{FoundSecret, SecretPath};
use super::record;
use crate::gateway::authenticate::Caller;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::state::Gateway;
use crate::policies::DecisionError;

/// What is asked for.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct AccessRequest<'a> {
    pub(in crate::gateway) action: Action,
    pub(in crate::gateway) path: &'a SecretPath,
    /// The secret, where there is one.
    pub(in crate::gateway) secret: Option<&'a SecretView>,
    /// The customer's key that a secret will come under which is not there yet.
    pub(in crate::gateway) new_under: Option<&'a KeyView>,
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
            new_under: None,
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

/// Decides, and puts a refusal on record. The answer of an allowed request is recorded by whoever gives it.
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

/// Decides about what is there, or is declared and may be made; a refusal is put on record.
///
/// INVARIANT: whoever is refused is decided about twice, whether the secret is there or not, so that the time
/// tells nobody which it is.
pub(in crate::gateway) fn permit(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'_>,
    exists: bool,
) -> Result<Decision, Problem> {
    let caller = request.caller();
    let decided = decide(gateway, caller, access.action, access).and_then(|decision| {
        if exists && decision.allowed {
            return Ok((decision, None));
        }
        let knows = decide(gateway, caller, Action::DescribeSecret, access)?;
        Ok((decision, Some(knows)))
    });
    let (code, statements, problem) = match decided {
        Err(problem) => (problem.code(), Vec::new(), problem),
        Ok((decision, None)) => return Ok(decision),
        // A caller that may not know of the secret is not told, the record is.
        Ok((decision, Some(knows))) if exists => {
            let problem = if knows.allowed {
                denied(gateway, caller, access, (&decision, &knows))?
            } else {
                Problem::no_secret(access.path)
            };
            (Code::PolicyDenied, decision.statements, problem)
        }
        Ok((decision, Some(_))) => {
            let problem = Problem::no_secret(access.path);
            (problem.code(), decision.statements, problem)
        }
    };
    record::refusal(gateway, request, access, &statements, code)?;
    Err(problem)
}

/// Decides alone, about a caller or about somebody who is asked about.
///
/// INVARIANT: policies are asked about names that can be. What is none is no secret, whatever anybody may,
/// and costs no decision.
pub(in crate::gateway) fn decide(
    gateway: &Gateway,
    caller: &Caller,
    action: Action,
    access: &AccessRequest<'_>,
) -> Result<Decision, Problem> {
    if !access.path.is_possible() {
        return Err(Problem::no_secret(access.path));
    }
    let key = used_key(gateway, action, access)?;
    let request = policy_request(caller, action, access, key.as_ref());
    let decision = gateway.policies.decide(&request).map_err(|error| match error {
        DecisionError::NotLoaded => Problem::new(Code::PoliciesUnavailable, error.to_string()).retry_after(1),
        DecisionError::EvaluationError(_) => Problem::new(Code::PolicyDenied, error.to_string()),
    })?;
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
        Action::CreateSecret | Action::PutSecretValue | Action::RotateSecret => Some(Action::GenerateDataKey),
        Action::ListSecrets
        | Action::DescribeSecret
        | Action::UpdateSecret
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
fn used_key(
    gateway: &Gateway,
    action: Action,
    access: &AccessRequest<'_>,
) -> Result<Option<(Action, KeyView)>, Problem> {
    let Some(use_of_key) = use_of_key(action) else {
        return Ok(None);
    };
    let key = match access.secret {
        Some(secret) => gateway.key(secret)?,
        None => access.new_under.cloned(),
    };
    Ok(key.map(|key| (use_of_key, key)))
}

fn policy_request<'a>(
    caller: &'a Caller,
    action: Action,
    access: &AccessRequest<'a>,
    key: Option<&'a (Action, KeyView)>,
) -> Request<'a> {
    Request {
        principal: &caller.principal,
        action,
        secret: SecretRef {
            namespace: access.path.namespace().name(),
            name: access.path.name(),
        },
        key: key.map(|(use_of_key, key)| (*use_of_key, key.name.as_str())),
        owner: access
            .secret
            .and_then(|secret| secret.object.as_ref())
            .map(|object| object.uid.as_str()),
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
    let key = used_key(gateway, access.action, access)?;
    Ok(explain(
        &policy_request(subject, access.action, access, key.as_ref()),
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
    let key = used_key(gateway, access.action, access)?;
    let request = policy_request(caller, access.action, access, key.as_ref());
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
