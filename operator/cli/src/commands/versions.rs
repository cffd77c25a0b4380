//! `versions`.

use strongroom_api::v1::VersionsAnswer;

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Output, Table, cell_of};

/// Lists the versions of a secret, the newest first
///
/// Example: kubectl strongroom versions db-main --all
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
    /// Also shows versions without a stage
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let query = [("includeDeprecated", arguments.all.to_string())];
    let answer: VersionsAnswer = client.read(&arguments.name, "/versions", &query).await?;
    out.print(&answer, || {
        let mut table = Table::new(&["VERSION", "NUMBER", "STAGES", "CREATED", "TYPE"]);
        for version in &answer.versions {
            table.row(vec![
                version.version_id.clone(),
                version.sequence.to_string(),
                cell_of(&version.stages),
                cell_of(&version.created),
                version.data_type.to_string(),
            ]);
        }
        table
    })
}
