//! Audit records to a system that speaks OpenTelemetry: log records of OTLP/HTTP in its JSON encoding
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>), each with the JSON object as body and its fields
//! as attributes `strongroom.…`.
//!
//! A page counts as delivered when the receiver says so. Whatever else it answers, the page comes again: the
//! specification lets a sender drop what was refused, and an audit must not.
//!
//! The messages are written as JSON by hand: `opentelemetry-proto` has them as types, and comes with the API
//! and the SDK of OpenTelemetry, for the thirty lines of [`export`].

use std::io;
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use strongroom_api::audit::Outcome;

use super::destination::Destination;
use super::http_endpoint::{HttpClient, HttpEndpoint};
use super::line::AuditLine;
use super::sink::{Batch, Sink, SinkError};
use super::sink_kind::{FormError, SinkKind};

/// How it is named.
pub(super) const KIND: SinkKind = SinkKind::Configured {
    form: "otlp+https://HOST:PORT?ca=/PATH&headers=/PATH",
    local_form: Some("otlp+http://127.0.0.1:PORT"),
    parse: |text| text.strip_prefix("otlp+").map(destination),
};

fn destination(url: &str) -> Result<Destination, FormError> {
    let (endpoint, headers) = HttpEndpoint::parse(url, "/v1/logs", "headers")?;
    Ok(Destination::new(format!("otlp+{endpoint}"), move || {
        Otlp::new(endpoint.clone(), headers.clone())
    }))
}

/// Longest answer that is looked at, in bytes.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// Severities (<https://opentelemetry.io/docs/specs/otel/logs/data-model/#severity-fields>).
const INFO: (u8, &str) = (9, "INFO");
const WARN: (u8, &str) = (13, "WARN");

/// The way to a receiver, open while it takes what is sent.
struct Otlp {
    receiver: HttpEndpoint,
    /// Headers that it wants, such as an API key: `Name: value`, one a line.
    headers: Option<PathBuf>,
    client: Option<HttpClient>,
}

impl Otlp {
    const fn new(receiver: HttpEndpoint, headers: Option<PathBuf>) -> Self {
        Self {
            receiver,
            headers,
            client: None,
        }
    }

    async fn send(&mut self, lines: &[AuditLine]) -> io::Result<()> {
        // Authority and headers are read anew after each failure: they may have been renewed.
        let client = match self.client.take() {
            Some(client) => client,
            None => self.receiver.connect().await?,
        };
        let mut request = Request::new(Body::from(export(lines)?));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.receiver.uri()?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers().await? {
            headers.insert(name, value);
        }
        let response = client.request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = axum::body::to_bytes(Body::new(response.into_body()), MAX_RESPONSE_BYTES)
            .await
            .map_err(io::Error::other)?;
        taken(status, &body)?;
        self.client = Some(client);
        Ok(())
    }

    async fn headers(&self) -> io::Result<Vec<(HeaderName, HeaderValue)>> {
        let Some(path) = &self.headers else {
            return Ok(Vec::new());
        };
        headers(path, &tokio::fs::read_to_string(path).await?)
    }
}

impl Sink for Otlp {
    fn deliver<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async move { self.send(batch.lines).await.map_err(SinkError::Io) })
    }
}

/// The headers of a file. What is wrong with it is told by the number of the line alone: a key stands there.
fn headers(path: &Path, text: &str) -> io::Result<Vec<(HeaderName, HeaderValue)>> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let read = || {
                let (name, value) = line.split_once(':')?;
                let mut value: HeaderValue = value.trim().parse().ok()?;
                value.set_sensitive(true);
                Some((name.trim().parse().ok()?, value))
            };
            read().ok_or_else(|| {
                let (path, number) = (path.display(), number + 1);
                io::Error::other(format!(
                    "`{path}` line {number} is no header: write `Name: value`"
                ))
            })
        })
        .collect()
}

/// Whether the receiver has all of it.
fn taken(status: StatusCode, body: &[u8]) -> io::Result<()> {
    if status != StatusCode::OK {
        return Err(io::Error::other(format!("the receiver answers {status}")));
    }
    // A receiver that has all of it answers with an empty message, or with nothing.
    let rejected = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|answer| {
            let rejected = answer.get("partialSuccess")?.get("rejectedLogRecords")?;
            // 64-bit integers are strings in this encoding, and some write numbers.
            rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok())
        })
        .unwrap_or(0);
    if rejected > 0 {
        return Err(io::Error::other(format!(
            "the receiver rejects {rejected} records of the page"
        )));
    }
    Ok(())
}

