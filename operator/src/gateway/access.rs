//! May the caller? One place where every request is decided and put on record.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use strongroom_rules::policy::{
    Action, Decision, Explanation, Request, RequestFacts, SecretRef, StatementRef, denial, explain,
};
use strongroom_store::audit::{self, Actor, AuditOutcome, Circumstances, MAX_STATEMENTS};
use strongroom_store::id::RequestId;
use strongroom_store::name::{NamespaceName, SecretName};
use strongroom_store::vault::{AuditNote, ExternalRequest, KeyView, Meta, SecretView};

use super::Gateway;
use super::authenticate::Caller;
use super::problem::{Code, Problem};
use crate::policies::DecisionError;

/// One request of one caller.
#[derive(Clone, Debug)]
pub(super) struct RequestContext {
    pub(super) caller: Arc<Caller>,
    pub(super) source: IpAddr,
    pub(super) request: RequestId,
    pub(super) now: Timestamp,
    /// When it arrived, by the monotonic clock.
    pub(super) arrived: Instant,
    pub(super) pod_labels: Option<std::collections::BTreeMap<String, String>>,
    pub(super) node_labels: Option<std::collections::BTreeMap<String, String>>,
}

impl RequestContext {
    /// Who asks, and what allowed or denied it, for the store and its record.
    pub(super) fn meta(&self, statements: &[StatementRef]) -> Meta {
        let Caller {
            principal,
            pod,
            node,
            offline,
            via_extension_api,
            may_get: _,
        } = &*self.caller;
        Meta {
            actor: Actor::Principal(principal.identity.to_string()),
            request: self.request,
            now: strongroom_store::time::Timestamp::from_millis(self.now.as_millisecond()),
            asked: Some(Box::new(ExternalRequest {
                arrived: self.arrived,
                circumstances: Circumstances {
                    source: Some(self.source),
                    pod: pod.as_ref().map(|(name, _)| name.clone()),
                    node: node.clone(),
                    offline: *offline,
                    extension_api: *via_extension_api,
                    statements: statements
                        .iter()
                        .take(MAX_STATEMENTS)
                        .map(ToString::to_string)
                        .collect(),
                    latency_micros: None,
                },
            })),
        }
    }

    /// The same, for a decision that RBAC may have made.
    pub(super) fn meta_for(&self, decision: &Decision) -> Meta {
        let mut meta = self.meta(&decision.statements);
        if let (true, Some(asked)) = (decision.rbac, meta.asked.as_mut()) {
            asked
                .circumstances
                .statements
                .push("RBAC: `get` on the ManagedSecret".to_owned());
        }
        meta
    }

    /// What is known about the request.
    pub(super) fn facts(&self) -> RequestFacts {
        RequestFacts {
            now: self.now,
            pod_labels: self.pod_labels.clone(),
            node_labels: self.node_labels.clone(),
            source: Some(self.source),
            ..RequestFacts::default()
        }
    }
}

/// The same for somebody whose token proves nothing.
pub(super) fn unauthenticated_meta(
    source: IpAddr,
    node: Option<&str>,
    request: RequestId,
    arrived: Instant,
) -> Meta {
    Meta {
        actor: Actor::Principal("unknown".to_owned()),
        request,
        now: strongroom_store::time::Timestamp::from_millis(Timestamp::now().as_millisecond()),
        asked: Some(Box::new(ExternalRequest {
            arrived,
            circumstances: Circumstances {
                source: Some(source),
                node: node.map(str::to_owned),
                ..Circumstances::default()
            },
        })),
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct AccessRequest<'a> {
    pub(super) action: Action,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    /// The secret, where there is one.
    pub(super) secret: Option<&'a SecretView>,
    /// The customer's key that a secret will come under which is not there yet.
    pub(super) new_under: Option<&'a KeyView>,
    pub(super) facts: &'a RequestFacts,
}

/// Decides, and puts a refusal on record. The answer of an allowed request is recorded by whoever gives it.
pub(super) fn authorise<'a>(
    gateway: &Gateway,
    asking: &RequestContext,
    wanted: &AccessRequest<'a>,
) -> Result<(Decision, &'a SecretView), Problem> {
    let decision = permit(gateway, asking, wanted, wanted.secret.is_some())?;
    match wanted.secret {
        Some(secret) => Ok((decision, secret)),
        None => Err(Problem::no_secret(wanted.namespace, wanted.name)),
    }
}

/// Decides about what is there, or is declared and may be made; a refusal is put on record.
///
/// INVARIANT: whoever is refused is decided about twice, whether the secret is there or not, so that the time
/// tells nobody which it is.
pub(super) fn permit(
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
                Problem::no_secret(wanted.namespace, wanted.name)
            };
            (Code::PolicyDenied, decision.statements, problem)
        }
        Ok((decision, Some(_))) => {
            let problem = Problem::no_secret(wanted.namespace, wanted.name);
            (problem.code(), decision.statements, problem)
        }
    };
    record_refusal(gateway, asking, wanted, &statements, code)?;
    Err(problem)
}

