//! BatchGetSecretValue: `POST /v1/namespaces/{namespace}/secrets:batchGet`, at most 20 values in one answer.
//! Each is authorised and audited separately; the answer has failures beside values.

use std::collections::BTreeSet;

use serde::Serialize;
use strongroom_api::v1::{BatchGetSecretValueRequest, BatchItem, GetSecretValueQuery, ProblemDocument};
use strongroom_model::name::SecretName;
use strongroom_store::vault::OpenedValue;
use zeroize::Zeroizing;

use super::incoming::sealed_required;
use super::shape;
use super::value_read::{ReadOutcome, read};
use crate::gateway::blocking;
use crate::gateway::operation::{Answer, AnswerBody, Input, NoQuery, Success};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::{Cost, NamespaceRef, OperationContext, SecretPath, limit};

/// Most secrets of a batch.
const MAX_SECRETS: usize = 20;

/// Why a secret of a batch is not among the values.
#[derive(Debug, Serialize)]
struct BatchFailure {
    #[serde(flatten)]
    problem: ProblemDocument,
    /// What is no name is not repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

pub(super) async fn run(
    context: OperationContext,
    input: Input<NamespaceRef, NoQuery, BatchGetSecretValueRequest>,
) -> Result<Answer, Problem> {
    let OperationContext {
        gateway,
        request,
        slot,
    } = context;
    let Input {
        path: namespace,
        body: BatchGetSecretValueRequest { secrets },
        ..
    } = input;
    if request.caller().via_extension_api {
        return Err(sealed_required("read one at a time"));
    }
    let different: BTreeSet<(&str, Option<&str>, Option<&str>)> = secrets
        .iter()
        .map(|one| (one.name.as_str(), one.stage.as_deref(), one.version_id.as_deref()))
        .collect();
    if secrets.is_empty() || secrets.len() > MAX_SECRETS || different.len() != secrets.len() {
        return Err(invalid(format!("name 1 to {MAX_SECRETS} different secrets")));
    }
    // Each of them is a read; the first one is paid for.
    for _ in secrets.iter().skip(1) {
        limit::limit(&request, Cost::Read)?;
    }
    blocking(move || {
        let mut values: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        let mut failures = Vec::new();
        let mut bytes = 0;
        for BatchItem {
            name,
            stage,
            version_id,
        } in secrets
        {
            let which = GetSecretValueQuery {
                stage,
                version_id,
                ..GetSecretValueQuery::default()
            };
            let path = SecretPath::new(namespace.clone(), name);
            let answer =
                |opened: &OpenedValue<'_>| shape::value(path.namespace().name(), path.name(), opened);
            match read(&gateway, &request, &path, &which, &[], answer) {
                Ok(ReadOutcome::Value(value)) => {
                    // Before the next one is opened: many batches at once hold no more than they may.
                    bytes += value.len();
                    let capacity = &request.listener().capacity;
                    capacity.reserve_answer(&slot, request.caller(), bytes)?;
                    values.push(value);
                }
                // Nothing is held, so nothing is unchanged.
                Ok(ReadOutcome::Unchanged(_)) => {}
                Err(problem) => failures.push(BatchFailure {
                    problem: problem.to_document(&request.id()),
                    name: path.parsed().map(SecretName::to_string),
                }),
            }
        }
        let failures = serde_json::to_vec(&failures)
            .map_err(|error| Problem::new(Code::StoreUnavailable, error.to_string()))?;
        Ok(Answer::new(
            Success::Done,
            AnswerBody::ValueJson(document(&values, &failures)),
        ))
    })
    .await
}

/// The JSON of both, in a buffer that never grows and is wiped.
fn document(values: &[Zeroizing<Vec<u8>>], failures: &[u8]) -> Zeroizing<Vec<u8>> {
    let room = values.iter().map(|value| value.len() + 1).sum::<usize>() + failures.len() + 64;
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    body.extend_from_slice(b"{\"values\":[");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(value);
    }
    body.extend_from_slice(b"],\"errors\":");
    body.extend_from_slice(failures);
    body.push(b'}');
    body
}
