//! `put`.

use super::delivery::{self, WaitArguments};
use crate::api_client::{ApiClient, segment};
use crate::data::{Source, version_id};
use crate::failure::Failure;
use crate::output::{Output, cell_of};

/// Writes a new version of a secret with `source: {external: {}}`
///
/// The value is read from standard input or from files, never from the command line, and is encrypted in
/// transit for this call alone. It replaces the whole value: keys that you do not give are not in the new
/// version. Examples:
///
///   kubectl strongroom put partner --key token < token.txt
///
///   kubectl strongroom put tls-partner --from-file tls.crt=./tls.crt --from-file tls.key=./tls.key
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
    #[command(flatten)]
    source: Source,
    /// The version's id; default: a new one. The same id with the same value changes nothing
    #[arg(long, value_name = "ID")]
    version_id: Option<String>,
    /// A stage of the new version; may be repeated; default: Current
    #[arg(long, value_name = "STAGE")]
    stage: Vec<String>,
    #[command(flatten)]
    waiting: WaitArguments,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let version = match &arguments.version_id {
        Some(id) => segment(id)?.to_owned(),
        None => version_id()?,
    };
    let data = arguments.source.read()?;
    let answer = client
        .put(&arguments.name, &version, &data, &arguments.stage)
        .await?;
    let stages = cell_of(&answer.stages);
    let text = format!(
        "{}/{}: version {version} is {stages}",
        client.namespace(),
        arguments.name
    );
    out.tell(&answer, &text)?;
    let stage = arguments.stage.first().map_or("Current", String::as_str);
    let arrival = delivery::wait(client, &arguments.name, stage, &version, arguments.waiting).await?;
    if arrival.staged {
        out.progress(&format!("version {version} has arrived{}", arrival.in_words()));
    }
    Ok(())
}
