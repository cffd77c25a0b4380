//! A request as the API server reads it: method, path, parameters and a body of JSON.

use http::{Method, Uri};
use serde_json::Value as Json;

/// A request to the API server.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// Without parameters.
    pub path: String,
    /// The parameters as they were sent, `name=value` by `&`.
    pub query: String,
    /// Null where there is none.
    pub body: Json,
}

impl ApiRequest {
    pub(super) fn new(method: Method, uri: &Uri, body: &[u8]) -> Self {
        Self {
            method,
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(body).unwrap_or(Json::Null),
        }
    }

    /// `METHOD path`, as it is recorded and faults are ordered by.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// A parameter; none: it was not sent.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self.query.split('&');
        let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.replace("%2F", "/"))
    }

    /// The field manager that writes, as a client names itself.
    pub fn field_manager(&self) -> String {
        self.parameter("fieldManager")
            .unwrap_or_else(|| "unknown".to_owned())
    }

    /// The name that the field selector asks for.
    pub(super) fn selected(&self) -> Option<String> {
        let selector = self.parameter("fieldSelector")?;
        Some(selector.strip_prefix("metadata.name%3D")?.to_owned())
    }
}
