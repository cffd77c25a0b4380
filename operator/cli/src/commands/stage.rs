//! `stage`.

use http::Method;
use strongroom_api::v1::{SecretAnswer, UpdateSecretVersionStageRequest};

use super::delivery::{self, Arrival, WaitArguments};
use crate::api_client::{ApiClient, segment};
use crate::failure::Failure;
use crate::output::{Output, value_of};

/// Moves a stage to a version, or removes it
///
/// Moving `Current` back to the previous version undoes a rotation. Examples:
///
///   kubectl strongroom stage db-main Current --to v-mjunn32h6y2gcswl
///
///   kubectl strongroom stage db-main canary --remove-from v-mjunn32h6y2gcswl
#[derive(Debug, clap::Args)]
#[group(id = "what", required = true, multiple = true, args = ["to", "remove_from"])]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
    /// The stage
    stage: String,
    /// The version that gets the stage
    #[arg(long, value_name = "ID")]
    to: Option<String>,
    /// The version that has the stage now
    #[arg(long, value_name = "ID")]
    remove_from: Option<String>,
    #[command(flatten)]
    waiting: WaitArguments,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let body = UpdateSecretVersionStageRequest {
        move_to: arguments.to.clone(),
        remove_from: arguments.remove_from.clone(),
    };
    let what = format!("/stages/{}", segment(&arguments.stage)?);
    let answer: SecretAnswer = client.change(Method::POST, &arguments.name, &what, &body).await?;
    let mut answer = value_of(&answer)?;
    let secret = format!("{}/{}", client.namespace(), arguments.name);
    let stage = &arguments.stage;
    let Some(version) = &arguments.to else {
        let from = arguments.remove_from.as_deref().unwrap_or_default();
        Arrival::at_once().add_to(&mut answer);
        return out.tell(
            &answer,
            &format!("{secret}: stage {stage} was removed from version {from}"),
        );
    };
    let arrival = delivery::wait(client, &arguments.name, stage, version, arguments.waiting).await?;
    // The store has moved it before it answers; only what follows had to be waited for.
    arrival.clone().and_staged().add_to(&mut answer);
    out.tell(
        &answer,
        &format!(
            "{secret}: stage {stage} is at version {version}{}",
            arrival.in_words()
        ),
    )
}
