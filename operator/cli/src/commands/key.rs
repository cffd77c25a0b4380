//! `key`.

use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use strongroom_crds::v1alpha1::EncryptionKey;

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::{Output, Table, cell, field};

/// Lists, enables and disables the EncryptionKeys of a namespace
///
/// They are custom resources: whoever may change them with kubectl may change them here.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    /// Lists the keys with what lies under them
    List,
    Enable(Named),
    Disable(Named),
}

/// Lets a key work, or lets it no longer work
///
/// While a key is disabled nothing under it is read, written or rotated. Example: kubectl strongroom key disable payments
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// The EncryptionKey
    name: String,
}

pub(crate) async fn run(arguments: &Arguments, cluster: &Cluster, out: &Output) -> Result<(), Failure> {
    let api: Api<EncryptionKey> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    match arguments {
        Arguments::List => list(&api, out).await,
        Arguments::Enable(named) => set(&api, &named.name, true, out).await,
        Arguments::Disable(named) => set(&api, &named.name, false, out).await,
    }
}

async fn list(api: &Api<EncryptionKey>, out: &Output) -> Result<(), Failure> {
    let keys = api.list(&ListParams::default()).await.map_err(cluster)?;
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| {
            let status = serde_json::to_value(&key.status).unwrap_or_default();
            json!({"name": key.name_any(), "enabled": key.spec.enabled.unwrap_or(true), "status": status})
        })
        .collect();
    out.print(&json!({"keys": keys}), || {
        let mut table = Table::new(&[
            "NAME",
            "STATE",
            "VERSION",
            "SECRETS",
            "REWRAP",
            "LAST USED",
            "NEXT ROTATION",
        ]);
        for key in &keys {
            let status = field(key, "status");
            let of_status = [
                "state",
                "primaryVersion",
                "secrets",
                "rewrapPending",
                "lastUsed",
                "nextRotation",
            ];
            let mut row = vec![cell(field(key, "name"))];
            row.extend(of_status.map(|name| cell(field(status, name))));
            table.row(row);
        }
        table
    })
}

async fn set(api: &Api<EncryptionKey>, name: &str, enabled: bool, out: &Output) -> Result<(), Failure> {
    let patch = json!({"spec": {"enabled": enabled}});
    let params = PatchParams {
        field_manager: Some("kubectl-strongroom".to_owned()),
        ..PatchParams::default()
    };
    let key = api
        .patch(name, &params, &Patch::Merge(&patch))
        .await
        .map_err(cluster)?;
    let answer = json!({"name": key.name_any(), "enabled": enabled});
    let what = if enabled {
        "enabled"
    } else {
        "disabled: nothing under it is read, written or rotated"
    };
    out.tell(&answer, &format!("EncryptionKey {name} is {what}"))
}

/// What the API server says of a custom resource.
pub(super) fn cluster(error: kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => Failure::Cluster(status.message),
        error => Failure::Unreachable(Box::new(error)),
    }
}
