//! Whether the gateway answers: an installation whose gateway is down must not look healthy. The extension
//! API server itself stays Ready, because an API that is not available keeps every namespace of the cluster
//! from being deleted. A metric and the log report it instead.

use std::time::Duration;

use axum::body::Body;
use axum::http::uri::Authority;
use axum::http::{Request, Version};
use strongroom_api::transport_error_cause;

use super::metrics::ExtensionApiMetrics;
use super::trust::SharedTrust;
use super::uri;

/// How often it is tried.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// How long an answer may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why it cannot be tried.
pub(super) const NO_CERTIFICATE: &str = "the gateway's process has not issued the client certificate yet";

/// Tries to reach the gateway.
pub(super) struct ReachabilityProbe {
    pub(super) trust: SharedTrust,
    pub(super) gateway: Authority,
    pub(super) metrics: ExtensionApiMetrics,
}

impl ReachabilityProbe {
    pub(super) async fn run(self) {
        let mut before = None;
        loop {
            let now = self.probe().await;
            self.metrics.reachable.set(i64::from(now.is_ok()));
            if before != Some(now) {
                match now {
                    Ok(()) => tracing::info!(gateway = %self.gateway, "gateway reachable"),
                    Err(why) => tracing::warn!(gateway = %self.gateway, error = why, "gateway unreachable"),
                }
            }
            before = Some(now);
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }

    pub(super) async fn probe(&self) -> Result<(), &'static str> {
        let trusted = self
            .trust
            .current()
            .ok_or("the extension API server itself is not ready")?;
        let client = trusted.client.as_ref().ok_or(NO_CERTIFICATE)?;
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri(&self.gateway, "/healthz", None).ok_or("its address is invalid")?;
        *request.version_mut() = Version::HTTP_2;
        match tokio::time::timeout(PROBE_TIMEOUT, client.request(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(_)) => Err("it answers with an error"),
            Ok(Err(error)) => Err(transport_error_cause(&error)),
            Err(_) => Err("no answer in time"),
        }
    }
}
