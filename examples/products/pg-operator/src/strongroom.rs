//! Strongroom's API over HTTPS.

use http::{Request, Uri};
use kube::client::{Body, Client};
use kube::config::Config;
use strongroom_api::v1::{ProblemDocument, ValueAnswer};
use zeroize::Zeroizing;

use crate::error::OperatorError;

const URL: &str = "https://strongroom-gateway.strongroom.svc";

/// A client that reads token and authority again as they are renewed: the one that kube has anyway.
pub(crate) fn client() -> kube::Result<Client> {
    let mut config = Config::new(Uri::from_static(URL));
    // The file alone says whom to trust.
    config.root_cert = Some(Vec::new());
    config.root_cert_file = Some("/strongroom/ca.crt".into());
    config.auth_info.token_file = Some("/strongroom/token".to_owned());
    Client::try_from(config)
}

/// Reads a value.
pub(crate) async fn read(client: &Client, path: &str) -> Result<ValueAnswer, OperatorError> {
    let request = Request::get(path).body(Body::empty());
    let response = client.send(request.map_err(kube::Error::HttpError)?).await?;
    let success = response.status().is_success();
    let body = Zeroizing::new(response.into_body().collect_bytes().await?.to_vec());
    // What an error of the parser says may repeat what it read.
    if success {
        return serde_json::from_slice(&body).map_err(|_| OperatorError::Unreadable);
    }
    let problem: ProblemDocument = serde_json::from_slice(&body).map_err(|_| OperatorError::Unreadable)?;
    Err(OperatorError::Refused(problem.code, problem.detail))
}
