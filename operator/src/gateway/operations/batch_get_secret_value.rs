//! BatchGetSecretValue: `POST /v1/namespaces/{namespace}/secrets:batchGet`, at most 20 values in one answer.
//! Each is decided and recorded by itself; what fails stands beside what does not.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::{HeaderValue, Response, header};
use axum::routing::post;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use strongroom_rules::policy::Action;
use strongroom_store::name::SecretName;
use zeroize::Zeroizing;

use super::get_secret_value::{GetSecretValueQuery, ReadOutcome, invalid, read};
use super::incoming::sealed_required;
use super::shape;
use crate::gateway::access::RequestContext;
use crate::gateway::operation::Operation;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::{Gateway, blocking};

/// Most secrets of a batch.
const MAX_SECRETS: usize = 20;

/// What is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Batch")]
pub(in crate::gateway) struct BatchGetSecretValueRequest {
    secrets: Vec<BatchItem>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "BatchGetSecretValueOne")]
struct BatchItem {
    name: String,
    #[serde(default)]
    stage: Option<String>,
    #[serde(default)]
    version_id: Option<String>,
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "BatchGetSecretValue",
        "/v1/namespaces/{namespace}/secrets:batchGet",
        post(serve),
    )
    .method(Method::POST)
    .about("Values of at most 20 secrets, each decided by itself")
    .takes::<BatchGetSecretValueRequest>()
    .answers_as(
        StatusCode::OK,
        "application/json",
        &json!({"type": "object", "required": ["values", "errors"], "properties": {
            "values": {"type": "array", "items": shape::value_schema()},
            "errors": {"type": "array", "items": {"type": "object", "required": ["code", "detail"], "properties": {
                "name": {"type": "string", "description": "The secret; absent where what was asked for is no legal name."},
            }}},
        }}),
    )
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<String>, PathRejection>,
    batch: Result<Json<BatchGetSecretValueRequest>, JsonRejection>,
) -> Result<Response<Body>, Problem> {
    let Path(namespace) = path.map_err(invalid)?;
    let Json(batch) = batch.map_err(|error| match error.status() {
        axum::http::StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::TooLarge, error.body_text()),
        _ => invalid(error.body_text()),
    })?;
    if asking.caller.via_extension_api {
        return Err(sealed_required("read one at a time"));
    }
    let different: BTreeSet<(&str, Option<&str>, Option<&str>)> = batch
        .secrets
        .iter()
        .map(|one| (one.name.as_str(), one.stage.as_deref(), one.version_id.as_deref()))
        .collect();
    if batch.secrets.is_empty() || batch.secrets.len() > MAX_SECRETS || different.len() != batch.secrets.len()
    {
        return Err(invalid(format!("name 1 to {MAX_SECRETS} different secrets")));
    }
    // Each of them is a read.
    for _ in batch.secrets.iter().skip(1) {
        gateway.limits.take_read(&asking.caller.principal.identity)?;
    }
    let place = gateway.admit(&asking, Action::GetSecretValue, namespace).await?;
    blocking(move || {
        let mut values: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        let mut problems = Vec::new();
        for one in batch.secrets {
            let which = GetSecretValueQuery {
                stage: one.stage,
                version_id: one.version_id,
                ..GetSecretValueQuery::default()
            };
            match read(&gateway, &asking, &place, &one.name, &which, &[]) {
                Ok(ReadOutcome::Value(read)) => values.push(shape::value(&place.name, &one.name, &read)?),
                // Nothing is held, so nothing is unchanged.
                Ok(ReadOutcome::Unchanged(_)) => {}
                Err(problem) => {
                    let mut problem = problem.to_json(&asking.request);
                    // What is no name is not repeated.
                    let name = one.name.parse::<SecretName>();
                    if let (Ok(name), Some(fields)) = (name, problem.as_object_mut()) {
                        fields.insert("name".to_owned(), name.as_str().into());
                    }
                    problems.push(problem);
                }
            }
        }
        let room = values.iter().map(|value| value.len() + 1).sum::<usize>() + 64;
        let mut body = Zeroizing::new(Vec::with_capacity(room));
        body.extend_from_slice(b"{\"values\":[");
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(value);
        }
        body.extend_from_slice(b"],\"errors\":");
        body.extend_from_slice(serde_json::Value::from(problems).to_string().as_bytes());
        body.push(b'}');
        let mut response = Response::new(Body::from(Bytes::from_owner(body)));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    })
    .await
}
