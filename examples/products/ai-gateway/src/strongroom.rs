//! Strongroom's API over HTTPS.

use http::{Request, StatusCode, Uri};
use kube::client::{Body, Client};
use kube::config::Config;
use serde::de::DeserializeOwned;
use strongroom_api::v1::ProblemDocument;
use zeroize::Zeroizing;

/// Told by codes alone: callers of the data path are strangers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StrongroomError {
    #[error("strongroom does not answer")]
    Unreachable(#[from] kube::Error),
    #[error("strongroom refuses: {}", .0.code)]
    Refused(Box<ProblemDocument>),
    #[error("strongroom's answer cannot be read")]
    Unreadable,
}

pub(crate) type Outcome<T> = Result<T, StrongroomError>;

/// A client that reads token and authority again as they are renewed: the one that kube has anyway.
pub(crate) fn client(gateway: Uri) -> kube::Result<Client> {
    let mut config = Config::new(gateway);
    // The file alone says whom to trust.
    config.root_cert = Some(Vec::new());
    config.root_cert_file = Some("/strongroom/ca.crt".into());
    config.auth_info.token_file = Some("/strongroom/token".to_owned());
    // A write is not sent again by itself.
    config.default_retry = false;
    Client::try_from(config)
}

/// Sends a request. No answer: nothing has changed since the version in `If-None-Match`.
pub(crate) async fn call<T: DeserializeOwned>(
    client: &Client,
    request: http::Result<Request<Body>>,
) -> Outcome<Option<T>> {
    let response = client.send(request.map_err(kube::Error::HttpError)?).await?;
    let status = response.status();
    let body = Zeroizing::new(response.into_body().collect_bytes().await?.to_vec());
    // What an error of the parser says may repeat what it read.
    if status == StatusCode::NOT_MODIFIED {
        Ok(None)
    } else if status.is_success() {
        serde_json::from_slice(&body).map_err(|_| StrongroomError::Unreadable)
    } else {
        let problem = serde_json::from_slice(&body).map_err(|_| StrongroomError::Unreadable)?;
        Err(StrongroomError::Refused(Box::new(problem)))
    }
}
