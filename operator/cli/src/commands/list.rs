//! `list`.

use serde_json::{Value, json};

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Output, Table, cell, field, items};

/// Lists the secrets of a namespace that you may list
///
/// Examples:
///
///   kubectl strongroom list -n shop
///
///   kubectl strongroom list --label team=payments --output json
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
    let mut secrets: Vec<Value> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut query = filter.clone();
        query.extend(after.take().map(|after| ("after", after)));
        let page = client.list(&query).await?;
        secrets.extend_from_slice(items(&page, "secrets"));
        match field(&page, "next").as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    if secrets.is_empty() {
        out.progress(&format!(
            "no secret in namespace {} that you may list",
            client.namespace()
        ));
    }
    out.print(&json!({"secrets": secrets}), || {
        let mut table = Table::new(&["NAME", "CURRENT", "KEY", "UPDATED", "DESTROYED", "DESCRIPTION"]);
        for secret in &secrets {
            let current = field(field(secret, "stages"), "Current");
            table.row(
                [field(secret, "name"), current]
                    .into_iter()
                    .chain(
                        ["encryptionKey", "updated", "deletion", "description"]
                            .map(|name| field(secret, name)),
                    )
                    .map(cell)
                    .collect(),
            );
        }
        table
    })
}
