//! ListAuditRecords: `GET /v1/namespaces/{namespace}/auditrecords`, and `GET /v1/auditrecords` for all of
//! them: the records of both chains, page by page.
//!
//! Only for people: over the front the API server has already decided, by RBAC on `auditrecords`, who audits
//! which namespace. No policy of a secret gives the audit of its readers away.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::{HeaderValue, Response, header};
use axum::routing::get;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use strongroom_api::audit::AuditRecord;
use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::AuditNote;

use super::get_secret_value::invalid;
use crate::audit::{AuditPosition, page};
use crate::gateway::access::RequestContext;
use crate::gateway::operation::Operation;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::{Gateway, blocking};

/// From where on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ListAuditRecordsQuery")]
pub(in crate::gateway) struct ListAuditRecordsQuery {
    /// `next` of the page before; absent at the beginning.
    #[serde(default)]
    after: Option<String>,
}

/// The operation, for one namespace.
pub(in crate::gateway) fn operation() -> Operation {
    let path = "/v1/namespaces/{namespace}/auditrecords";
    described(Operation::new("ListAuditRecords", path, get(serve)))
}

/// The same, for all.
pub(in crate::gateway) fn operation_for_all() -> Operation {
    described(Operation::new(
        "ListAllAuditRecords",
        "/v1/auditrecords",
        get(serve),
    ))
}

fn described(operation: Operation) -> Operation {
    let answer = json!({"type": "object", "required": ["records", "next"], "properties": {
        "records": {"type": "array", "items": {"type": "object"}},
        "next": {"type": "string"},
        "heldHours": {"type": "number"},
    }});
    operation
        .about("The records of both audit chains, in pages; only over people.strongroom.dev")
        .query::<ListAuditRecordsQuery>()
        .answers_as(StatusCode::OK, "application/json", &answer)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    namespace: Option<Path<String>>,
    since: Result<Query<ListAuditRecordsQuery>, QueryRejection>,
) -> Result<Response<Body>, Problem> {
    let namespace = namespace.map(|Path(namespace)| namespace);
    if !asking.caller.via_extension_api {
        let why = "audit records are available only over people.strongroom.dev: use kubectl strongroom audit";
        return Err(Problem::new(Code::NoSuchPath, why));
    }
    let Query(since) = since.map_err(invalid)?;
    let after = since.after.as_deref().map(place).transpose()?;
    gateway.limits.take_read(&asking.caller.principal.identity)?;
    blocking(move || answer(&gateway, &asking, namespace.as_deref(), after)).await
}

/// A place as `next` says it.
fn place(text: &str) -> Result<AuditPosition, Problem> {
    text.split_once('.')
        .and_then(|(changes, reads)| {
            Some(AuditPosition {
                changes: changes.parse().ok()?,
                reads: reads.parse().ok()?,
            })
        })
        .ok_or_else(|| invalid("`after` must be the `next` of a page"))
}

fn answer(
    gateway: &Gateway,
    asking: &RequestContext,
    namespace: Option<&str>,
    after: Option<AuditPosition>,
) -> Result<Response<Body>, Problem> {
    if after.is_none() {
        // The pages after the first are not on record, or following it would never end.
        let note = AuditNote {
            outcome: AuditOutcome::Done,
            namespace: namespace.and_then(|name| name.parse().ok()),
            ..AuditNote::new(audit::Action::ReadAudit)
        };
        gateway
            .store
            .record_request(note, &asking.meta(&[]), gateway.durability)?;
    }
    let from = after.unwrap_or_default();
    let (lines, next) = if from.is_end(&gateway.store) {
        (Vec::new(), from)
    } else {
        let told = |line: &mut AuditRecord| {
            if let Some(namespace) = namespace {
                own_statements(line, namespace);
            }
            line.action != "Checkpoint" && (namespace.is_none() || line.namespace.as_deref() == namespace)
        };
        let page =
            page(&gateway.store, from, told).map_err(|why| Problem::new(Code::StoreUnavailable, why))?;
        (page.lines, page.next)
    };
    let mut body = b"{\"records\":[".to_vec();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&line.json);
    }
    body.extend_from_slice(format!("],\"next\":\"{}.{}\"", next.changes, next.reads).as_bytes());
    if let Some(hours) = gateway.held.hours() {
        body.extend_from_slice(format!(",\"heldHours\":{hours:.1}").as_bytes());
    }
    body.push(b'}');
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Leaves out the statements of other namespaces' policies: their names are told to nobody who audits one
/// namespace.
fn own_statements(line: &mut AuditRecord, namespace: &str) {
    let end = format!(" in namespace `{namespace}`");
    line.statements
        .retain(|statement| statement.ends_with(&end) || statement.starts_with("RBAC"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_audits_a_namespace_is_told_no_policy_of_another() {
        let line = serde_json::json!({
            "chain": "reads", "sequence": 7, "time": "2026-11-23T20:22:00Z", "principal": "user jane", "action": "GetSecretValue",
            "decision": "done", "namespace": "shop", "statements": [
                "statement 1 (`ours`) of SecretPolicy `p` in namespace `shop`",
                "statement 2 of SecretPolicy `merger` in namespace `team-b`",
                "RBAC: `get` on the ManagedSecret",
            ],
        });
        let mut line: AuditRecord = serde_json::from_value(line).unwrap();
        own_statements(&mut line, "shop");
        assert_eq!(
            line.statements,
            [
                "statement 1 (`ours`) of SecretPolicy `p` in namespace `shop`",
                "RBAC: `get` on the ManagedSecret",
            ]
        );
    }
}
