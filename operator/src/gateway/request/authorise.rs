//! The fourth station: may the caller? Every request is decided here, a read of a value as everything else,
//! and a refusal is on record before it is told.

use strongroom_rules::policy::{
    Action, Decision, Explanation, Request, RequestFacts, SecretRef, denial, explain,
};
use strongroom_store::vault::{KeyView, Meta, SecretView};

use super::context::RequestContext;
use super::find::{FoundSecret, SecretPath};
use super::record;
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
    pub(in crate::gateway) fn meta(&self, asking: &RequestContext) -> Meta {
        asking.meta(&self.decision.statements)
    }
}

/// Decides, and puts a refusal on record. The answer of an allowed request is recorded by whoever gives it.
pub(in crate::gateway) fn authorise<'a>(
    gateway: &Gateway,
    asking: &RequestContext,
    wanted: &AccessRequest<'a>,
) -> Result<Authorised<'a>, Problem> {
    let decision = permit(gateway, asking, wanted, wanted.secret.is_some())?;
    match wanted.secret {
        Some(secret) => Ok(Authorised {
            action: wanted.action,
            path: wanted.path,
            secret,
            decision,
        }),
        None => Err(Problem::no_secret(wanted.path)),
    }
}

/// Decides about what is there, or is declared and may be made; a refusal is put on record.
///
/// INVARIANT: whoever is refused is decided about twice, whether the secret is there or not, so that the time
/// tells nobody which it is.
pub(in crate::gateway) fn permit(
    gateway: &Gateway,
    asking: &RequestContext,
    wanted: &AccessRequest<'_>,
    exists: bool,
) -> Result<Decision, Problem> {
    let decided = decide(gateway, asking, wanted.action, wanted).and_then(|decision| {
        if exists && decision.allowed {
            return Ok((decision, None));
        }
        let knows = decide(gateway, asking, Action::DescribeSecret, wanted)?;
        Ok((decision, Some(knows)))
    });
    let (code, statements, problem) = match decided {
        Err(problem) => (problem.code(), Vec::new(), problem),
        Ok((decision, None)) => return Ok(decision),
        // A caller that may not know of the secret is not told, the record is.
        Ok((decision, Some(knows))) if exists => {
            let problem = if knows.allowed {
                denied(gateway, asking, wanted, (&decision, &knows))?
            } else {
                Problem::no_secret(wanted.path)
            };
            (Code::PolicyDenied, decision.statements, problem)
        }
        Ok((decision, Some(_))) => {
            let problem = Problem::no_secret(wanted.path);
            (problem.code(), decision.statements, problem)
        }
    };
    record::refusal(gateway, asking, wanted, &statements, code)?;
    Err(problem)
}

/// Decides alone.
///
/// INVARIANT: policies are asked about names that can be. What is none is no secret, whatever anybody may,
/// and costs no decision.
pub(in crate::gateway) fn decide(
    gateway: &Gateway,
    asking: &RequestContext,
    action: Action,
    wanted: &AccessRequest<'_>,
) -> Result<Decision, Problem> {
    if !wanted.path.is_possible() {
        return Err(Problem::no_secret(wanted.path));
    }
    let key = used_key(gateway, action, wanted)?;
    let request = request(asking, action, wanted, key.as_ref());
    let decision = gateway.policies.decide(&request).map_err(|error| match error {
        DecisionError::NotLoaded => Problem::new(Code::PoliciesUnavailable, error.to_string()).retry_after(1),
        DecisionError::EvaluationError(_) => Problem::new(Code::PolicyDenied, error.to_string()),
    })?;
    let by_rbac = wanted.secret.is_some_and(|secret| {
        let may_get = asking.caller.may_get.as_ref();
        may_get.is_some_and(|may_get| may_get.covers(wanted.path.namespace().name(), secret))
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
    wanted: &AccessRequest<'_>,
) -> Result<Option<(Action, KeyView)>, Problem> {
    let Some(use_of_key) = use_of_key(action) else {
        return Ok(None);
    };
    let key = match wanted.secret {
        Some(secret) => gateway.key(secret)?,
        None => wanted.new_under.cloned(),
    };
    Ok(key.map(|key| (use_of_key, key)))
}

fn request<'a>(
    asking: &'a RequestContext,
    action: Action,
    wanted: &AccessRequest<'a>,
    key: Option<&'a (Action, KeyView)>,
) -> Request<'a> {
    Request {
        principal: &asking.caller.principal,
        action,
        secret: SecretRef {
            namespace: wanted.path.namespace().name(),
            name: wanted.path.name(),
        },
        key: key.map(|(use_of_key, key)| (*use_of_key, key.name.as_str())),
        owner: wanted
            .secret
            .and_then(|secret| secret.object.as_ref())
            .map(|object| object.uid.as_str()),
        facts: wanted.facts,
    }
}

/// Whether the caller may know that the secret exists.
pub(in crate::gateway) fn may_describe(
    gateway: &Gateway,
    asking: &RequestContext,
    wanted: &AccessRequest<'_>,
) -> Result<bool, Problem> {
    Ok(decide(gateway, asking, Action::DescribeSecret, wanted)?.allowed)
}

/// The namespace whose statements a caller is shown: its own. Whoever has none, or knows of the secret by
/// RBAC, is shown those of the secret's.
fn visible_namespace<'a>(
    asking: &'a RequestContext,
    wanted: &AccessRequest<'a>,
    knows: &Decision,
) -> &'a str {
    let own = asking.caller.principal.identity.namespace();
    own.filter(|_| !knows.rbac)
        .unwrap_or(wanted.path.namespace().name())
}

/// The decision about a subject, in words for whoever asks and knows of the secret by `knows`.
pub(in crate::gateway) fn explain_decision(
    gateway: &Gateway,
    (asking, subject): (&RequestContext, &RequestContext),
    wanted: &AccessRequest<'_>,
    (decision, knows): (&Decision, &Decision),
) -> Result<Explanation, Problem> {
    let key = used_key(gateway, wanted.action, wanted)?;
    Ok(explain(
        &request(subject, wanted.action, wanted, key.as_ref()),
        decision,
        visible_namespace(asking, wanted, knows),
    ))
}

/// The denial in one sentence, for a program, and the policies that would allow it.
pub(in crate::gateway) fn short_denial(
    gateway: &Gateway,
    asking: &RequestContext,
    wanted: &AccessRequest<'_>,
    decision: &Decision,
    object: &str,
) -> Result<(String, Vec<String>), Problem> {
    let key = used_key(gateway, wanted.action, wanted)?;
    let request = request(asking, wanted.action, wanted, key.as_ref());
    let yaml = explain(&request, decision, wanted.path.namespace().name()).yaml;
    Ok((denial(&request, decision, object), yaml))
}

fn denied(
    gateway: &Gateway,
    asking: &RequestContext,
    wanted: &AccessRequest<'_>,
    decisions: (&Decision, &Decision),
) -> Result<Problem, Problem> {
    let explanation = explain_decision(gateway, (asking, asking), wanted, decisions)?;
    let detail = explanation.text.trim_end().replace('\n', "; ");
    Ok(Problem::new(Code::PolicyDenied, detail).with_missing(explanation.yaml))
}
