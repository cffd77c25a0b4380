//! `rotate`.

use http::Method;
use strongroom_api::v1::{RotateSecretAnswer, RotateSecretRequest};

use super::delivery::{self, WaitArguments};
use crate::api_client::ApiClient;
use crate::data::version_id;
use crate::failure::Failure;
use crate::output::{Output, value_of};

/// Generates a new value now, as the ManagedSecret says, and returns when it has arrived
///
/// `was rotated` means that the new version is Current, the native Secret holds it, and the volumes of
/// running pods show it. With `--wait 0s` it prints `is being rotated` and returns at once.
///
/// Example: kubectl strongroom rotate db-main --wait 30s
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
    /// A text of your choice: the same token rotates only once, however often it is sent
    #[arg(long, value_name = "TEXT")]
    token: Option<String>,
    #[command(flatten)]
    waiting: WaitArguments,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let token = match &arguments.token {
        Some(token) => token.clone(),
        None => version_id()?,
    };
    let answer: RotateSecretAnswer = client
        .change(
            Method::POST,
            &arguments.name,
            "/rotation",
            &RotateSecretRequest { token },
        )
        .await?;
    let version = &answer.version_id;
    let secret = format!("{}/{}", client.namespace(), arguments.name);
    if answer.done {
        // Another one may be Current by now.
        return out.tell(
            &answer,
            &format!("{secret} was rotated to {version} before, by the same token"),
        );
    }
    let arrival = delivery::wait(client, &arguments.name, "Current", version, arguments.waiting).await?;
    let mut told = value_of(&answer)?;
    arrival.add_to(&mut told);
    let what = if arrival.staged {
        "was rotated to"
    } else {
        "is being rotated to"
    };
    out.tell(&told, &format!("{secret} {what} {version}{}", arrival.in_words()))
}
