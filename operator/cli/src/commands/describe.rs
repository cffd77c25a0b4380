//! `describe`.

use strongroom_api::v1::SecretAnswer;

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Output, Table, cell_of};

/// Shows everything about a secret but its value
///
/// Example: kubectl strongroom describe db-main
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let secret: SecretAnswer = client.read(&arguments.name, "", &[]).await?;
    out.print(&secret, || {
        let mut table = Table::new(&["FIELD", "VALUE"]);
        for (name, said) in [
            ("namespace", cell_of(&secret.namespace)),
            ("name", cell_of(&secret.name)),
            ("description", cell_of(&secret.description)),
            ("labels", cell_of(&secret.labels)),
            ("encryptionKey", cell_of(&secret.encryption_key)),
            ("owningProduct", cell_of(&secret.owning_product)),
            ("hosting", cell_of(&secret.hosting)),
            ("stages", cell_of(&secret.stages)),
            ("created", cell_of(&secret.created)),
            ("updated", cell_of(&secret.updated)),
            ("lastRotation", cell_of(&secret.last_rotation)),
            ("deletion", cell_of(&secret.deletion)),
        ] {
            table.row(vec![name.to_owned(), said]);
        }
        table
    })
}
