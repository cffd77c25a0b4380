//! `restore`.

use http::Method;

use crate::failure::Failure;
use crate::output::{Output, cell, field};
use crate::people::People;

/// Brings a secret back from its recovery window
///
/// Example: kubectl strongroom restore partner
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
}

pub(crate) async fn run(arguments: &Arguments, people: &People, out: &Output) -> Result<(), Failure> {
    let answer = people
        .change(Method::POST, &arguments.name, "/restore", &[], None)
        .await?;
    let stages = cell(field(&answer, "stages"));
    out.tell(
        &answer,
        &format!("{}/{} is back: {stages}", people.namespace(), arguments.name),
    )
}
