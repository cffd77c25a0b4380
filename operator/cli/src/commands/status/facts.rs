//! What the cluster says of the installation, as far as the person may see it: each fact, or why it is not
//! known.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use strongroom_api::backup_status::{BACKUP_CONFIG_MAP, BACKUP_STATUS_KEY, BackupStatus};
use strongroom_api::installation_status::ManagedSecretSummary;
use strongroom_api::problem::Code;
use strongroom_api::process_report::{PROCESS_REPORT_KEY, ProcessReport};
use strongroom_api::v1::DeletedSecretsPage;
use strongroom_crds::v1alpha1::ManagedSecret;

use crate::api_client::ApiClient;
use crate::cluster::Cluster;
use crate::fact::Fact;
use crate::failure::Failure;
use crate::installation::{self, Place};

/// The Lease of the process with the store.
const LEASE: &str = "strongroom";

/// Whether people's API answers.
#[derive(Clone, Debug)]
pub(super) enum ApiAnswer {
    /// It does, or the API server in front of it, if only with a refusal.
    Answers(String),
    /// It does not.
    Silent(String),
}

/// Everything that is looked at.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) now: Timestamp,
    /// Namespace that the person means.
    pub(super) namespace: String,
    /// Whether all of them are meant where ManagedSecrets are counted.
    pub(super) all_namespaces: bool,
    pub(super) api: ApiAnswer,
    pub(super) service: Fact<APIService>,
    /// Known where the APIService is seen.
    pub(super) place: Option<Place>,
    pub(super) claim: Fact<PersistentVolumeClaim>,
    pub(super) lease: Fact<Lease>,
    pub(super) process: Fact<ProcessReport>,
    pub(super) backups: Fact<BackupStatus>,
    /// How many hours the audit log holds, for whoever may list it.
    pub(super) held_hours: Option<f64>,
    /// What the namespace has of the store, and what is in recovery windows there.
    pub(super) room: Fact<DeletedSecretsPage>,
    pub(super) secrets: Fact<Vec<ManagedSecretSummary>>,
}

/// What the objects of the installation say.
struct InstallationFacts {
    service: Fact<APIService>,
    place: Option<Place>,
    claim: Fact<PersistentVolumeClaim>,
    lease: Fact<Lease>,
    process: Fact<ProcessReport>,
    backups: Fact<BackupStatus>,
}

impl Facts {
    /// Asks for everything that this person may see.
    ///
    /// # Errors
    /// [`Failure::NotReachable`] where the API server is.
    pub(super) async fn gather(client: &ApiClient, all_namespaces: bool) -> Result<Self, Failure> {
        let api = match client.list(&[("limit", "1".to_owned())]).await {
            Ok(_) => ApiAnswer::Answers(format!(
                "people.strongroom.dev answers at {}",
                client.cluster.server
            )),
            Err(error @ Failure::Unreachable { .. }) => return Err(Failure::NotReachable(error.to_string())),
            Err(error) if is_somebodys_answer(&error) => ApiAnswer::Answers(error.to_string()),
            Err(error) => ApiAnswer::Silent(error.to_string()),
        };
        let (installation, room, held_hours, secrets) = tokio::join!(
            of_installation(&client.cluster),
            room(client),
            client.audit_held_hours(),
            managed_secrets(&client.cluster, all_namespaces),
        );
        let InstallationFacts {
            service,
            place,
            claim,
            lease,
            process,
            backups,
        } = installation;
        Ok(Self {
            now: Timestamp::now(),
            namespace: client.namespace().to_owned(),
            all_namespaces,
            api,
            service,
            place,
            claim,
            lease,
            process,
            backups,
            held_hours,
            room,
            secrets,
        })
    }
}

async fn of_installation(cluster: &Cluster) -> InstallationFacts {
    let service = installation::service(cluster).await;
    let Some(place) = service.seen().and_then(Place::of_service) else {
        return InstallationFacts {
            place: None,
            claim: service.missing(),
            lease: service.missing(),
            process: service.missing(),
            backups: service.missing(),
            service,
        };
    };
    let Place { namespace, name } = &place;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), namespace);
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let claim_name = format!("data-{name}-0");
    let (claim, lease, map) = tokio::join!(
        claims.get_opt(&claim_name),
        leases.get_opt(LEASE),
        maps.get_opt(BACKUP_CONFIG_MAP),
    );
    let right = |kind: &str, name: &str| format!("`get` of {kind} `{name}` in namespace `{namespace}`");
    let map = Fact::from_answer(cluster, map, right("ConfigMap", BACKUP_CONFIG_MAP));
    InstallationFacts {
        claim: Fact::from_answer(cluster, claim, right("PersistentVolumeClaim", &claim_name)),
        lease: Fact::from_answer(cluster, lease, right("Lease", LEASE)),
        process: part(&map, PROCESS_REPORT_KEY),
        backups: part(&map, BACKUP_STATUS_KEY),
        place: Some(place),
        service,
    }
}

