//! The kubeconfig, and requests to the API server by it. Must not know what a request means.

use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;
use strongroom_api::transport_error_cause;
use strongroom_api::v1::ProblemDocument;
use zeroize::Zeroizing;

use crate::arguments::ClusterArguments;
use crate::failure::Failure;

/// The cluster of a kubeconfig.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    /// The namespace that is meant.
    pub(crate) namespace: String,
    /// The address of the API server, as the kubeconfig has it.
    pub(crate) server: String,
}

/// What the API server answers that is not of Strongroom
/// (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>).
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

impl Cluster {
    pub(crate) async fn from_arguments(arguments: &ClusterArguments) -> Result<Self, Failure> {
        let unusable = |error: &dyn std::fmt::Display| Failure::Kubeconfig(error.to_string());
        let options = KubeConfigOptions {
            context: arguments.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match &arguments.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        };
        let mut config = match config {
            Ok(config) => config,
            // In a pod there is an account rather than a file.
            Err(_) if arguments.kubeconfig.is_none() && arguments.context.is_none() && in_a_pod() => {
                Config::incluster().map_err(|error| unusable(&error))?
            }
            Err(error) => return Err(unusable(&error)),
        };
        // A refused request is the person's to repeat.
        config.default_retry = false;
        if let Some(user) = &arguments.impersonate {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups =
                Some(arguments.impersonate_groups.clone()).filter(|groups| !groups.is_empty());
        }
        let namespace = arguments
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|error| unusable(&error))?;
        Ok(Self {
            client,
            namespace,
            server,
        })
    }

    /// One request, and the body of its answer.
    pub(crate) async fn call(
        &self,
        method: Method,
        uri: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut request = Request::builder().method(method).uri(uri);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(kube::client::Body::from(body.unwrap_or_default()))
            .map_err(|error| Failure::Input(error.to_string()))?;
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| self.failure(error))?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| self.failure(error))?;
        let body = Zeroizing::new(body.to_bytes().to_vec());
        if status.is_success() {
            return Ok(body);
        }
        Err(refused(&self.server, status, &body))
    }

    /// What the API server says of an object of its own, or why it says nothing.
    pub(crate) fn failure(&self, error: kube::Error) -> Failure {
        let server = self.server.clone();
        match error {
            kube::Error::Api(status) => Failure::Cluster {
                server,
                said: status.message,
            },
            error => Failure::Unreachable {
                server,
                why: transport_error_cause(&error),
            },
        }
    }
}

fn in_a_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// Whose answer it is, and what it says.
fn refused(server: &str, status: StatusCode, body: &[u8]) -> Failure {
    let server = server.to_owned();
    if let Ok(problem) = serde_json::from_slice::<ProblemDocument>(body) {
        return Failure::Refused(Box::new(problem));
    }
    let said = serde_json::from_slice::<Status>(body)
        .map(|status| status.message)
        .unwrap_or_else(|_| {
            String::from_utf8_lossy(body.get(..200.min(body.len())).unwrap_or_default())
                .trim()
                .to_owned()
        });
    match status {
        StatusCode::FORBIDDEN => Failure::Forbidden(said),
        StatusCode::NOT_FOUND => Failure::NoSuchApi { server },
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            Failure::Extension { server, said }
        }
        _ => Failure::Cluster {
            server,
            said: format!("{said} ({status})"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://10.0.0.1:6443";

    #[test]
    fn an_answer_says_whose_it_is() {
        let problem = br#"{"type":"urn:strongroom:problem:PolicyDenied","title":"t","status":403,"code":"PolicyDenied","detail":"no","requestId":"r","missingPolicies":["kind: SecretPolicy\n"]}"#;
        let text = refused(SERVER, StatusCode::FORBIDDEN, problem).to_string();
        assert_eq!(
            text,
            "no (PolicyDenied, request r)\nthis would allow it:\n---\nkind: SecretPolicy"
        );
        let status = br#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"jane may not","reason":"Forbidden","code":403}"#;
        assert!(
            matches!(refused(SERVER, StatusCode::FORBIDDEN, status), Failure::Forbidden(text) if text == "jane may not")
        );
        assert!(matches!(
            refused(SERVER, StatusCode::NOT_FOUND, b"404 page not found"),
            Failure::NoSuchApi { .. }
        ));
        let away = refused(SERVER, StatusCode::SERVICE_UNAVAILABLE, b"service unavailable").to_string();
        assert!(
            away.contains("service unavailable") && away.contains(SERVER),
            "{away}"
        );
        assert!(away.contains("apiservice"), "{away}");
    }
}
