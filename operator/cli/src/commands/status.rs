//! `status`.

use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use strongroom_crds::v1alpha1::ManagedSecret;

use super::key::cluster;
use crate::failure::Failure;
use crate::output::{Format, Output, Table, cell, field};
use crate::people::People;

/// Shows whether Strongroom answers, and how the ManagedSecrets stand
///
/// Example: kubectl strongroom status --all-namespaces
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only those that are not ready
    #[arg(long)]
    not_ready: bool,
}

pub(crate) async fn run(arguments: &Arguments, people: &People, out: &Output) -> Result<(), Failure> {
    let client = people.cluster.client.clone();
    let api: Api<ManagedSecret> = if arguments.all_namespaces {
        Api::all(client)
    } else {
        Api::namespaced(client, people.namespace())
    };
    let answers = match people.list(&[("limit", "1".to_owned())]).await {
        Ok(_) => "people.strongroom.dev answers".to_owned(),
        Err(error) => error.to_string(),
    };
    let objects = api.list(&ListParams::default()).await.map_err(cluster)?;
    let secrets: Vec<Value> = objects.iter().map(standing).collect();
    let ready = |secret: &&Value| field(secret, "ready") == "True";
    let number = secrets.iter().filter(ready).count();
    let summary = format!("{} ManagedSecrets, {number} ready; {answers}", secrets.len());
    let shown: Vec<&Value> = secrets
        .iter()
        .filter(|secret| !arguments.not_ready || !ready(secret))
        .collect();
    let answer = json!({"api": answers, "managedSecrets": secrets.len(), "ready": number, "secrets": shown});
    if out.format == Format::Table {
        out.line(&summary)?;
        if shown.is_empty() {
            return Ok(());
        }
    }
    out.print(&answer, || {
        let mut table = Table::new(&[
            "NAMESPACE",
            "NAME",
            "READY",
            "REASON",
            "CURRENT",
            "LAST ROTATION",
            "NEXT ROTATION",
        ]);
        for secret in &shown {
            let fields = [
                "namespace",
                "name",
                "ready",
                "reason",
                "current",
                "lastRotation",
                "nextRotation",
            ];
            table.row(fields.map(|name| cell(field(secret, name))).to_vec());
        }
        table
    })
}

fn standing(object: &ManagedSecret) -> Value {
    let status = serde_json::to_value(&object.status).unwrap_or_default();
    let conditions = field(&status, "conditions")
        .as_array()
        .cloned()
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| field(condition, "type") == "Ready")
        .cloned()
        .unwrap_or_default();
    json!({
        "namespace": object.namespace(), "name": object.name_any(),
        "ready": field(&ready, "status"), "reason": field(&ready, "reason"), "message": field(&ready, "message"),
        "current": field(field(&status, "stages"), "Current"),
        "lastRotation": field(&status, "lastRotation"), "nextRotation": field(&status, "nextRotation"),
    })
}
