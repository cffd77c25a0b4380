//! `policy`.

mod ram;

use std::path::PathBuf;

use http::Method;
use serde_json::{Value, json};
use strongroom_api::v1::OwnPolicy;

use crate::api_client::ApiClient;
use crate::data::text;
use crate::failure::Failure;
use crate::output::{Format, Output};

/// Reads and sets the policy of a single secret, and converts policies of RAM
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    Get(Get),
    Set(Set),
    Import(ram::Import),
    Export(ram::Export),
}

/// Shows the statements of the secret's own policy
///
/// Example: kubectl strongroom policy get db-main
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The secret, by its name in the store
    name: String,
}

/// Replaces the statements of the secret's own policy
///
/// The file is YAML or JSON: a list of statements as in a SecretPolicy, or an object with `statements`.
/// Example:
///
///   kubectl strongroom policy get db-main > policy.yaml; edit it; kubectl strongroom policy set db-main
///   --file policy.yaml
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// The secret, by its name in the store
    name: String,
    /// The file; `-` is standard input
    #[arg(short, long, value_name = "PATH")]
    file: PathBuf,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    match arguments {
        Arguments::Get(get) => {
            let answer: OwnPolicy = client.read(&get.name, "/policy", &[]).await?;
            // Statements are no table.
            let format = if out.format == Format::Json {
                Format::Json
            } else {
                Format::Yaml
            };
            Output::new(format).tell(&answer, "")
        }
        Arguments::Set(set) => {
            let body = statements(&text(&set.file)?)?;
            let answer: OwnPolicy = client.change(Method::PUT, &set.name, "/policy", &body).await?;
            let count = answer.statements.len();
            out.tell(
                &answer,
                &format!(
                    "{}/{}: {count} statements are in force",
                    client.namespace(),
                    set.name
                ),
            )
        }
        Arguments::Import(import) => ram::import(import, &client.cluster, out).await,
        Arguments::Export(export) => ram::export(export, &client.cluster, out).await,
    }
}

fn statements(text: &str) -> Result<Value, Failure> {
    let read: Value = serde_saphyr::from_str(text)
        .map_err(|error| Failure::Input(format!("the file is not YAML: {error}")))?;
    match read {
        Value::Array(statements) => Ok(json!({"statements": statements})),
        Value::Object(mut fields) if fields.contains_key("statements") => {
            Ok(json!({"statements": fields.remove("statements")}))
        }
        _ => Err(Failure::Input(
            "the file is neither a list of statements nor an object with `statements`".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_an_object_are_read_alike() {
        let expected = json!({"statements": [{"effect": "Allow"}]});
        for text in [
            "- effect: Allow",
            "statements:\n- effect: Allow\n",
            "{\"statements\": [{\"effect\": \"Allow\"}]}",
        ] {
            assert_eq!(statements(text).unwrap(), expected, "{text}");
        }
        for text in ["", "effect: Allow", "[", "7"] {
            assert!(statements(text).is_err(), "{text}");
        }
    }
}
