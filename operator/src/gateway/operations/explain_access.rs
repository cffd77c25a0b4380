//! ExplainAccess: `GET /v1/namespaces/{namespace}/secrets/{name}/access`: why a principal gets what it gets,
//! and what is missing.
//!
//! Without `principal` it is about the caller. Whoever may not see the secret may not explain it. Labels of
//! pods and the address of another principal are not known here, and count so.

use strongroom_api::v1::{ExplainAccessAnswer, ExplainAccessQuery};
use strongroom_rules::policy::{Action, Identity, Principal, RequestFacts};
use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::{AuditNote, KeyState, SecretState};

use super::shape::time;
use crate::gateway::authenticate::Caller;
use crate::gateway::operation::Input;
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::authorise::{authorise, decide, explain_decision};
use crate::gateway::request::{
    AccessRequest, OperationContext, RequestContext, SecretPath, find, product, record,
};
use crate::gateway::{Gateway, blocking};

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, ExplainAccessQuery>,
) -> Result<ExplainAccessAnswer, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let Input {
        path,
        query: question,
        ..
    } = input;
    let action = match &question.action {
        None => Action::GetSecretValue,
        Some(text) => Action::named(text)
            .or_else(|| Action::named(&format!("secrets:{text}")))
            .filter(|action| !action.uses_key())
            .ok_or_else(|| invalid("`action` is like `GetSecretValue`"))?,
    };
    blocking(move || answer(&gateway, &request, &path, action, &question)).await
}

fn answer(
    gateway: &Gateway,
    request: &RequestContext,
    path: &SecretPath,
    action: Action,
    question: &ExplainAccessQuery,
) -> Result<ExplainAccessAnswer, Problem> {
    let namespace = path.namespace().name();
    let found = find::secret(gateway, path)?;
    let facts = request.facts();
    let sees = AccessRequest::of_found(Action::DescribeSecret, &found, &facts);
    let authorised = authorise(gateway, request, &sees)?;
    let (knows, view) = (authorised.decision(), authorised.secret());
    let caller = &**request.caller();
    let subject = match &question.principal {
        None => caller.clone(),
        Some(text) => named(text),
    };
    if knows.rbac && !asks_by_rbac(caller, &subject, namespace) {
        let why = format!(
            "RBAC lets you ask about yourself and about ServiceAccounts of namespace `{namespace}`; to ask about others, a SecretPolicy has to \
             allow you secrets:DescribeSecret on secret `{}`",
            path.name()
        );
        return Err(record::refuse(
            gateway,
            request,
            &sees,
            &[],
            Problem::new(Code::PolicyDenied, why),
        )?);
    }
    let stage = question.stage.as_deref().unwrap_or("Current");
    let known = request.facts();
    let known = match question.principal {
        None => known,
        Some(_) => RequestFacts {
            pod_labels: None,
            node_labels: None,
            source: None,
            ..known
        },
    };
    let facts = RequestFacts {
        stages: [stage.to_owned()].into(),
        version: stage
            .parse()
            .ok()
            .and_then(|stage| view.stages.get(&stage))
            .map(ToString::to_string),
        ..known
    };
    let access = AccessRequest {
        action,
        facts: &facts,
        ..sees
    };
    let decision = decide(gateway, &subject, action, &access)?;
    let explanation = explain_decision(gateway, (caller, &subject), &access, (&decision, knows))?;
    let matrix = product::check_for(gateway, &subject, request.listener().facts(), &access)?;
    let owner = product::describe(gateway, &subject, &access)?;
    let note = AuditNote {
        outcome: AuditOutcome::Done,
        namespace: path.namespace().parsed().cloned(),
        secret: Some(view.name.clone()),
        secret_id: Some(view.id),
        detail: format!("{action} for {}", subject.principal.identity),
        ..AuditNote::new(audit::Action::ExplainAccess)
    };
    record::now(gateway, note, &request.meta(&[]))?;
    Ok(ExplainAccessAnswer {
        allowed: decision.allowed && matrix.is_ok(),
        principal: subject.principal.identity.to_string(),
        action: action.as_str().into(),
        explanation: match &matrix {
            Ok(()) => explanation.text,
            // The matrix comes first: what policies say changes nothing of it.
            Err(refusal) => format!(
                "denied: {} (before any policy)\nof policies alone it would be {}",
                refusal.detail(),
                explanation.text
            ),
        },
        statements: explanation.statements,
        by_rbac: decision.rbac,
        missing_policies: if matrix.is_ok() {
            explanation.yaml
        } else {
            Vec::new()
        },
        product: owner,
        key: gateway.key(view)?.map(|key| {
            let name = key.name;
            match key.state {
                KeyState::Enabled => format!("EncryptionKey `{name}` is enabled"),
                KeyState::Disabled => format!(
                    "EncryptionKey `{name}` is disabled, so no value under it can be read or written; set `spec.enabled: true`"
                ),
                KeyState::PendingDeletion { until } => format!(
                    "the key `{name}` will be destroyed at {}, and no value under it can be read or written; apply the EncryptionKey again",
                    time(until)
                ),
                KeyState::Destroyed => format!("the key `{name}` was destroyed, and with it everything encrypted under it"),
            }
        }),
        secret: match view.state {
            SecretState::Live => "it is live".to_owned(),
            SecretState::PendingDeletion { until, .. } => format!(
                "it is in its recovery window until {} and its value cannot be read; restore it",
                time(until)
            ),
        },
    })
}

/// Whether somebody who knows of the secret by RBAC alone may ask about this one: about oneself, and about
/// ServiceAccounts of the namespace.
fn asks_by_rbac(caller: &Caller, subject: &Caller, namespace: &str) -> bool {
    let identity = &subject.principal.identity;
    *identity == caller.principal.identity || identity.namespace() == Some(namespace)
}

/// Somebody else, of whom only the name is known.
fn named(principal: &str) -> Caller {
    let identity = match principal.split_once('/') {
        Some((namespace, name)) if !principal.contains(':') => Identity::ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        _ => Identity::from_username(principal),
    };
    let groups = match &identity {
        Identity::ServiceAccount { namespace, .. } => vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ],
        Identity::User(_) => vec!["system:authenticated".to_owned()],
    };
    Caller {
        principal: Principal { identity, groups },
        pod: None,
        node: None,
        offline: false,
        via_extension_api: false,
        may_get: None,
    }
}
