//! A bucket that speaks the protocol of S3. The library signs and writes the requests; they go through this
//! process's own HTTP client, which trusts the named authority alone.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use object_store::aws::AmazonS3Builder;
use object_store::client::{
    HttpClient as ObjectHttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use strongroom_process::{HttpClient, http1_client};
use zeroize::Zeroizing;

use super::destination::BucketLocation;
use super::error::BackupError;
use crate::trust_anchors::roots_from_pem;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is sent again before the whole backup is.
const MAX_RETRIES: usize = 2;
/// The longest wait before that.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Most bytes of an answer that says no.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// Most bytes of a file with a credential.
const MAX_CREDENTIAL_BYTES: usize = 4096;

/// The last answer that was a refusal, for errors: those of the library do not say it.
#[derive(Clone, Debug, Default)]
pub(super) struct LastRefusal(Arc<Mutex<Option<String>>>);

impl LastRefusal {
    /// What it was; it is forgotten.
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().take()
    }
}

/// The bucket. Credentials and authority are read anew each time: they may have been renewed.
pub(super) async fn open(
    location: &BucketLocation,
    patience: Duration,
) -> Result<(Arc<dyn ObjectStore>, LastRefusal), BackupError> {
    let id = credential(&location.credentials.join("access-key-id")).await?;
    let key = credential(&location.credentials.join("secret-access-key")).await?;
    let roots = match &location.authority {
        Some(path) => authority(path).await?,
        None => RootCertStore::empty(),
    };
    let tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let refusal = LastRefusal::default();
    let connector = BucketConnector {
        client: http1_client(tls, !location.tls, CONNECT_TIMEOUT),
        patience,
        refusal: refusal.clone(),
    };
    let scheme = if location.tls { "https" } else { "http" };
    let bucket = AmazonS3Builder::new()
        .with_endpoint(format!("{scheme}://{}", location.place))
        .with_bucket_name(&location.bucket)
        .with_region(&location.region)
        .with_access_key_id(id.as_str())
        .with_secret_access_key(key.as_str())
        .with_allow_http(!location.tls)
        // Deleting many at once is not known by all who speak the protocol.
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(200),
                max_backoff: MAX_BACKOFF,
                base: 2.0,
            },
            max_retries: MAX_RETRIES,
            retry_timeout: patience,
        })
        .with_http_connector(connector)
        .build()
        .map_err(|_| BackupError::Unusable {
            destination: location.to_string(),
            why: "its endpoint, region or bucket is malformed".to_owned(),
        })?;
    let store: Arc<dyn ObjectStore> = Arc::new(bucket);
    Ok((store, refusal))
}

async fn authority(path: &Path) -> Result<RootCertStore, BackupError> {
    let unreadable = |source| BackupError::File {
        path: path.display().to_string(),
        source,
    };
    let pem = tokio::fs::read(path).await.map_err(unreadable)?;
    roots_from_pem(&pem).map_err(unreadable)
}

async fn credential(path: &Path) -> Result<Zeroizing<String>, BackupError> {
    let unreadable = |source| BackupError::File {
        path: path.display().to_string(),
        source,
    };
    let bytes = Zeroizing::new(tokio::fs::read(path).await.map_err(unreadable)?);
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    if text.is_empty() || text.len() > MAX_CREDENTIAL_BYTES {
        return Err(unreadable(io::Error::other("it holds no credential")));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Makes the library's client of ours.
#[derive(Clone)]
struct BucketConnector {
    client: HttpClient,
    /// How long an answer may take to begin.
    patience: Duration,
    refusal: LastRefusal,
}

impl fmt::Debug for BucketConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketConnector").finish_non_exhaustive()
    }
}

impl HttpConnector for BucketConnector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<ObjectHttpClient> {
        Ok(ObjectHttpClient::new(self.clone()))
    }
}

/// As the macro `async_trait` of the library's trait writes it.
impl HttpService for BucketConnector {
    fn call<'service, 'answer>(
        &'service self,
        request: HttpRequest,
    ) -> BoxFuture<'answer, Result<HttpResponse, HttpError>>
    where
        'service: 'answer,
        Self: 'answer,
    {
        Box::pin(self.send(request))
    }
}

impl BucketConnector {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, Body::new(body));
        let late = || HttpError::new(HttpErrorKind::Timeout, io::Error::from(io::ErrorKind::TimedOut));
        let answer = tokio::time::timeout(self.patience, self.client.request(request))
            .await
            .map_err(|_| late())?
            .map_err(|error| {
                let kind = if error.is_connect() {
                    HttpErrorKind::Connect
                } else {
                    HttpErrorKind::Interrupted
                };
                HttpError::new(kind, error)
            })?;
        let (parts, body) = answer.into_parts();
        if parts.status.is_success() {
            let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
            return Ok(Response::from_parts(parts, HttpResponseBody::new(body)));
        }
        let whole = axum::body::to_bytes(Body::new(body), MAX_REFUSAL_BYTES);
        let bytes = match tokio::time::timeout(self.patience, whole).await {
            Ok(Ok(bytes)) => bytes,
            // What it says is not needed for what it means.
            _ => bytes::Bytes::new(),
        };
        *self.refusal.0.lock() = Some(in_words(parts.status, &bytes));
        Ok(Response::from_parts(parts, bytes.into()))
    }
}

/// `403 Forbidden (AccessDenied)`: the status, and the code of the error document
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).
fn in_words(status: StatusCode, document: &[u8]) -> String {
    let text = std::str::from_utf8(document).unwrap_or_default();
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map(|(code, _)| code)
        .filter(|code| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    match code {
        Some(code) => format!("{status} ({code})"),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_error_document_the_code_is_told_alone() {
        let said = |document: &str| in_words(StatusCode::FORBIDDEN, document.as_bytes());
        let document = "<Error><Code>AccessDenied</Code><Message>hunter2</Message></Error>";
        assert_eq!(said(document), "403 Forbidden (AccessDenied)");
        for other in ["", "<Code>", "<Code>hunter2 and more</Code>"] {
            assert_eq!(said(other), "403 Forbidden");
        }
    }
}
