//! `restore`.

use http::Method;
use strongroom_api::v1::SecretAnswer;

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Output, cell_of};

/// Restores a deleted secret during its recovery window
///
/// Example: kubectl strongroom restore partner
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let answer: SecretAnswer = client
        .change_by_path(Method::POST, &arguments.name, "/restore", &[])
        .await?;
    let stages = cell_of(&answer.stages);
    out.tell(
        &answer,
        &format!("{}/{} was restored: {stages}", client.namespace(), arguments.name),
    )
}
