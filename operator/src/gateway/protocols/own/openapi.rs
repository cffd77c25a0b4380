//! The OpenAPI 3.1 document of the API (<https://spec.openapis.org/oas/v3.1.1.html>), made of the operations
//! and of the types that they read and write.

use axum::http::StatusCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use strongroom_api::v1::{DNS_LABEL_PATTERN, ProblemDocument, SECRET_NAME_PATTERN, VERSION_ID_PATTERN};

use super::http;
use super::problem_document::status;
use crate::gateway::operation::{Content, Operation, ResponseSpec};
use crate::gateway::problem::Code;

/// Makes the OpenAPI 3.1 document of these operations: `docs/openapi.json`.
pub(super) fn document(operations: &[Operation]) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<ProblemDocument>().to_value();
    let mut paths = Map::new();
    for operation in operations {
        let described = described(operation, &problem, &mut generator);
        let path = paths
            .entry(operation.path)
            .or_insert_with(|| json!({"parameters": parameters(operation.path)}));
        if let Some(path) = path.as_object_mut() {
            let verb = http::method(operation.verb).as_str().to_lowercase();
            path.insert(verb, described);
        }
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Strongroom",
            "version": "v1",
            "summary": "Secrets over HTTPS, under policies, audited",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "https://strongroom-gateway.strongroom.svc"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "a token of this cluster for the audience `strongroom.dev`, such as a projected ServiceAccount token",
            }},
            "schemas": generator.take_definitions(true),
        },
    })
}

/// Those that stand in the path.
fn parameters(path: &str) -> Vec<Value> {
    let names = path
        .split('{')
        .skip(1)
        .filter_map(|part| Some(part.split_once('}')?.0));
    names
        .map(|name| {
            let (about, pattern) = match name {
                "namespace" => ("the namespace", DNS_LABEL_PATTERN),
                "name" => (
                    "the secret's name in the store; a `/` in it is written `%2F`",
                    SECRET_NAME_PATTERN,
                ),
                "version" => (
                    "the version's id, of the caller's choice: the idempotency token of the write",
                    VERSION_ID_PATTERN,
                ),
                _ => ("the stage", VERSION_ID_PATTERN),
            };
            json!({
                "name": name, "in": "path", "required": true, "description": about,
                "schema": {"type": "string", "pattern": pattern},
            })
        })
        .collect()
}

fn described(operation: &Operation, problem: &Value, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for ResponseSpec { success, content } in &operation.answers {
        let status = http::status(*success);
        let content: Map<String, Value> = content
            .iter()
            .map(|(kind, content)| {
                let schema = match content {
                    Content::Schema(schema) => schema(generator),
                    Content::Literal(schema) => schema.clone(),
                };
                ((*kind).to_owned(), json!({"schema": schema}))
            })
            .collect();
        let mut answer = json!({"description": status.canonical_reason().unwrap_or_default()});
        if let (false, Some(answer)) = (content.is_empty(), answer.as_object_mut()) {
            answer.insert("content".to_owned(), Value::Object(content));
        }
        responses.insert(status.as_u16().to_string(), answer);
    }
    for (status, codes) in refusals() {
        let answer = json!({
            "description": codes.join(", "),
            "content": {"application/problem+json": {"schema": problem}},
        });
        responses.insert(status.as_u16().to_string(), answer);
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.about,
        "responses": responses,
    });
    let Some(fields) = described.as_object_mut() else {
        return described;
    };
    if let Some(query) = operation.query {
        fields.insert(
            "parameters".to_owned(),
            Value::Array(query_parameters(query(generator), generator)),
        );
    }
    if let Some(body) = operation.body {
        let schema = body(generator);
        fields.insert(
            "requestBody".to_owned(),
            json!({"required": true, "content": {"application/json": {"schema": schema}}}),
        );
    }
    described
}

/// The statuses of refusals, each with its codes. Any operation may give any of them, but for those that
/// speak of damage.
fn refusals() -> Vec<(StatusCode, Vec<&'static str>)> {
    let mut refusals: Vec<(StatusCode, Vec<&'static str>)> = Vec::new();
    for code in Code::ALL {
        let status = status(*code);
        match refusals.iter_mut().find(|(known, _)| *known == status) {
            Some((_, codes)) => codes.push(code.as_str()),
            None => refusals.push((status, vec![code.as_str()])),
        }
    }
    refusals
}

/// The fields of a type as parameters.
fn query_parameters(schema: Value, generator: &SchemaGenerator) -> Vec<Value> {
    let name = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('/').next());
    let schema = name
        .and_then(|name| generator.definitions().get(name))
        .cloned()
        .unwrap_or(schema);
    let fields = schema
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    fields
        .into_iter()
        .map(|(name, mut schema)| {
            let about = schema
                .as_object_mut()
                .and_then(|schema| schema.remove("description"))
                .unwrap_or_default();
            // Absent is how nothing is said in a query.
            if let Some(kinds) = schema.get_mut("type").filter(|kinds| kinds.is_array()) {
                *kinds = kinds.get(0).cloned().unwrap_or_default();
            }
            json!({"name": name, "in": "query", "required": false, "description": about, "schema": schema})
        })
        .collect()
}
