//! `get`.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::api_client::{ApiClient, Query};
use crate::data::Data;
use crate::failure::Failure;
use crate::output::{Format, Output, Table, value_of};

/// Reads a value
///
/// On a terminal it prints only a summary, unless you pass --show; to a pipe or a file it prints the value.
/// The value is encrypted in transit for this call alone.
///
/// Examples:
///
///   kubectl strongroom get db-main --key password --show
///
///   kubectl strongroom get db-main --stage Previous --output json | jq -r .data.password | base64 -d
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
    /// Print one key of the value, unchanged
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The version with this stage; default: Current
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// The version with this id
    #[arg(long, value_name = "ID")]
    version_id: Option<String>,
    /// Shows the value even on a terminal
    #[arg(long)]
    show: bool,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let which = [
        ("stage", &arguments.stage),
        ("versionId", &arguments.version_id),
        ("key", &arguments.key),
    ];
    let query: Vec<(&str, String)> = which
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)))
        .collect();
    let hidden = out.terminal && !arguments.show;
    if let Some(key) = arguments.key.as_ref().filter(|_| !hidden) {
        return one(&arguments.name, key, client, &query, out).await;
    }
    let query: Vec<(&str, String)> = query.into_iter().filter(|(name, _)| *name != "key").collect();
    let opened = client.value(&arguments.name, &query).await?;
    let (answer, data) = Data::from_answer(&opened.bytes)?;
    let shown = |bytes: &[u8]| match (hidden, std::str::from_utf8(bytes)) {
        (true, _) => format!("{} bytes", bytes.len()),
        (false, Ok(text)) => text.to_owned(),
        (false, Err(_)) => format!("{} (base64)", BASE64.encode(bytes)),
    };
    let mut shown_answer = value_of(&answer)?;
    if let Some(fields) = shown_answer.as_object_mut() {
        let encoded = |bytes: &[u8]| {
            if hidden {
                Value::Null
            } else {
                json!(BASE64.encode(bytes))
            }
        };
        let keys = data.keys().map(|(key, bytes)| (key.to_owned(), encoded(bytes)));
        fields.insert("data".to_owned(), Value::Object(keys.collect()));
    }
    out.print(&shown_answer, || {
        let mut table = Table::new(&["KEY", "VALUE"]);
        for (key, bytes) in data.keys() {
            table.row(vec![key.to_owned(), shown(bytes)]);
        }
        table
    })?;
    if hidden && out.format == Format::Table {
        out.line(&format!(
            "version {}; --show shows the value, and --key one key of it",
            opened.version
        ))?;
    }
    Ok(())
}

async fn one(
    name: &str,
    key: &str,
    client: &ApiClient,
    query: &Query<'_>,
    out: &Output,
) -> Result<(), Failure> {
    let opened = client.value(name, query).await?;
    match out.format {
        Format::Table => out.raw(&opened.bytes),
        Format::Json | Format::Yaml => {
            let answer = json!({
                "namespace": client.namespace(), "name": name, "versionId": opened.version,
                "data": {key: BASE64.encode(&opened.bytes)},
            });
            out.tell(&answer, "")
        }
    }
}
