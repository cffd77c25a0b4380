//! `render`.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use http::Method;
use serde_json::{Value as Json, json};
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_model::Value;
use strongroom_model::name::is_object_name;
use strongroom_render::attributes::{Attributes, RequestedVersion};
use strongroom_render::native::{self, DataError, Recipe};
use strongroom_render::plan::{self, PlanError, SecretInput};
use strongroom_render::variable;

use crate::api_client::ApiClient;
use crate::cluster::Cluster;
use crate::data::Data;
use crate::failure::Failure;
use crate::output::{Format, Output, Table};

/// Volumes of this driver are ours.
const DRIVER: &str = "csi.strongroom.dev";
/// The volume that holds the variables of a pod, and the annotation that says how they come to it.
const VARIABLES_VOLUME: &str = "strongroom-env";
const ENV_ANNOTATION: &str = "strongroom.dev/env";

/// Renders a native Secret, or a pod's volumes and variables, on this machine
///
/// Shows the result for a value, and where the value does not fit: which character, which line. Conditions
/// and events do not show this, because other people read them. Needs GetSecretValue, like `get`; nothing is
/// written.
///
/// Examples:
///
///   kubectl strongroom render checkout-db --key url --show
///
///   kubectl strongroom render --pod checkout-5d7f9
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The ManagedSecret whose native Secret is rendered
    #[arg(required_unless_present = "pod", conflicts_with = "pod")]
    name: Option<String>,
    /// The pod whose volumes and variables are rendered
    #[arg(long, value_name = "POD")]
    pod: Option<String>,
    /// Print one key of the native Secret, unchanged
    #[arg(long, value_name = "KEY", conflicts_with = "pod")]
    key: Option<String>,
    /// The version with this stage; default: Current
    #[arg(long, value_name = "STAGE", conflicts_with = "pod")]
    stage: Option<String>,
    /// The version with this id
    #[arg(long, value_name = "ID", conflicts_with_all = ["pod", "stage"])]
    version_id: Option<String>,
    /// Shows the result even on a terminal
    #[arg(long)]
    show: bool,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let hidden = out.terminal && !arguments.show;
    match (&arguments.name, &arguments.pod) {
        (Some(name), _) => native_secret(name, arguments, client, out, hidden).await,
        (None, Some(pod)) => volumes(pod, client, out, hidden).await,
        (None, None) => Err(Failure::Input(
            "name a ManagedSecret, or a pod with `--pod`".to_owned(),
        )),
    }
}

async fn native_secret(
    name: &str,
    arguments: &Arguments,
    client: &ApiClient,
    out: &Output,
    hidden: bool,
) -> Result<(), Failure> {
    let path = format!(
        "/apis/strongroom.dev/v1alpha1/namespaces/{}/managedsecrets/{}",
        client.namespace(),
        object_name(name)?
    );
    let object: ManagedSecret = object(client, &path, &format!("ManagedSecret `{name}`")).await?;
    let Some(spec) = &object.spec.secret else {
        let why = format!(
            "ManagedSecret `{name}` has no native Secret: `spec.secret` names none; `get` shows its value"
        );
        return Err(Failure::Input(why));
    };
    let stored = object.spec.store_name.as_deref().unwrap_or(name);
    let (version, value) = value(client, stored, &query(&arguments.stage, &arguments.version_id)).await?;
    let recipe = Recipe {
        type_: spec.type_.as_deref().unwrap_or("Opaque"),
        keys: spec.keys.as_deref(),
        templates: spec.template.as_ref(),
    };
    let data = native::data(recipe, &value).map_err(|error| match &error {
        DataError::Mismatch(mismatch) => told(mismatch.detail().expose()),
        other => Failure::Input(other.to_string()),
    })?;
    if let Some(key) = &arguments.key {
        let bytes = data.key(key).ok_or_else(|| {
            let names: Vec<&str> = data.names().collect();
            Failure::Input(format!(
                "the native Secret has no key `{key}`; it has {}",
                names.join(", ")
            ))
        })?;
        if !hidden && out.format == Format::Table {
            return out.raw(bytes.expose());
        }
    }
    let wanted = |key: &str| arguments.key.as_deref().is_none_or(|only| only == key);
    let keys = || data.iter().filter(|(key, _)| wanted(key));
    let fields = keys().map(|(key, bytes)| (key.to_owned(), encoded(bytes.expose(), hidden)));
    let answer = json!({
        "namespace": client.namespace(), "name": name, "versionId": version, "data": Json::Object(fields.collect()),
    });
    out.print(&answer, || {
        let mut table = Table::new(&["KEY", "VALUE"]);
        for (key, bytes) in keys() {
            table.row(vec![key.to_owned(), shown(bytes.expose(), hidden)]);
        }
        table
    })?;
    hint(out, hidden)
}

