//! `strongroom serve --roles=front`.

use std::net::SocketAddr;

use super::arguments::ServiceArguments;
use crate::cmd::CommandError;
use crate::gateway::extension_api::ExtensionApiSettings;
use crate::serve::roles::{ProcessSettings, extension_api};

/// What the extension API server has of its own.
#[derive(Debug, clap::Args)]
pub(super) struct ExtensionApiArguments {
    /// Address of the extension API server
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8444")]
    front_listen: SocketAddr,
    /// Host and port at which the extension API server reaches the API
    #[arg(long, value_name = "HOST:PORT", default_value = "strongroom-gateway:443")]
    gateway_address: axum::http::uri::Authority,
}

pub(super) async fn run(
    process: ProcessSettings,
    services: ServiceArguments,
    arguments: ExtensionApiArguments,
) -> Result<(), CommandError> {
    let ExtensionApiArguments {
        front_listen,
        gateway_address,
    } = arguments;
    let service = services.people_front;
    let settings = ExtensionApiSettings {
        listen: front_listen,
        service: service.unwrap_or_else(|| "strongroom-front".to_owned()),
        gateway: gateway_address,
    };
    Ok(extension_api::run(process, settings).await?)
}
