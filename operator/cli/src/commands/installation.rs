//! What the cluster says of the installation itself, as far as the person may see it: the APIService, the
//! claim of the store, and how its backups stand.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;
use strongroom_api::backup_status::{BACKUP_CONFIG_MAP, BACKUP_STATUS_KEY, BackupStatus};

use crate::cluster::Cluster;

/// The APIService of people's API.
const API_SERVICE: &str = "v1.people.strongroom.dev";

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Installation {
    /// What is wrong, in words.
    pub(super) problems: Vec<String>,
    /// How its backups stand, where the person may see that.
    pub(super) backups: Option<BackupStatus>,
}

/// Asks for what this person may see; what may not be seen, or is not there, is left out.
pub(super) async fn look(cluster: &Cluster) -> Installation {
    // Not to be seen by this person, or not there: others say that.
    let Ok(Some(service)) = Api::<APIService>::all(cluster.client.clone())
        .get_opt(API_SERVICE)
        .await
    else {
        return Installation::default();
    };
    let mut problems: Vec<String> = unavailable(&service).into_iter().collect();
    let Some((namespace, name)) = place(&service) else {
        return Installation {
            problems,
            backups: None,
        };
    };
    let claim = format!("data-{name}-0");
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), &namespace);
    if let Ok(Some(claim)) = claims.get_opt(&claim).await {
        problems.extend(unbound(&namespace, &claim));
    }
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &namespace);
    let map = maps.get_opt(BACKUP_CONFIG_MAP).await;
    let backups = map.ok().flatten().as_ref().and_then(backup_status);
    problems.extend(
        backups
            .iter()
            .flat_map(|status| status.problems(Timestamp::now())),
    );
    Installation { problems, backups }
}

fn backup_status(map: &ConfigMap) -> Option<BackupStatus> {
    serde_json::from_str(map.data.as_ref()?.get(BACKUP_STATUS_KEY)?).ok()
}

/// What people are told of backups in a line that says more; nothing where none are taken.
pub(super) fn backup_summary(status: &BackupStatus, now: Timestamp) -> Option<String> {
    status.schedule.as_ref()?;
    let ago = |at: Timestamp| {
        let hours = now.duration_since(at).as_hours().max(0);
        match hours {
            0 => "less than an hour ago".to_owned(),
            1..72 => format!("{hours} hours ago"),
            _ => format!("{} days ago", hours / 24),
        }
    };
    let newest = status.newest.as_ref().map_or_else(
        || "no verified backup".to_owned(),
        |newest| format!("last verified backup {}", ago(newest.taken)),
    );
    let drill = status.drill.as_ref().map_or_else(
        || "no drill".to_owned(),
        |drill| format!("last drill {}", ago(drill.at)),
    );
    Some(format!(
        "; {newest}, {drill}, {} recovery keys",
        status.recovery_slots
    ))
}

/// Namespace and name of the installation: the Service of its extension API server is named after it.
fn place(service: &APIService) -> Option<(String, String)> {
    let reference = service.spec.as_ref()?.service.as_ref()?;
    let name = reference.name.as_deref()?.strip_suffix("-front")?;
    Some((reference.namespace.clone()?, name.to_owned()))
}

fn unavailable(service: &APIService) -> Option<String> {
    let conditions = service
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let available = conditions
        .into_iter()
        .find(|condition| condition.type_ == "Available")?;
    (available.status != "True").then(|| {
        format!(
            "the extension API server is not available ({}); until it is, no namespace of the cluster can be deleted; if it stays unavailable, run: \
             kubectl delete apiservice {API_SERVICE}",
            available.reason.as_deref().unwrap_or("no reason given")
        )
    })
}

fn unbound(namespace: &str, claim: &PersistentVolumeClaim) -> Option<String> {
    let phase = claim.status.as_ref()?.phase.as_deref()?;
    let name = claim.metadata.name.as_deref()?;
    (phase != "Bound").then(|| {
        format!(
            "the claim of the store is {phase}, so Strongroom cannot start; see: kubectl -n {namespace} describe persistentvolumeclaim {name}"
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_installation_that_does_not_serve_is_told() {
        let service = |available: &str| -> APIService {
            serde_json::from_value(json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API_SERVICE},
                "spec": {"groupPriorityMinimum": 1000, "versionPriority": 15,
                    "service": {"namespace": "strongroom", "name": "vault-front"}},
                "status": {"conditions": [{"type": "Available", "status": available, "reason": "MissingEndpoints"}]},
            }))
            .unwrap()
        };
        assert_eq!(
            place(&service("True")),
            Some(("strongroom".to_owned(), "vault".to_owned()))
        );
        assert_eq!(unavailable(&service("True")), None);
        let told = unavailable(&service("False")).unwrap();
        assert!(
            told.contains("kubectl delete apiservice v1.people.strongroom.dev"),
            "{told}"
        );
        let claim = |phase: &str| -> PersistentVolumeClaim {
            serde_json::from_value(json!({"metadata": {"name": "data-vault-0"}, "status": {"phase": phase}}))
                .unwrap()
        };
        assert_eq!(unbound("strongroom", &claim("Bound")), None);
        assert!(
            unbound("strongroom", &claim("Pending"))
                .unwrap()
                .contains("is Pending")
        );
    }

    #[test]
    fn backups_are_told_in_a_few_words() {
        let map: ConfigMap = serde_json::from_value(json!({
            "metadata": {"name": BACKUP_CONFIG_MAP},
            "data": {"status.json": json!({
                "schedule": "0 3 * * *", "recoverySlots": 1,
                "newest": {"name": "b", "taken": "2026-11-24T03:00:00Z", "bytes": 1, "secrets": 1},
                "drill": {"at": "2026-11-20T03:00:00Z", "backup": "b"},
            }).to_string()},
        }))
        .unwrap();
        let status = backup_status(&map).unwrap();
        let now = "2026-11-24T05:00:00Z".parse().unwrap();
        assert_eq!(
            backup_summary(&status, now).unwrap(),
            "; last verified backup 2 hours ago, last drill 4 days ago, 1 recovery keys"
        );
        assert_eq!(backup_summary(&BackupStatus::default(), now), None);
    }
}