/// `ExportLogsServiceRequest` of these lines.
fn export(lines: &[AuditLine]) -> io::Result<Bytes> {
    let records: Vec<Value> = lines.iter().map(log_record).collect::<io::Result<_>>()?;
    let request = json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "strongroom"}}]},
        "scopeLogs": [{"scope": {"name": "strongroom.audit"}, "logRecords": records}],
    }]});
    Ok(Bytes::from(serde_json::to_vec(&request)?))
}

fn log_record(line: &AuditLine) -> io::Result<Value> {
    let AuditLine { record, json } = line;
    let fields: Map<String, Value> = serde_json::from_slice(json)?;
    let (number, text) = match record.outcome {
        Outcome::Success => INFO,
        Outcome::Failure => WARN,
    };
    let attributes: Vec<Value> = fields
        .into_iter()
        .filter(|(field, _)| field != "time")
        .map(|(field, value)| json!({"key": format!("strongroom.{field}"), "value": any(value)}))
        .collect();
    Ok(json!({
        "timeUnixNano": record.time.as_nanosecond().to_string(),
        "severityNumber": number,
        "severityText": text,
        "eventName": "strongroom.audit",
        "body": {"stringValue": String::from_utf8_lossy(json)},
        "attributes": attributes,
    }))
}

/// `AnyValue` of a field.
fn any(value: Value) -> Value {
    match value {
        Value::String(text) => json!({"stringValue": text}),
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::Array(items) => {
            let values: Vec<Value> = items.into_iter().map(any).collect();
            json!({"arrayValue": {"values": values}})
        }
        other @ (Value::Null | Value::Object(_)) => json!({"stringValue": other.to_string()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::audit_line;

    #[test]
    fn a_record_keeps_its_fields() {
        let line = audit_line(
            r#"{"chain":"reads","sequence":7,"time":"2026-11-23T20:22:00Z","principal":"user jane","action":"GetSecretValue","decision":"denied","outcome":"failure","code":"PolicyDenied","statements":["a","b"],"offline":true}"#,
        );
        let request: Value = serde_json::from_slice(&export(&[line]).unwrap()).unwrap();
        let record = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        assert_eq!(record["timeUnixNano"], "1795465320000000000");
        assert_eq!(record["severityText"], "WARN");
        let attribute = |name: &str| {
            let attributes = record["attributes"].as_array().unwrap();
            attributes.iter().find(|one| one["key"] == name).unwrap()["value"].clone()
        };
        assert_eq!(attribute("strongroom.sequence"), json!({"intValue": "7"}));
        assert_eq!(attribute("strongroom.decision"), json!({"stringValue": "denied"}));
        assert_eq!(attribute("strongroom.outcome"), json!({"stringValue": "failure"}));
        assert_eq!(attribute("strongroom.offline"), json!({"boolValue": true}));
        assert_eq!(
            attribute("strongroom.statements")["arrayValue"]["values"][1],
            json!({"stringValue": "b"})
        );
        assert!(
            record["body"]["stringValue"]
                .as_str()
                .unwrap()
                .contains("\"sequence\":7")
        );
    }

    #[test]
    fn only_what_the_receiver_has_counts() {
        assert!(taken(StatusCode::OK, b"{}").is_ok());
        assert!(taken(StatusCode::OK, b"").is_ok());
        assert!(
            taken(
                StatusCode::OK,
                br#"{"partialSuccess":{"rejectedLogRecords":"0"}}"#
            )
            .is_ok()
        );
        assert!(
            taken(
                StatusCode::OK,
                br#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"x"}}"#
            )
            .is_err()
        );
        assert!(taken(StatusCode::OK, br#"{"partialSuccess":{"rejectedLogRecords":3}}"#).is_err());
        for status in [
            StatusCode::BAD_REQUEST,
            StatusCode::UNAUTHORIZED,
            StatusCode::SERVICE_UNAVAILABLE,
        ] {
            assert!(taken(status, b"").is_err());
        }
    }

    #[test]
    fn what_is_wrong_with_a_header_is_told_without_it() {
        let path = Path::new("/etc/siem/headers");
        let read = headers(path, "X-Api-Key: k3y\n\nX-Tenant:a\n").unwrap();
        assert_eq!(read.len(), 2);
        assert!(
            read.iter()
                .all(|(_, value)| !format!("{value:?}").contains("k3y"))
        );
        let wrong = headers(path, "X-Api-Key: k3y\nk3y-alone\n")
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("line 2") && !wrong.contains("k3y"), "{wrong}");
    }
}
