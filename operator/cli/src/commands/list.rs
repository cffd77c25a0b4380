//! `list`.

use serde_json::json;
use strongroom_api::v1::SecretAnswer;

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Output, Table, cell_of};

/// Lists the secrets of a namespace that you may list
///
/// Examples:
///
///   kubectl strongroom list -n shop
///
///   kubectl strongroom list --label team=payments --output json
///
///   kubectl strongroom list --name 'pg!'
#[derive(Debug, clap::Args)]
#[command(visible_alias = "ls")]
pub(crate) struct Arguments {
    /// Only secrets whose name contains this text
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only secrets whose description contains this text
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Only secrets with this label: `team`, or `team=payments`; may be repeated
    #[arg(short, long, value_name = "LABEL")]
    label: Vec<String>,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let mut filter: Vec<(&str, String)> = vec![("limit", "100".to_owned())];
    filter.extend(arguments.name.iter().map(|text| ("name", text.clone())));
    filter.extend(
        arguments
            .description
            .iter()
            .map(|text| ("description", text.clone())),
    );
    filter.extend(arguments.label.iter().map(|label| ("label", label.clone())));
    let mut secrets: Vec<SecretAnswer> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut query = filter.clone();
        query.extend(after.take().map(|after| ("after", after)));
        let page = client.list(&query).await?;
        secrets.extend(page.secrets);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if secrets.is_empty() {
        out.progress(&format!(
            "no secret in namespace {} that you may list",
            client.namespace()
        ));
    }
    out.print(&json!({"secrets": secrets}), || {
        let mut table = Table::new(&[
            "NAME",
            "PRODUCT",
            "HOSTING",
            "CURRENT",
            "KEY",
            "UPDATED",
            "DESTROYED",
            "DESCRIPTION",
        ]);
        for secret in &secrets {
            table.row(vec![
                secret.name.clone(),
                cell_of(&secret.owning_product),
                cell_of(&secret.hosting),
                cell_of(&secret.stages.get("Current")),
                cell_of(&secret.encryption_key),
                cell_of(&secret.updated),
                cell_of(&secret.deletion),
                cell_of(&secret.description),
            ]);
        }
        table
    })
}
