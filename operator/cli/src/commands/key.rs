//! `key`.

use std::time::Duration;

use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde::Serialize;
use serde_json::json;
use strongroom_crds::condition::ConditionType;
use strongroom_crds::v1alpha1::{EncryptionKey, EncryptionKeyState, EncryptionKeyStatus};

use super::delivery::parse_wait;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::{Output, Table, cell_of};

/// Lists, enables and disables the EncryptionKeys of a namespace
///
/// They are custom resources: users who may change them with kubectl may change them here.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    /// Lists the keys, with how many secrets use them
    List,
    /// Enables a key again, and returns when secrets under it can be read, written and rotated again
    ///
    /// Example: kubectl strongroom key enable payments
    Enable(KeyArguments),
    /// Disables a key, and returns when secrets under it can no longer be read, written or rotated
    ///
    /// Files in running pods stay. Example: kubectl strongroom key disable payments
    Disable(KeyArguments),
}

/// Which key, and how long to wait.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArguments {
    /// The EncryptionKey
    name: String,
    /// How long to wait until the change has taken effect; 0s: do not wait
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_wait)]
    wait: Duration,
}

/// How often to look.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) async fn run(arguments: &Arguments, cluster: &Cluster, out: &Output) -> Result<(), Failure> {
    let api: Api<EncryptionKey> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    match arguments {
        Arguments::List => list(cluster, &api, out).await,
        Arguments::Enable(named) => set(cluster, &api, named, true, out).await,
        Arguments::Disable(named) => set(cluster, &api, named, false, out).await,
    }
}

/// A row of `key list -o json`.
#[derive(Debug, Serialize)]
struct ListedKey {
    name: String,
    enabled: bool,
    status: Option<EncryptionKeyStatus>,
}

async fn list(cluster: &Cluster, api: &Api<EncryptionKey>, out: &Output) -> Result<(), Failure> {
    let keys = api
        .list(&ListParams::default())
        .await
        .map_err(|error| cluster.failure(error))?;
    let keys: Vec<ListedKey> = keys
        .items
        .into_iter()
        .map(|key| ListedKey {
            name: key.name_any(),
            enabled: key.spec.enabled.unwrap_or(true),
            status: key.status,
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
            let status = key.status.clone().unwrap_or_default();
            table.row(vec![
                key.name.clone(),
                cell_of(&status.state),
                cell_of(&status.primary_version),
                cell_of(&status.secrets),
                cell_of(&status.rewrap_pending),
                cell_of(&status.last_used),
                cell_of(&status.next_rotation),
            ]);
        }
        table
    })
}

async fn set(
    cluster: &Cluster,
    api: &Api<EncryptionKey>,
    named: &KeyArguments,
    enabled: bool,
    out: &Output,
) -> Result<(), Failure> {
    let patch = json!({"spec": {"enabled": enabled}});
    let params = PatchParams {
        field_manager: Some("kubectl-strongroom".to_owned()),
        ..PatchParams::default()
    };
    let name = &named.name;
    let mut key = api
        .patch(name, &params, &Patch::Merge(&patch))
        .await
        .map_err(|error| cluster.failure(error))?;
    let deadline = tokio::time::Instant::now() + named.wait;
    while !is_applied(&key, enabled) && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(POLL_INTERVAL).await;
        key = api.get(name).await.map_err(|error| cluster.failure(error))?;
    }
    let done = is_applied(&key, enabled);
    if !done && !named.wait.is_zero() {
        return Err(Failure::NotDelivered(format!(
            "EncryptionKey {name}: spec.enabled is {enabled}, and after {} s its status is still {}: {}",
            named.wait.as_secs(),
            state_of(&key),
            ready_of(&key),
        )));
    }
    let answer = json!({"name": key.name_any(), "enabled": enabled, "state": state_of(&key), "done": done});
    let what = match (enabled, done) {
        (true, true) => "is enabled: secrets under it can be read, written and rotated",
        (false, true) => "is disabled: secrets under it cannot be read, written or rotated",
        (true, false) => "is being enabled",
        (false, false) => "is being disabled",
    };
    out.tell(&answer, &format!("EncryptionKey {name} {what}"))
}

/// Whether the controller has carried it out.
fn is_applied(key: &EncryptionKey, enabled: bool) -> bool {
    let wanted = if enabled {
        EncryptionKeyState::Enabled
    } else {
        EncryptionKeyState::Disabled
    };
    key.status.as_ref().is_some_and(|status| {
        status.state == Some(wanted) && status.observed_generation >= key.metadata.generation
    })
}

fn state_of(key: &EncryptionKey) -> String {
    let state = key.status.as_ref().and_then(|status| status.state);
    state.map_or_else(|| "Unknown".to_owned(), |state| cell_of(&state))
}

/// What its condition Ready says.
fn ready_of(key: &EncryptionKey) -> String {
    let conditions = key.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|condition| condition.type_ == ConditionType::Ready.as_str())
        .map(|condition| condition.message.clone())
        .next()
        .unwrap_or_else(|| "no controller has processed it; see `kubectl strongroom status`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_so_when_the_controller_says_it_of_this_generation() {
        let key = |generation: i64, observed: i64, state: &str| -> EncryptionKey {
            serde_json::from_value(json!({
                "apiVersion": "strongroom.dev/v1alpha1", "kind": "EncryptionKey",
                "metadata": {"name": "payments", "generation": generation}, "spec": {},
                "status": {"observedGeneration": observed, "state": state},
            }))
            .unwrap()
        };
        assert!(is_applied(&key(2, 2, "Disabled"), false));
        assert!(!is_applied(&key(2, 1, "Disabled"), false), "an older word");
        assert!(!is_applied(&key(2, 2, "Enabled"), false));
        assert!(is_applied(&key(2, 3, "Enabled"), true));
        assert_eq!(state_of(&key(1, 1, "PendingDeletion")), "PendingDeletion");
    }
}