async fn volumes(pod: &str, client: &ApiClient, out: &Output, hidden: bool) -> Result<(), Failure> {
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}",
        client.namespace(),
        object_name(pod)?
    );
    let object: Json = object(client, &path, &format!("pod `{pod}`")).await?;
    let group = object
        .pointer("/spec/securityContext/fsGroup")
        .is_some_and(Json::is_number);
    let by_file = object
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(ENV_ANNOTATION))
        .is_some_and(|env| env == "file");
    let declared = object.pointer("/spec/volumes").and_then(Json::as_array);
    let ours = declared.into_iter().flatten().filter_map(|volume| {
        let csi = volume.get("csi")?;
        (csi.get("driver")? == DRIVER).then(|| (text(volume.get("name")), csi.get("volumeAttributes")))
    });
    let ours: Vec<(String, Option<&Json>)> = ours.collect();
    if ours.is_empty() {
        return Err(Failure::Input(format!("pod `{pod}` has no volume of `{DRIVER}`")));
    }
    let mut rendered = Vec::new();
    let mut failed = Vec::new();
    for (name, attributes) in ours {
        match volume(client, pod, group, attributes).await {
            Ok(plan) => {
                for (path, file) in &plan.files {
                    let bytes = file.bytes.expose();
                    let unfit = (name == VARIABLES_VOLUME)
                        .then(|| variable::unfit(by_file, path.as_str(), bytes))
                        .flatten();
                    if let Some(why) = unfit {
                        failed.push(format!("variable `{path}`: {why}"));
                    }
                    let mode = format!("{:04o}", file.mode.bits());
                    rendered.push((
                        name.clone(),
                        path.to_string(),
                        mode,
                        encoded(bytes, hidden),
                        shown(bytes, hidden),
                    ));
                }
            }
            Err(Failure::Input(why)) => failed.push(format!("volume `{name}`: {why}")),
            Err(other) => return Err(other),
        }
    }
    let files = rendered.iter().map(
        |(volume, path, mode, data, _)| json!({"volume": volume, "path": path, "mode": mode, "data": data}),
    );
    let answer = json!({"namespace": client.namespace(), "pod": pod, "files": files.collect::<Vec<_>>()});
    if !rendered.is_empty() {
        out.print(&answer, || {
            let mut table = Table::new(&["VOLUME", "FILE", "MODE", "VALUE"]);
            for (volume, path, mode, _, value) in &rendered {
                table.row(vec![volume.clone(), path.clone(), mode.clone(), value.clone()]);
            }
            table
        })?;
        hint(out, hidden)?;
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Input(failed.join("\n")))
    }
}

