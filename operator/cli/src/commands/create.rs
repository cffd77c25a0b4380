//! `create`.

use strongroom_api::v1::CreateSecretRequest;

use crate::api_client::{ApiClient, segment};
use crate::data::{Source, version_id};
use crate::failure::Failure;
use crate::output::Output;

/// Creates a secret with its first version
///
/// This also creates a ManagedSecret with `source: {external: {}}`. The value is read from standard input or
/// files. Examples:
///
///   kubectl strongroom create partner --key token < token.txt
///
///   kubectl strongroom create team/smtp --from-file password=./password --description "the mail relay"
///   --label team=shop
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    #[command(flatten)]
    source: Source,
    /// The first version's id; default: a new one
    #[arg(long, value_name = "ID")]
    version_id: Option<String>,
    /// Description of the secret
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A label; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// The EncryptionKey for it; default: the default key of the namespace
    #[arg(long, value_name = "NAME")]
    encryption_key: Option<String>,
}

fn label(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "give it as KEY=VALUE".to_owned())
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let version = match &arguments.version_id {
        Some(id) => segment(id)?.to_owned(),
        None => version_id()?,
    };
    let request = CreateSecretRequest {
        name: arguments.name.clone(),
        version_id: version.clone(),
        data: None,
        sealed: None,
        description: arguments.description.clone(),
        labels: arguments.label.iter().cloned().collect(),
        encryption_key: arguments.encryption_key.clone(),
    };
    let data = arguments.source.read()?;
    let answer = client.create(&data, request).await?;
    let text = format!(
        "{}/{} was created; version {version} is Current",
        client.namespace(),
        arguments.name
    );
    out.tell(&answer, &text)
}
