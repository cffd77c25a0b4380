//! What the cluster says of the way from a ServiceAccount's pods to a gateway, as far as the person may see
//! it.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;

use crate::cluster::Cluster;
use crate::fact::Fact;
use crate::installation::{self, Place};

/// The ConfigMap with the CA certificate.
pub(super) const CA: &str = "strongroom-ca";

/// A ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) namespace: String,
    /// Its `metadata.name`.
    pub(super) name: String,
}

impl Account {
    /// The account that an answer is about; none: it is about a user.
    pub(super) fn of_principal(principal: &str) -> Option<Self> {
        let (namespace, name) = principal.strip_prefix("serviceaccount ")?.split_once('/')?;
        Some(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// Everything that is looked at.
#[derive(Clone, Debug)]
pub(super) struct ClusterFacts {
    pub(super) account: Account,
    pub(super) found: Fact<ServiceAccount>,
    /// Known where the APIService is seen.
    pub(super) place: Option<Place>,
    pub(super) gateway: GatewayFacts,
    pub(super) ca: Fact<ConfigMap>,
    pub(super) policies: Fact<Vec<NetworkPolicy>>,
    /// All of the account's namespace.
    pub(super) pods: Fact<Vec<Pod>>,
}

/// What leads to the gateway.
#[derive(Clone, Debug)]
pub(super) struct GatewayFacts {
    /// Name of the Service.
    pub(super) name: String,
    /// Name of the port of the container.
    pub(super) port: String,
    pub(super) service: Fact<Service>,
    pub(super) endpoints: Fact<Vec<EndpointSlice>>,
    /// The namespace of the installation.
    pub(super) home: Fact<Namespace>,
}

impl ClusterFacts {
    /// Asks for everything that this person may see; `via` names a dedicated gateway.
    pub(super) async fn gather(cluster: &Cluster, account: Account, via: Option<&str>) -> Self {
        let client = || cluster.client.clone();
        let (namespace, name) = (account.namespace.as_str(), account.name.as_str());
        let accounts: Api<ServiceAccount> = Api::namespaced(client(), namespace);
        let maps: Api<ConfigMap> = Api::namespaced(client(), namespace);
        let policies: Api<NetworkPolicy> = Api::namespaced(client(), namespace);
        let pods: Api<Pod> = Api::namespaced(client(), namespace);
        let ((place, gateway), found, ca, policies, pods) = tokio::join!(
            gateway(cluster, via),
            accounts.get_opt(name),
            maps.get_opt(CA),
            Fact::listed(cluster, &policies, "", ("NetworkPolicies", namespace)),
            Fact::listed(cluster, &pods, "", ("Pods", namespace)),
        );
        let right = |kind: &str, name: &str| format!("`get` of {kind} `{name}` in namespace `{namespace}`");
        Self {
            found: Fact::from_answer(cluster, found, right("ServiceAccount", name)),
            ca: Fact::from_answer(cluster, ca, right("ConfigMap", CA)),
            place,
            gateway,
            policies,
            pods,
            account,
        }
    }
}

async fn gateway(cluster: &Cluster, via: Option<&str>) -> (Option<Place>, GatewayFacts) {
    let api_service = installation::service(cluster).await;
    let port = via.unwrap_or("gateway").to_owned();
    let Some(place) = api_service.seen().and_then(Place::of_service) else {
        let unknown = GatewayFacts {
            name: String::new(),
            port,
            service: api_service.missing(),
            endpoints: api_service.missing(),
            home: api_service.missing(),
        };
        return (None, unknown);
    };
    let namespace = place.namespace.as_str();
    let name = match via {
        None => format!("{}-gateway", place.name),
        Some(via) => format!("{}-gateway-{via}", place.name),
    };
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), namespace);
    let slices: Api<EndpointSlice> = Api::namespaced(cluster.client.clone(), namespace);
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let of_service = format!("kubernetes.io/service-name={name}");
    let (service, endpoints, home) = tokio::join!(
        services.get_opt(&name),
        Fact::listed(cluster, &slices, &of_service, ("EndpointSlices", namespace)),
        namespaces.get_opt(namespace),
    );
    let right = format!("`get` of Service `{name}` in namespace `{namespace}`");
    let facts = GatewayFacts {
        service: Fact::from_answer(cluster, service, right),
        endpoints,
        home: Fact::from_answer(cluster, home, format!("`get` of Namespace `{namespace}`")),
        name,
        port,
    };
    (Some(place), facts)
}
