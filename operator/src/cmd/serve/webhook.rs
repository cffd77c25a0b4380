//! `strongroom serve --roles=webhook`.

use std::net::SocketAddr;

use strongroom_rules::environment::Image;

use super::arguments::ServiceArguments;
use crate::cmd::CommandError;
use crate::serve::roles::{ProcessSettings, webhook};
use crate::webhook::WebhookSettings;

/// What the webhook has of its own.
#[derive(Debug, clap::Args)]
pub(super) struct WebhookArguments {
    /// Address of the webhook
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8445")]
    webhook_listen: SocketAddr,
    /// Host and port at which the webhook reaches that address
    #[arg(long, value_name = "HOST:PORT", default_value = "strongroom-gateway:8444")]
    attestations_address: axum::http::uri::Authority,
    /// Image of `strongroom-exec` for pods with variables
    #[arg(long, value_name = "IMAGE", default_value = concat!("strongroom.dev/strongroom-exec:", env!("CARGO_PKG_VERSION")))]
    exec_image: String,
    /// When pods pull that image: Always, IfNotPresent or Never
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent")]
    exec_pull_policy: String,
    /// Resources of the init container in such pods, as JSON in the form of a container's `resources`
    #[arg(long, value_name = "JSON", value_parser = resources)]
    exec_resources: Option<serde_json::Value>,
}

pub(super) async fn run(
    process: ProcessSettings,
    services: ServiceArguments,
    arguments: WebhookArguments,
) -> Result<(), CommandError> {
    let WebhookArguments {
        webhook_listen,
        attestations_address,
        exec_image,
        exec_pull_policy,
        exec_resources,
    } = arguments;
    let service = services.webhook;
    let settings = WebhookSettings {
        listen: webhook_listen,
        service: service.unwrap_or_else(|| "strongroom-webhook".to_owned()),
        attestations: attestations_address,
        image: Image {
            name: exec_image,
            pull_policy: exec_pull_policy,
            resources: exec_resources.unwrap_or_else(Image::default_resources),
        },
    };
    Ok(webhook::run(process, settings).await?)
}

/// Resources of a container, in the shape that the API server takes.
fn resources(text: &str) -> Result<serde_json::Value, String> {
    type Resources = k8s_openapi::api::core::v1::ResourceRequirements;
    let resources: Resources = serde_json::from_str(text).map_err(|_| {
        "not `resources` of a container as JSON, as in `{\"requests\": {\"memory\": \"32Mi\"}}`".to_owned()
    })?;
    serde_json::to_value(resources).map_err(|error| error.to_string())
}
