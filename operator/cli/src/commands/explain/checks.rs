//! What the facts of the cluster come to, as checks of the troubleshooting list. Pure.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use strongroom_api::v1::{AccessCheck, AccessCheckName as Name, AccessCheckResult as Outcome, apply_command};

use super::egress::{Destination, EgressVerdict, KnownLabels, NAMESPACE_NAME, allowing, egress};
use super::facts::{Account, CA, ClusterFacts};
use crate::fact::Fact;

/// The port of the Services of gateways.
const PORT: &str = "https";

/// The checks that `kubectl strongroom` makes.
pub(super) fn checks(facts: &ClusterFacts) -> Vec<AccessCheck> {
    vec![
        service(facts).of_item("service"),
        ca(facts).of_item("ca"),
        way(facts).of_item("egress"),
        account(facts),
    ]
}

/// Why something is not known.
fn unseen<T>(check: Name, fact: &Fact<T>) -> AccessCheck {
    let why = match fact {
        Fact::Hidden(right) => format!("not visible to you: this takes {right}"),
        Fact::Unreadable(reason) => reason.clone(),
        Fact::Absent | Fact::Seen(_) => {
            "the APIService of people.strongroom.dev does not say where Strongroom is".to_owned()
        }
    };
    AccessCheck::new(check, Outcome::NotVisible, why)
}

/// Endpoints that take requests.
fn ready(slices: &[EndpointSlice]) -> impl Iterator<Item = &Endpoint> {
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    // Nothing said means ready.
    endpoints.filter(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.and_then(|conditions| conditions.ready).unwrap_or(true)
    })
}

fn service(facts: &ClusterFacts) -> AccessCheck {
    let Fact::Seen(slices) = &facts.gateway.endpoints else {
        return unseen(Name::Network, &facts.gateway.endpoints);
    };
    let namespace = facts.place.as_ref().map_or("", |place| place.namespace.as_str());
    let names = [("INSTALLATION", namespace)];
    let service = format!("Service `{}` of namespace `{namespace}`", facts.gateway.name);
    let check = |outcome, detail: String| AccessCheck::new(Name::Network, outcome, detail);
    match (ready(slices).count(), &facts.gateway.service) {
        (0, Fact::Absent) => check(Outcome::NoService, format!("there is no {service}")).mended_with(&names),
        (0, _) => check(
            Outcome::NoEndpoints,
            format!("{service} leads to no process that is ready"),
        )
        .mended_with(&names),
        (1, _) => check(
            Outcome::Reachable,
            format!("{service} leads to a process that is ready"),
        ),
        (count, _) => check(
            Outcome::Reachable,
            format!("{service} leads to {count} processes that are ready"),
        ),
    }
}

fn ca(facts: &ClusterFacts) -> AccessCheck {
    let namespace = facts.account.namespace.as_str();
    let where_ = format!("in namespace `{namespace}`");
    match &facts.ca {
        Fact::Seen(map) if map.data.as_ref().is_some_and(|data| data.contains_key("ca.crt")) => {
            AccessCheck::new(
                Name::Network,
                Outcome::CaThere,
                format!("ConfigMap `{CA}` is {where_}"),
            )
        }
        Fact::Seen(_) | Fact::Absent => AccessCheck::new(
            Name::Network,
            Outcome::CaMissing,
            format!("there is no ConfigMap `{CA}` with `ca.crt` {where_}"),
        )
        .mended_with(&[("NAMESPACE", namespace)]),
        Fact::Hidden(_) | Fact::Unreadable(_) => unseen(Name::Network, &facts.ca),
    }
}

/// The labels of the pods that run as the account, but for those whose network is the node's.
fn pods_of(account: &Account, pods: &[Pod]) -> Vec<KnownLabels> {
    let runs_as_it = |pod: &&Pod| {
        let Some(spec) = &pod.spec else {
            return false;
        };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let ended = matches!(phase, Some("Succeeded" | "Failed"));
        let runs_as = spec.service_account_name.as_deref().unwrap_or("default");
        runs_as == account.name && !spec.host_network.unwrap_or(false) && !ended
    };
    let pods = pods.iter().filter(runs_as_it);
    pods.map(|pod| KnownLabels::complete(pod.metadata.labels.clone().unwrap_or_default()))
        .collect()
}

