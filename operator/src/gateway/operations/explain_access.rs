//! ExplainAccess: `GET /v1/namespaces/{namespace}/secrets/{name}/access`: why a principal gets what it gets,
//! and what is missing.
//!
//! Without `principal` it is about the caller. Whoever may not see the secret may not explain it. Labels of
//! pods and the address of another principal are not known here, and count so.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_rules::policy::{Action, Identity, Principal, RequestFacts};
use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::{AuditNote, KeyState, SecretState};

use super::get_secret_value::invalid;
use super::shape::time;
use crate::gateway::access::{AccessRequest, RequestContext, authorise, decide, explain_decision, refuse};
use crate::gateway::authenticate::Caller;
use crate::gateway::operation::{Operation, VERSION_ID_PATTERN};
use crate::gateway::problem::{Code, Problem};
use crate::gateway::{Gateway, NamespaceRef, blocking};

/// What is to be explained.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Question")]
pub(in crate::gateway) struct ExplainAccessQuery {
    #[serde(default)]
    action: Option<String>,
    /// `namespace/serviceaccount`, or a user as the API server knows him.
    #[serde(default)]
    principal: Option<String>,
    /// Stage of the version that would be read.
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    stage: Option<String>,
}

/// The answer to "why?".
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Explained")]
pub(in crate::gateway) struct ExplainAccessAnswer {
    allowed: bool,
    principal: String,
    action: &'static str,
    /// In words, one sentence a line.
    explanation: String,
    /// Statements that decided, as far as the caller may see them.
    statements: Vec<String>,
    /// RBAC alone allows it: `get` on the ManagedSecret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    by_rbac: bool,
    /// SecretPolicies that would allow it, as YAML.
    missing_policies: Vec<String>,
    /// What the secret itself says to such a request.
    secret: String,
    /// What the customer's key that it lies under says to it; absent where it lies under none.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "ExplainAccess",
        "/v1/namespaces/{namespace}/secrets/{name}/access",
        get(serve),
    )
    .about("Why a principal gets what it gets, and what is missing")
    .query::<ExplainAccessQuery>()
    .answers::<ExplainAccessAnswer>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<(String, String)>, PathRejection>,
    question: Result<Query<ExplainAccessQuery>, QueryRejection>,
) -> Result<Json<ExplainAccessAnswer>, Problem> {
    let Path((namespace, name)) = path.map_err(invalid)?;
    let Query(question) = question.map_err(invalid)?;
    let action = match &question.action {
        None => Action::GetSecretValue,
        Some(text) => Action::named(text)
            .or_else(|| Action::named(&format!("secrets:{text}")))
            .filter(|action| !action.uses_key())
            .ok_or_else(|| invalid("`action` is like `GetSecretValue`"))?,
    };
    let place = gateway.admit(&asking, Action::DescribeSecret, namespace).await?;
    blocking(move || answer(&gateway, &asking, &place, &name, action, &question).map(Json)).await
}

fn answer(
    gateway: &Gateway,
    asking: &RequestContext,
    place: &NamespaceRef,
    name: &str,
    action: Action,
    question: &ExplainAccessQuery,
) -> Result<ExplainAccessAnswer, Problem> {
    let secret = gateway.find(place, name)?;
    let facts = asking.facts();
    let sees = AccessRequest {
        action: Action::DescribeSecret,
        namespace: &place.name,
        name,
        secret: secret.as_deref(),
        new_under: None,
        facts: &facts,
    };
    let (knows, view) = authorise(gateway, asking, &sees)?;
    let subject = match &question.principal {
        None => asking.clone(),
        Some(text) => about(asking, text),
    };
    if knows.rbac && !asks_by_rbac(asking, &subject, &place.name) {
        let why = format!(
            "RBAC lets you ask about yourself and about ServiceAccounts of namespace `{}`; to ask about others, a SecretPolicy has to allow you \
             secrets:DescribeSecret on secret `{name}`",
            place.name
        );
        return Err(refuse(
            gateway,
            asking,
            &sees,
            &[],
            Problem::new(Code::PolicyDenied, why),
        )?);
    }
    let stage = question.stage.as_deref().unwrap_or("Current");
    let facts = RequestFacts {
        stages: [stage.to_owned()].into(),
        version: stage
            .parse()
            .ok()
            .and_then(|stage| view.stages.get(&stage))
            .map(ToString::to_string),
        source: question.principal.is_none().then_some(asking.source),
        ..subject.facts()
    };
    let wanted = AccessRequest {
        action,
        facts: &facts,
        ..sees
    };
    let decision = decide(gateway, &subject, action, &wanted)?;
    let explanation = explain_decision(gateway, (asking, &subject), &wanted, (&decision, &knows))?;
    let note = AuditNote {
        outcome: AuditOutcome::Done,
        namespace: place.name.parse().ok(),
        secret: Some(view.name.clone()),
        secret_id: Some(view.id),
        detail: format!("{action} for {}", subject.caller.principal.identity),
        ..AuditNote::new(audit::Action::ExplainAccess)
    };
    gateway
        .store
        .record_request(note, &asking.meta(&[]), gateway.durability)?;
    Ok(ExplainAccessAnswer {
        allowed: decision.allowed,
        principal: subject.caller.principal.identity.to_string(),
        action: action.as_str(),
        explanation: explanation.text,
        statements: explanation.statements,
        by_rbac: decision.rbac,
        missing_policies: explanation.yaml,
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
fn asks_by_rbac(asking: &RequestContext, subject: &RequestContext, namespace: &str) -> bool {
    let identity = &subject.caller.principal.identity;
    *identity == asking.caller.principal.identity || identity.namespace() == Some(namespace)
}

/// Somebody else, of whom only the name is known.
fn about(asking: &RequestContext, principal: &str) -> RequestContext {
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
    RequestContext {
        caller: Arc::new(Caller {
            principal: Principal { identity, groups },
            pod: None,
            node: None,
            offline: false,
            via_extension_api: false,
            may_get: None,
        }),
        pod_labels: None,
        node_labels: None,
        ..asking.clone()
    }
}
