//! `rotate`.

use http::Method;
use strongroom_api::v1::{RotateSecretAnswer, RotateSecretRequest};

use super::delivery::{self, WaitArguments};
use super::rotate_read::{self, ReadByArguments};
use crate::api_client::ApiClient;
use crate::data::version_id;
use crate::failure::Failure;
use crate::output::{Output, value_of};

/// Generates a new value now, as the ManagedSecret says, and returns when it has arrived
///
/// `was rotated` means that the new version is Current, the native Secret holds it, and the volumes of
/// running pods show it. With `--wait 0s` it prints `is being rotated` and returns at once.
///
/// With `--read-by` it rotates every secret whose value somebody has read, by the audit log; for this it
/// needs ClusterRole `strongroom-auditor` as well. It asks first, lists what cannot be rotated with what to
/// do, and exits with 1 if something is left. What it has rotated once it leaves alone the next time.
///
/// Examples: kubectl strongroom rotate db-main --wait 30s
///
///   kubectl strongroom rotate --read-by shop/checkout --since 24h --dry-run
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    #[arg(required_unless_present = "read_by")]
    name: Option<String>,
    /// A text of your choice: the same token rotates only once, however often it is sent
    #[arg(long, value_name = "TEXT")]
    token: Option<String>,
    #[command(flatten)]
    read: ReadByArguments,
    #[command(flatten)]
    waiting: WaitArguments,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    match (&arguments.name, &arguments.read.read_by) {
        (Some(name), _) => one(name, arguments, client, out).await,
        (None, Some(principal)) => {
            rotate_read::run(principal, &arguments.read, arguments.waiting, client, out).await
        }
        (None, None) => Err(Failure::Input(
            "name a secret, or a principal with `--read-by`".to_owned(),
        )),
    }
}

async fn one(name: &str, arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let token = match &arguments.token {
        Some(token) => token.clone(),
        None => version_id()?,
    };
    let answer: RotateSecretAnswer = client
        .change(Method::POST, name, "/rotation", &RotateSecretRequest { token })
        .await?;
    let version = &answer.version_id;
    let secret = format!("{}/{name}", client.namespace());
    if answer.done {
        // Another one may be Current by now.
        return out.tell(
            &answer,
            &format!("{secret} was rotated to {version} before, by the same token"),
        );
    }
    let arrival = delivery::wait(client, name, "Current", version, arguments.waiting).await?;
    let mut told = value_of(&answer)?;
    arrival.add_to(&mut told);
    let what = if arrival.staged {
        "was rotated to"
    } else {
        "is being rotated to"
    };
    out.tell(&told, &format!("{secret} {what} {version}{}", arrival.in_words()))
}
