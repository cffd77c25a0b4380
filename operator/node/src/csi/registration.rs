//! Registers the plugin with kubelet, without the sidecar that usually does it.
//!
//! kubelet watches its folder `plugins_registry` and asks each socket there who it is. An empty endpoint
//! means "the same socket". Its registration call (unlike its CSI calls, as of 1.36) sends the socket's path
//! as the HTTP/2 authority, percent-encoded, which no server of Rust's takes. An `@` in the socket's file
//! name makes the very same text a user and a host, which every server takes: [`socket_name`].

use tonic::{Request, Response, Status};

use super::DRIVER;
use crate::proto::registration::registration_server::Registration;
use crate::proto::registration::{InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse};

/// The name of the socket in kubelet's folder.
#[must_use]
pub fn socket_name() -> String {
    format!("{DRIVER}@reg.sock")
}

#[derive(Debug)]
pub(super) struct Registrar;

#[tonic::async_trait]
impl Registration for Registrar {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: DRIVER.to_owned(),
            endpoint: String::new(),
            // Of the protocol; the versions of CSI itself are all of 1.
            supported_versions: vec!["1.0.0".to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        status: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let status = status.into_inner();
        if status.plugin_registered {
            tracing::info!("plugin registered with kubelet");
        } else {
            tracing::error!(error = status.error, "plugin registration failed");
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
