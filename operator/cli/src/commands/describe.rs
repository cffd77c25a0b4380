//! `describe`.

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Output, Table, cell, field};

/// Shows everything about a secret but its value
///
/// Example: kubectl strongroom describe db-main
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let secret = client.read(&arguments.name, "", &[]).await?;
    out.print(&secret, || {
        let mut table = Table::new(&["FIELD", "VALUE"]);
        for name in [
            "namespace",
            "name",
            "description",
            "labels",
            "encryptionKey",
            "stages",
            "created",
            "updated",
            "lastRotation",
            "deletion",
        ] {
            table.row(vec![name.to_owned(), cell(field(&secret, name))]);
        }
        table
    })
}