/// The gateway, as far as it is known where it is.
fn destination(facts: &ClusterFacts) -> Destination {
    let gateway = &facts.gateway;
    let namespace = facts.place.as_ref().map(|place| place.namespace.clone());
    let namespace_labels = match (gateway.home.seen(), &namespace) {
        (Some(home), _) => KnownLabels::complete(home.metadata.labels.clone().unwrap_or_default()),
        (None, Some(name)) => KnownLabels::partial([(NAMESPACE_NAME.to_owned(), name.clone())].into()),
        (None, None) => KnownLabels::default(),
    };
    let service = gateway.service.seen().and_then(|service| service.spec.as_ref());
    let selector = service.and_then(|spec| spec.selector.clone());
    let slices = gateway.endpoints.seen().map(Vec::as_slice).unwrap_or_default();
    let addresses = ready(slices).flat_map(|endpoint| &endpoint.addresses);
    let ports = slices.iter().flat_map(|slice| slice.ports.iter().flatten());
    let mut ports: Vec<i32> = ports
        .filter(|port| port.name.as_deref() == Some(PORT))
        .filter_map(|port| port.port)
        .collect();
    ports.dedup();
    Destination {
        namespace,
        namespace_labels,
        // The pods have at least those, or the Service would not lead there.
        pod_labels: KnownLabels::partial(selector.unwrap_or_default()),
        addresses: addresses.filter_map(|address| address.parse().ok()).collect(),
        service_addresses: service
            .and_then(|spec| spec.cluster_ip.as_deref()?.parse().ok())
            .into_iter()
            .collect(),
        ports,
        port_name: gateway.port.clone(),
    }
}

/// Whether a NetworkPolicy keeps the account's pods from the gateway.
fn way(facts: &ClusterFacts) -> AccessCheck {
    let Fact::Seen(policies) = &facts.policies else {
        return match &facts.policies {
            Fact::Absent => AccessCheck::new(Name::Network, Outcome::EgressOpen, "there is no NetworkPolicy"),
            unknown => unseen(Name::Network, unknown),
        };
    };
    let Account { namespace, name } = &facts.account;
    let (namespace, name) = (namespace.as_str(), name.as_str());
    let known = facts.pods.seen().map(|pods| pods_of(&facts.account, pods));
    let known = known.filter(|pods| !pods.is_empty());
    let whose = match &known {
        Some(pods) if pods.len() == 1 => format!("its pod in namespace `{namespace}`"),
        Some(pods) => format!("one of its {} pods in namespace `{namespace}`", pods.len()),
        None => format!("a pod of namespace `{namespace}` that runs as `{name}`"),
    };
    // Where none runs, or none is seen, any might.
    let pods = known.unwrap_or_else(|| vec![KnownLabels::default()]);
    let destination = destination(facts);
    let check = |outcome, detail: String| AccessCheck::new(Name::Network, outcome, detail);
    match egress(policies, &pods, &destination) {
        EgressVerdict::Open => check(
            Outcome::EgressOpen,
            format!("no NetworkPolicy of namespace `{namespace}` keeps its pods from the gateway"),
        ),
        EgressVerdict::Blocked { by, names } => {
            let detail = format!("{whose} is kept from the gateway by NetworkPolicy {names}");
            let blocked = check(Outcome::EgressBlockedBy, detail);
            match allowing(by, namespace, &facts.gateway.name, &destination) {
                Some(policy) => blocked.mended_by(apply_command([policy.as_str()])),
                None => blocked.mended_with(&[]),
            }
        }
        EgressVerdict::Unclear { names } => check(
            Outcome::EgressUnclear,
            format!("{whose} may be kept from the gateway by NetworkPolicy {names}; what you may see does not tell"),
        )
        .mended_with(&[("NAMESPACE", namespace)]),
    }
}

fn account(facts: &ClusterFacts) -> AccessCheck {
    let Account { namespace, name } = &facts.account;
    let (namespace, name) = (namespace.as_str(), name.as_str());
    match &facts.found {
        Fact::Seen(_) => AccessCheck::new(
            Name::Credentials,
            Outcome::AccountExists,
            format!("ServiceAccount `{name}` is in namespace `{namespace}`"),
        ),
        Fact::Absent => AccessCheck::new(
            Name::Credentials,
            Outcome::NoSuchAccount,
            format!("there is no ServiceAccount `{name}` in namespace `{namespace}`"),
        )
        .mended_with(&[("NAMESPACE", namespace), ("ACCOUNT", name)]),
        Fact::Hidden(_) | Fact::Unreadable(_) => unseen(Name::Credentials, &facts.found),
    }
}
