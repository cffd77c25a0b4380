//! Audit records to whatever takes a POST over HTTPS: batches in JSON, signed as the Standard Webhooks
//! specification has it (<https://www.standardwebhooks.com>), so that a receiver knows who sent them and
//! knows one again that it has already.
//!
//! | module | idea |
//! |---|---|
//! | [`message`] | the body and the id of a batch; pure |
//! | [`signing_key`] | the keys of a file, and the signatures by them |
//! | [`mod@retry_after`] | how long an answer asks to be left alone; pure |
//!
//! A batch counts as delivered when the answer is 2xx. Whatever else comes, it comes again, unchanged: the
//! specification lets a sender give up, and an audit must not.

mod message;
mod retry_after;
mod signing_key;
#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, header};
use futures::future::BoxFuture;
use jiff::Timestamp;
use strongroom_api::transport_error_cause;

use self::message::Message;
use self::retry_after::retry_after;
use self::signing_key::SigningKeys;
use super::destination::Destination;
use super::http_endpoint::{HttpClient, HttpEndpoint};
use super::line::AuditLine;
use super::page::PageLimits;
use super::sink::{AnswerKind, Batch, Sink, SinkError};
use super::sink_kind::{FormError, SinkKind};

/// How it is named.
pub(super) const KIND: SinkKind = SinkKind::Configured {
    form: "webhook+https://HOST:PORT/PATH?ca=/PATH&key=/PATH",
    local_form: Some("webhook+http://127.0.0.1:PORT/PATH?key=/PATH"),
    parse: |text| text.strip_prefix("webhook+").map(destination),
};

/// Most records of a batch.
const MAX_RECORDS: usize = 500;
/// Most bytes of a body, but for a record that is larger by itself.
const MAX_BODY_BYTES: usize = 256 << 10;
/// What of them is for all that stands around the records, and for the line of a gap, which no page counts.
const ENVELOPE_BYTES: usize = 4 << 10;
/// How long an answer may take, from the first look for the address.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the rest of an answer may take. It says nothing that counts.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer after which the connection is used again, in bytes.
const MAX_RESPONSE_BYTES: usize = 16 << 10;

fn destination(url: &str) -> Result<Destination, FormError> {
    let (endpoint, key) = HttpEndpoint::parse(url, "/", "key")?;
    // The key itself in place of its file would be in logs.
    let key = key
        .filter(|path| path.is_absolute())
        .ok_or(FormError::Malformed)?;
    let uri = endpoint.uri().map_err(|_| FormError::Malformed)?;
    // So would be a name and a password before the host.
    if uri.authority().is_none_or(|place| place.as_str().contains('@')) {
        return Err(FormError::Malformed);
    }
    Ok(Destination::new(format!("webhook+{endpoint}"), move || {
        Webhook::new(endpoint.clone(), key.clone())
    }))
}

/// The way to a receiver, open while it takes what is sent.
struct Webhook {
    receiver: HttpEndpoint,
    /// The file of the keys.
    key: PathBuf,
    client: Option<HttpClient>,
}

impl Webhook {
    const fn new(receiver: HttpEndpoint, key: PathBuf) -> Self {
        Self {
            receiver,
            key,
            client: None,
        }
    }

    async fn post(&mut self, batch: Batch<'_>) -> Result<(), SinkError> {
        // The keys are read anew for each batch, the authority after each failure: they may have been
        // renewed.
        let keys = SigningKeys::read(&self.key).await.map_err(io::Error::other)?;
        let request = self.request(batch.lines, batch.now, &keys)?;
        let client = match self.client.take() {
            Some(client) => client,
            None => self.receiver.connect().await?,
        };
        let response = tokio::time::timeout(REQUEST_TIMEOUT, client.request(request))
            .await
            .map_err(|_| io::Error::new(ErrorKind::TimedOut, "the receiver does not answer in time"))?
            .map_err(|error| {
                let cause = transport_error_cause(&error);
                io::Error::other(format!("the receiver cannot be reached: {cause}"))
            })?;
        let status = response.status();
        if !status.is_success() {
            return Err(SinkError::Answered {
                status,
                kind: AnswerKind::from_status(status),
                retry_after: retry_after(response.headers(), batch.now),
            });
        }
        let rest = axum::body::to_bytes(Body::new(response.into_body()), MAX_RESPONSE_BYTES);
        if matches!(tokio::time::timeout(DRAIN_TIMEOUT, rest).await, Ok(Ok(_))) {
            self.client = Some(client);
        }
        Ok(())
    }

    fn request(&self, lines: &[AuditLine], now: Timestamp, keys: &SigningKeys) -> io::Result<Request<Body>> {
        let Message { id, body } = Message::new(lines);
        let timestamp = now.as_second().to_string();
        let signature = keys.sign(&id, &timestamp, &body);
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.receiver.uri()?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ] {
            headers.insert(name, HeaderValue::try_from(value).map_err(io::Error::other)?);
        }
        Ok(request)
    }
}

impl Sink for Webhook {
    fn deliver<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(self.post(batch))
    }

    fn limits(&self) -> PageLimits {
        PageLimits {
            records: MAX_RECORDS - 1,
            bytes: MAX_BODY_BYTES - ENVELOPE_BYTES,
            exact: true,
        }
    }

    fn repeats_exactly(&self) -> bool {
        true
    }
}
