//! What the cluster says of the installation itself, as far as the person may see it: the APIService, and the
//! claim of the store.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;

use crate::cluster::Cluster;

/// The APIService of people's API.
const API_SERVICE: &str = "v1.people.strongroom.dev";

/// What is wrong with it, in words.
pub(super) async fn problems(cluster: &Cluster) -> Vec<String> {
    // Not to be seen by this person, or not there: others say that.
    let Ok(Some(service)) = Api::<APIService>::all(cluster.client.clone())
        .get_opt(API_SERVICE)
        .await
    else {
        return Vec::new();
    };
    let mut problems: Vec<String> = unavailable(&service).into_iter().collect();
    let Some((namespace, name)) = place(&service) else {
        return problems;
    };
    let claim = format!("data-{name}-0");
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), &namespace);
    if let Ok(Some(claim)) = claims.get_opt(&claim).await {
        problems.extend(unbound(&namespace, &claim));
    }
    problems
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
}
