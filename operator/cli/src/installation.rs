//! Where Strongroom is installed, as the APIService of people's API tells.

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;

use crate::cluster::Cluster;
use crate::fact::Fact;

/// The APIService of people's API.
pub(crate) const API_SERVICE: &str = "v1.people.strongroom.dev";

/// Where the installation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) namespace: String,
    /// Its name there.
    pub(crate) name: String,
}

impl Place {
    /// Namespace and name of the installation: the Service of its extension API server is named after it.
    pub(crate) fn of_service(service: &APIService) -> Option<Self> {
        let reference = service.spec.as_ref()?.service.as_ref()?;
        let name = reference.name.as_deref()?.strip_suffix("-front")?;
        Some(Self {
            namespace: reference.namespace.clone()?,
            name: name.to_owned(),
        })
    }
}

/// The APIService, as far as the person may see it.
pub(crate) async fn service(cluster: &Cluster) -> Fact<APIService> {
    let services: Api<APIService> = Api::all(cluster.client.clone());
    let found = services.get_opt(API_SERVICE).await;
    Fact::from_answer(cluster, found, format!("`get` of APIService `{API_SERVICE}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_installation_is_found_by_its_service() {
        let service: APIService = serde_json::from_value(json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API_SERVICE},
            "spec": {"groupPriorityMinimum": 1000, "versionPriority": 15,
                "service": {"namespace": "strongroom", "name": "vault-front"}},
        }))
        .unwrap();
        let found = Place {
            namespace: "strongroom".to_owned(),
            name: "vault".to_owned(),
        };
        assert_eq!(Place::of_service(&service), Some(found));
    }
}