/// What stands under a key of the ConfigMap.
fn part<T: DeserializeOwned>(map: &Fact<ConfigMap>, key: &str) -> Fact<T> {
    let Some(map) = map.seen() else {
        return map.missing();
    };
    let Some(text) = map.data.as_ref().and_then(|data| data.get(key)) else {
        return Fact::Absent;
    };
    match serde_json::from_str(text) {
        Ok(part) => Fact::Seen(part),
        Err(error) => Fact::Unreadable(format!(
            "`{key}` of ConfigMap `{BACKUP_CONFIG_MAP}` cannot be understood: {error}; do kubectl strongroom and the cluster have the same version?"
        )),
    }
}

async fn room(client: &ApiClient) -> Fact<DeletedSecretsPage> {
    match client.deleted(None).await {
        Ok(page) => Fact::Seen(page),
        Err(Failure::Forbidden(_)) => Fact::Hidden(format!(
            "ClusterRole `strongroom-purger` in namespace `{}`",
            client.namespace()
        )),
        Err(error) => Fact::Unreadable(error.to_string()),
    }
}

async fn managed_secrets(cluster: &Cluster, all_namespaces: bool) -> Fact<Vec<ManagedSecretSummary>> {
    let client = cluster.client.clone();
    let (api, place): (Api<ManagedSecret>, String) = if all_namespaces {
        (Api::all(client), "all namespaces".to_owned())
    } else {
        let place = format!("namespace `{}`", cluster.namespace);
        (Api::namespaced(client, &cluster.namespace), place)
    };
    let listed = api.list(&ListParams::default()).await;
    let summaries = listed.map(|objects| Some(objects.iter().map(summary).collect()));
    Fact::from_answer(cluster, summaries, format!("`list` of ManagedSecrets in {place}"))
}

fn summary(object: &ManagedSecret) -> ManagedSecretSummary {
    let summary = ManagedSecretSummary {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        ..ManagedSecretSummary::default()
    };
    let Some(status) = &object.status else {
        return summary;
    };
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
    ManagedSecretSummary {
        ready: ready.map(|ready| ready.status.clone()),
        reason: ready.map(|ready| ready.reason.clone()),
        message: ready.map(|ready| ready.message.clone()),
        current: status.stages.get("Current").cloned(),
        last_rotation: time(&status.last_rotation),
        next_rotation: time(&status.next_rotation),
        ..summary
    }
}

/// Whether Strongroom, or the API server in front of it, answered, if only with a refusal of what was asked.
fn is_somebodys_answer(error: &Failure) -> bool {
    match error {
        Failure::Forbidden(_) => true,
        Failure::Refused(problem) => !matches!(
            Code::from_name(&problem.code),
            Some(
                Code::StoreUnavailable
                    | Code::StoreDamaged
                    | Code::StoreFull
                    | Code::AuditUnavailable
                    | Code::Timeout
                    | Code::PoliciesUnavailable
            )
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_config_map_holds_is_read_or_said_to_be_missing() {
        let map = |data: serde_json::Value| -> Fact<ConfigMap> {
            Fact::Seen(serde_json::from_value(json!({"metadata": {}, "data": data})).unwrap())
        };
        let read = |map: &Fact<ConfigMap>| part::<BackupStatus>(map, BACKUP_STATUS_KEY);
        let there = map(json!({"status.json": r#"{"recoverySlots": 2}"#}));
        assert_eq!(read(&there).seen().unwrap().recovery_slots, 2);
        assert!(matches!(read(&map(json!({}))), Fact::Absent));
        assert!(matches!(
            read(&map(json!({"status.json": "["}))),
            Fact::Unreadable(_)
        ));
        let hidden = Fact::Hidden("a right".to_owned());
        assert!(matches!(read(&hidden), Fact::Hidden(right) if right == "a right"));
    }

    #[test]
    fn a_secret_is_summed_up_by_its_status() {
        let object: ManagedSecret = serde_json::from_value(json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
            "metadata": {"namespace": "shop", "name": "db"}, "spec": {"source": {"external": {}}},
            "status": {
                "conditions": [{
                    "type": "Ready", "status": "False", "reason": "PolicyDenied", "message": "why",
                    "lastTransitionTime": "2026-11-24T05:00:00Z",
                }],
                "stages": {"Current": "v-1"}, "nextRotation": "2026-11-25T05:00:00Z",
            },
        }))
        .unwrap();
        let expected = ManagedSecretSummary {
            namespace: "shop".to_owned(),
            name: "db".to_owned(),
            ready: Some("False".to_owned()),
            reason: Some("PolicyDenied".to_owned()),
            message: Some("why".to_owned()),
            current: Some("v-1".to_owned()),
            last_rotation: None,
            next_rotation: Some("2026-11-25T05:00:00Z".parse().unwrap()),
        };
        assert_eq!(summary(&object), expected);
    }
}