/// The files of a volume, of the values that the person may read.
async fn volume(
    client: &ApiClient,
    pod: &str,
    group: bool,
    attributes: Option<&Json>,
) -> Result<plan::Plan, Failure> {
    let context: BTreeMap<String, String> = attributes
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), text(Some(value))))
        .collect();
    let attributes = Attributes::parse(&context).map_err(|error| Failure::Input(error.to_string()))?;
    plan::check_store_count(&attributes).map_err(|error| Failure::Input(error.to_string()))?;
    let mut values = Vec::new();
    for secret in &attributes.secrets {
        let query = match &secret.version {
            RequestedVersion::Stage(stage) => query(&Some(stage.clone()), &None),
            RequestedVersion::Id(id) => query(&None, &Some(id.clone())),
        };
        let namespace = secret
            .namespace
            .clone()
            .unwrap_or_else(|| client.namespace().to_owned());
        let there = ApiClient {
            cluster: Cluster {
                namespace,
                ..client.cluster.clone()
            },
        };
        values.push(value(&there, &secret.name, &query).await?);
    }
    let facts: Vec<SecretInput<'_>> = values
        .iter()
        .map(|(version_id, value)| SecretInput {
            version_id,
            value,
            ended: false,
            offline: false,
        })
        .collect();
    let place = plan::PlanTarget {
        pod,
        group,
        // What a volume may take by default is a setting of the node.
        size: attributes.size.unwrap_or(u64::MAX),
    };
    plan::plan(&attributes, &facts, place).map_err(|error| match &error {
        PlanError::Mismatch { mismatch, .. } => told(mismatch.detail().expose()),
        other => Failure::Input(other.to_string()),
    })
}

/// An object that the person may read.
async fn object<T: serde::de::DeserializeOwned>(
    client: &ApiClient,
    path: &str,
    what: &str,
) -> Result<T, Failure> {
    let answer = client.cluster.call(Method::GET, path, None).await;
    let answer = answer.map_err(|error| match error {
        Failure::NoSuchApi { .. } => Failure::Input(format!(
            "there is no {what} in namespace `{}`",
            client.namespace()
        )),
        other => other,
    })?;
    serde_json::from_slice(&answer).map_err(|error| Failure::Malformed(error.to_string()))
}

/// A name as a part of a path (RFC 1123).
fn object_name(name: &str) -> Result<&str, Failure> {
    if !is_object_name(name) || matches!(name, "." | "..") {
        return Err(Failure::Input(format!(
            "`{name}` is not a valid object name: use lower-case letters, digits, `-` and `.`"
        )));
    }
    Ok(name)
}

fn query(stage: &Option<String>, version_id: &Option<String>) -> Vec<(&'static str, String)> {
    let which = [("stage", stage), ("versionId", version_id)];
    which
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)))
        .collect()
}

async fn value(client: &ApiClient, name: &str, query: &[(&str, String)]) -> Result<(String, Value), Failure> {
    let opened = client.value(name, query).await?;
    let (_, data) = Data::from_answer(&opened.bytes)?;
    let mut value = Value::new();
    for (key, bytes) in data.keys() {
        value.insert(key, bytes.to_vec());
    }
    Ok((opened.version, value))
}

fn text(value: Option<&Json>) -> String {
    value.and_then(Json::as_str).unwrap_or_default().to_owned()
}

/// What is told of a value, as a terminal may show it.
fn told(detail: &str) -> Failure {
    let escaped = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    Failure::Input(detail.chars().map(escaped).collect())
}

fn encoded(bytes: &[u8], hidden: bool) -> Json {
    if hidden {
        Json::Null
    } else {
        json!(BASE64.encode(bytes))
    }
}

fn shown(bytes: &[u8], hidden: bool) -> String {
    match (hidden, std::str::from_utf8(bytes)) {
        (true, _) => format!("{} bytes", bytes.len()),
        (false, Ok(text)) => text.to_owned(),
        (false, Err(_)) => format!("{} (base64)", BASE64.encode(bytes)),
    }
}

fn hint(out: &Output, hidden: bool) -> Result<(), Failure> {
    if hidden && out.format == Format::Table {
        out.line("it renders; --show shows the result")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_value_cannot_steer_a_terminal() {
        let text = told("character 1 is \u{1b}[2J\r\n").to_string();
        assert_eq!(text, "character 1 is \\u{1b}[2J\\r\\n");
    }

    #[test]
    fn names_of_objects_make_no_other_path() {
        assert_eq!(object_name("app-1.x").unwrap(), "app-1.x");
        for bad in ["", "..", "a/b", "a?b", "A", "a b"] {
            assert!(object_name(bad).is_err(), "{bad}");
        }
    }
}