/// Puts on record that a request which policies allow is refused for another reason.
pub(super) fn refuse(
    gateway: &Gateway,
    asking: &RequestContext,
    wanted: &AccessRequest<'_>,
    statements: &[StatementRef],
    problem: Problem,
) -> Result<Problem, Problem> {
    record_refusal(gateway, asking, wanted, statements, problem.code())?;
    Ok(problem)
}

fn record_refusal(
    gateway: &Gateway,
    asking: &RequestContext,
    wanted: &AccessRequest<'_>,
    statements: &[StatementRef],
    code: Code,
) -> Result<(), Problem> {
    let note = AuditNote {
        outcome: AuditOutcome::Refused(code.as_str().to_owned()),
        namespace: wanted.namespace.parse().ok(),
        secret: wanted.name.parse().ok(),
        secret_id: wanted.secret.map(|secret| secret.id),
        detail: about_impossible_name(wanted.name),
        ..AuditNote::new(audit_action(wanted.action))
    };
    gateway
        .store
        .record_request(note, &asking.meta(statements), gateway.durability)?;
    Ok(())
}

/// Characters of a name that can be no secret's that a record keeps: a head has room for thousands.
const MAX_RECORDED_NAME: usize = 128;

/// What the record of a refusal says of a name that can be no secret's: the field of the secret's name cannot
/// hold it, and the record must not lose it.
pub(super) fn about_impossible_name(name: &str) -> String {
    match name.parse::<SecretName>() {
        Ok(_) => String::new(),
        Err(_) => {
            let start: String = name.chars().take(MAX_RECORDED_NAME).collect();
            format!("asked for `{}`", strongroom_api::visible(&start))
        }
    }
}

/// Decides alone.
///
/// INVARIANT: policies are asked about names that can be. What is none is no secret, whatever anybody may,
/// and costs no decision.
pub(super) fn decide(
    gateway: &Gateway,
    asking: &RequestContext,
    action: Action,
    wanted: &AccessRequest<'_>,
) -> Result<Decision, Problem> {
    if !are_valid_names(wanted.namespace, wanted.name) {
        return Err(Problem::no_secret(wanted.namespace, wanted.name));
    }
    let key = used_key(gateway, action, wanted)?;
    let request = request(asking, action, wanted, key.as_ref());
    let decision = gateway.policies.decide(&request).map_err(|error| match error {
        DecisionError::NotLoaded => Problem::new(Code::PoliciesUnavailable, error.to_string()).retry_after(1),
        DecisionError::EvaluationError(_) => Problem::new(Code::PolicyDenied, error.to_string()),
    })?;
    let by_rbac = wanted.secret.is_some_and(|secret| {
        let may_get = asking.caller.may_get.as_ref();
        may_get.is_some_and(|may_get| may_get.covers(wanted.namespace, secret))
    });
    Ok(if by_rbac {
        decision.or_by_rbac(action)
    } else {
        decision
    })
}

/// Whether a secret of these names can be.
fn are_valid_names(namespace: &str, name: &str) -> bool {
    namespace.parse::<NamespaceName>().is_ok() && name.parse::<SecretName>().is_ok()
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
            namespace: wanted.namespace,
            name: wanted.name,
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
pub(super) fn may_describe(
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
    own.filter(|_| !knows.rbac).unwrap_or(wanted.namespace)
}

/// The decision about a subject, in words for whoever asks and knows of the secret by `knows`.
pub(super) fn explain_decision(
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
pub(super) fn short_denial(
    gateway: &Gateway,
    asking: &RequestContext,
    wanted: &AccessRequest<'_>,
    decision: &Decision,
    object: &str,
) -> Result<(String, Vec<String>), Problem> {
    let key = used_key(gateway, wanted.action, wanted)?;
    let request = request(asking, wanted.action, wanted, key.as_ref());
    let yaml = explain(&request, decision, wanted.namespace).yaml;
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

/// The action of the record.
pub(super) fn audit_action(action: Action) -> audit::Action {
    match action {
        Action::CreateSecret => audit::Action::CreateSecret,
        Action::ListSecrets => audit::Action::ListSecrets,
        Action::UpdateSecret | Action::UpdateSecretRotationPolicy | Action::SetSecretPolicy => {
            audit::Action::UpdateSecret
        }
        Action::PutSecretValue => audit::Action::PutSecretValue,
        Action::UpdateSecretVersionStage => audit::Action::UpdateSecretVersionStage,
        Action::DeleteSecret => audit::Action::DeleteSecret,
        Action::PurgeSecret => audit::Action::PurgeSecret,
        Action::RestoreSecret => audit::Action::RestoreSecret,
        Action::ListSecretVersionIds => audit::Action::ListSecretVersionIds,
        Action::RotateSecret => audit::Action::RotateSecret,
        Action::DescribeSecret | Action::GetSecretPolicy => audit::Action::DescribeSecret,
        Action::GetSecretValue | Action::Decrypt | Action::GenerateDataKey => audit::Action::GetSecretValue,
    }
}
