//! `rotate`.

use http::Method;
use serde_json::json;

use super::delivery::{self, Patience};
use crate::data::version_id;
use crate::failure::Failure;
use crate::output::{Output, field};
use crate::people::People;

/// Makes a new value now, as the ManagedSecret says
///
/// Example: kubectl strongroom rotate db-main --wait 30s
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
    /// A text of your choice: the same one rotates once, however often it is sent
    #[arg(long, value_name = "TEXT")]
    token: Option<String>,
    #[command(flatten)]
    patience: Patience,
}

pub(crate) async fn run(arguments: &Arguments, people: &People, out: &Output) -> Result<(), Failure> {
    let token = match &arguments.token {
        Some(token) => token.clone(),
        None => version_id()?,
    };
    let answer = people
        .change(
            Method::POST,
            &arguments.name,
            "/rotation",
            &[],
            Some(&json!({"token": token})),
        )
        .await?;
    let version = field(&answer, "versionId").as_str().unwrap_or_default();
    let done = field(&answer, "done").as_bool() == Some(true);
    let what = if done {
        "was rotated to"
    } else {
        "is being rotated to"
    };
    out.tell(
        &answer,
        &format!(
            "{}/{} {what} version {version}",
            people.namespace(),
            arguments.name
        ),
    )?;
    if done {
        // Another one may be Current by now.
        return Ok(());
    }
    delivery::wait(
        people,
        &arguments.name,
        "Current",
        version,
        arguments.patience,
        out,
    )
    .await
}
