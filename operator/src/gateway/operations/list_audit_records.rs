//! ListAuditRecords: `GET /v1/namespaces/{namespace}/auditrecords`, and `GET /v1/auditrecords` for all of
//! them: the records of both chains, page by page.
//!
//! Only over the extension API, where the API server has already decided, by RBAC on `auditrecords`, who may
//! audit which namespace. No policy of a secret can grant it.

use strongroom_api::audit::AuditRecord;
use strongroom_api::v1::ListAuditRecordsQuery;
use strongroom_store::audit;
use strongroom_store::vault::AuditNote;

use crate::audit::{AuditPosition, page};
use crate::gateway::operation::{Answer, AnswerBody, Everywhere, Input, NamespaceText, Success};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::{OperationContext, RequestContext, record};
use crate::gateway::{Gateway, blocking};

/// What others than people are told.
pub(super) const ELSEWHERE: &str =
    "audit records are available only over people.strongroom.dev: use kubectl strongroom audit";

/// Those of one namespace.
pub(super) async fn run(
    context: OperationContext,
    input: Input<NamespaceText, ListAuditRecordsQuery>,
) -> Result<Answer, Problem> {
    let NamespaceText(namespace) = input.path;
    list(context, Some(namespace), input.query).await
}

/// The records of every namespace.
pub(super) async fn run_for_all(
    context: OperationContext,
    input: Input<Everywhere, ListAuditRecordsQuery>,
) -> Result<Answer, Problem> {
    list(context, None, input.query).await
}

async fn list(
    context: OperationContext,
    namespace: Option<String>,
    since: ListAuditRecordsQuery,
) -> Result<Answer, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let after = since.after.as_deref().map(place).transpose()?;
    blocking(move || answer(&gateway, &request, namespace.as_deref(), after)).await
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
    request: &RequestContext,
    namespace: Option<&str>,
    after: Option<AuditPosition>,
) -> Result<Answer, Problem> {
    if after.is_none() {
        // The pages after the first are not audited, or following it would never end.
        let note = AuditNote {
            namespace: namespace.and_then(|name| name.parse().ok()),
            ..AuditNote::new(audit::Action::ReadAudit)
        };
        record::now(gateway, note, &request.meta(&[]))?;
    }
    let from = after.unwrap_or_default();
    let (lines, next) = if from.is_end(&gateway.store) {
        (Vec::new(), from)
    } else {
        let is_shown = |line: &mut AuditRecord| {
            if let Some(namespace) = namespace {
                own_statements(line, namespace);
            }
            line.action != "Checkpoint" && (namespace.is_none() || line.namespace.as_deref() == namespace)
        };
        let page =
            page(&gateway.store, from, is_shown).map_err(|why| Problem::new(Code::StoreUnavailable, why))?;
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
    if let Some(hours) = gateway.audit_hours.hours() {
        body.extend_from_slice(format!(",\"heldHours\":{hours:.1}").as_bytes());
    }
    body.push(b'}');
    Ok(Answer::new(Success::Done, AnswerBody::Json(body)))
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
            "decision": "allowed", "outcome": "success", "namespace": "shop", "statements": [
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
