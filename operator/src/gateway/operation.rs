//! What an operation is to the outside: method, path, what it takes and what it answers. The router and the
//! OpenAPI document are both made of these, so that neither has what the other lacks.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use axum::routing::MethodRouter;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};
pub(super) use strongroom_rules::value::SECRET_NAME_PATTERN;

use super::Gateway;

/// Makes a schema, and puts what it refers to among the document's.
type SchemaFn = fn(&mut SchemaGenerator) -> Value;

/// What router and OpenAPI document are made of.
#[derive(Clone)]
pub(super) struct Operation {
    pub(super) id: &'static str,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) handler: MethodRouter<Arc<Gateway>>,
    pub(super) about: &'static str,
    pub(super) query: Option<SchemaFn>,
    pub(super) body: Option<SchemaFn>,
    pub(super) answers: Vec<ResponseSpec>,
}

/// One way in which it succeeds.
#[derive(Clone)]
pub(super) struct ResponseSpec {
    pub(super) status: StatusCode,
    /// None: there is no body.
    pub(super) content: Vec<(&'static str, Content)>,
}

/// The form of a body.
#[derive(Clone)]
pub(super) enum Content {
    Schema(SchemaFn),
    Literal(Value),
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

impl Operation {
    /// An operation that reads.
    pub(super) fn new(id: &'static str, path: &'static str, handler: MethodRouter<Arc<Gateway>>) -> Self {
        Self {
            id,
            method: Method::GET,
            path,
            handler,
            about: "",
            query: None,
            body: None,
            answers: Vec::new(),
        }
    }

    /// By another method than GET.
    pub(super) fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// What it does.
    pub(super) fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Its parameters: the fields of `T`.
    pub(super) fn query<T: JsonSchema>(self) -> Self {
        Self {
            query: Some(schema_of::<T>),
            ..self
        }
    }

    /// Its body, as JSON.
    pub(super) fn takes<T: JsonSchema>(self) -> Self {
        Self {
            body: Some(schema_of::<T>),
            ..self
        }
    }

    /// What it answers, as JSON.
    pub(super) fn answers<T: JsonSchema>(self, status: StatusCode) -> Self {
        self.answer(status, "application/json", Content::Schema(schema_of::<T>))
    }

    /// What it answers, in another form. Several forms of one status are alternatives.
    pub(super) fn answers_as(self, status: StatusCode, kind: &'static str, schema: &Value) -> Self {
        self.answer(status, kind, Content::Literal(schema.clone()))
    }

    /// What it answers without a body.
    pub(super) fn answers_nothing(mut self, status: StatusCode) -> Self {
        self.answers.push(ResponseSpec {
            status,
            content: Vec::new(),
        });
        self
    }

    fn answer(mut self, status: StatusCode, kind: &'static str, content: Content) -> Self {
        match self.answers.iter_mut().find(|answer| answer.status == status) {
            Some(answer) => answer.content.push((kind, content)),
            None => self.answers.push(ResponseSpec {
                status,
                content: vec![(kind, content)],
            }),
        }
        self
    }
}

/// What a label of an object, without a prefix, is, and its value.
pub(super) const LABEL_PATTERN: &str = "^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// What the name of a namespace or of an EncryptionKey is.
pub(super) const DNS_LABEL_PATTERN: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
/// What the id of a version is, and a stage.
pub(super) const VERSION_ID_PATTERN: &str = "^[-A-Za-z0-9_.]{1,64}$";

/// Bytes in base64.
pub(super) fn base64() -> Value {
    json!({"type": "string", "contentEncoding": "base64", "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"})
}
