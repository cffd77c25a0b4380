//! `versions`.

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Output, Table, cell, field, items};

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
    let answer = client.read(&arguments.name, "/versions", &query).await?;
    out.print(&answer, || {
        let mut table = Table::new(&["VERSION", "NUMBER", "STAGES", "CREATED", "TYPE"]);
        for version in items(&answer, "versions") {
            let fields = ["versionId", "sequence", "stages", "created", "dataType"];
            table.row(fields.map(|name| cell(field(version, name))).to_vec());
        }
        table
    })
}
