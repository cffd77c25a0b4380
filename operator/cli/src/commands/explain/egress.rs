//! Whether NetworkPolicies let pods reach a gateway
//! (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>). Not everything is known of
//! both ends, so that a question has three answers. Pure.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use serde_json::json;

use crate::output::yaml;

/// The label that every Namespace has.
pub(super) const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Whether something is so. A later answer is the stronger one where any of several will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Certainty {
    No,
    Unclear,
    Yes,
}

impl Certainty {
    const fn from_bool(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    /// Whether one of them is so.
    fn any(of: impl Iterator<Item = Self>) -> Self {
        of.max().unwrap_or(Self::No)
    }

    /// Whether all of them are.
    fn all(of: impl Iterator<Item = Self>) -> Self {
        of.min().unwrap_or(Self::Yes)
    }
}

/// Labels of a pod or of a namespace, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownLabels {
    labels: BTreeMap<String, String>,
    /// There are no others.
    complete: bool,
}

impl KnownLabels {
    /// All labels that it has.
    pub(super) const fn complete(labels: BTreeMap<String, String>) -> Self {
        Self {
            labels,
            complete: true,
        }
    }

    /// Labels that it has, and it may have others.
    pub(super) const fn partial(labels: BTreeMap<String, String>) -> Self {
        Self {
            labels,
            complete: false,
        }
    }

    /// Whether the value of a key is so; `missing`: what it comes to that there is no such label.
    fn holds(&self, key: &str, is_so: impl Fn(&str) -> bool, missing: bool) -> Certainty {
        match self.labels.get(key) {
            Some(value) => Certainty::from_bool(is_so(value)),
            None if self.complete => Certainty::from_bool(missing),
            None => Certainty::Unclear,
        }
    }
}

/// The gateway, as pods reach it.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) namespace: Option<String>,
    pub(super) namespace_labels: KnownLabels,
    pub(super) pod_labels: KnownLabels,
    /// Addresses of its pods.
    pub(super) addresses: Vec<IpAddr>,
    /// Addresses of its Service: whether a policy counts before or after they become those of pods is for the
    /// cluster's network to say.
    pub(super) service_addresses: Vec<IpAddr>,
    /// Ports of its pods.
    pub(super) ports: Vec<i32>,
    /// How its pods call the port.
    pub(super) port_name: String,
}

/// What NetworkPolicies come to.
#[derive(Clone, Debug)]
pub(super) enum EgressVerdict<'a> {
    /// They let every pod through, as far as pods are known.
    Open,
    /// They keep a pod back.
    Blocked {
        /// A policy that does.
        by: &'a NetworkPolicy,
        /// All of them, for people.
        names: String,
    },
    /// They may.
    Unclear {
        /// Those that may, for people.
        names: String,
    },
}

/// Whether policies of a namespace let its pods reach the gateway.
pub(super) fn egress<'a>(
    policies: &'a [NetworkPolicy],
    pods: &[KnownLabels],
    destination: &Destination,
) -> EgressVerdict<'a> {
    let mut verdict = EgressVerdict::Open;
    for pod in pods {
        match egress_of_pod(policies, pod, destination) {
            blocked @ EgressVerdict::Blocked { .. } => return blocked,
            unclear @ EgressVerdict::Unclear { .. } => verdict = unclear,
            EgressVerdict::Open => {}
        }
    }
    verdict
}

fn egress_of_pod<'a>(
    policies: &'a [NetworkPolicy],
    pod: &KnownLabels,
    destination: &Destination,
) -> EgressVerdict<'a> {
    let about_egress = policies.iter().filter(|policy| isolates(policy));
    let judged = about_egress.map(|policy| (policy, selected(policy, pod), allows(policy, destination)));
    let judged: Vec<_> = judged
        .filter(|(_, selected, _)| *selected != Certainty::No)
        .collect();
    let certain = || {
        let judged = judged.iter().copied();
        judged.filter(|(_, selected, _)| *selected == Certainty::Yes)
    };
    let allowed = Certainty::any(certain().map(|(.., allows)| allows));
    // What might select the pod as well keeps it back only where nothing that does lets it through.
    let keeps_back = judged.iter().any(|(.., allows)| *allows != Certainty::Yes);
    if allowed == Certainty::Yes || !keeps_back {
        return EgressVerdict::Open;
    }
    let let_through = Certainty::any(judged.iter().map(|(.., allows)| *allows));
    match certain().next() {
        Some((by, ..)) if let_through == Certainty::No => EgressVerdict::Blocked {
            by,
            names: names(certain().map(|(policy, ..)| policy)),
        },
        _ => EgressVerdict::Unclear {
            names: names(judged.iter().map(|(policy, ..)| *policy)),
        },
    }
}

fn names<'a>(policies: impl Iterator<Item = &'a NetworkPolicy>) -> String {
    let names: Vec<String> = policies
        .map(|policy| format!("`{}`", policy.name_any()))
        .collect();
    names.join(", ")
}

/// Whether a policy is about egress: where it does not say, it is if it has rules for it.
fn isolates(policy: &NetworkPolicy) -> bool {
    let Some(spec) = &policy.spec else {
        return false;
    };
    match &spec.policy_types {
        Some(types) if !types.is_empty() => types.iter().any(|one| one == "Egress"),
        _ => spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
    }
}

/// Whether a policy selects a pod of its namespace.
fn selected(policy: &NetworkPolicy, pod: &KnownLabels) -> Certainty {
    let selector = policy.spec.as_ref().and_then(|spec| spec.pod_selector.as_ref());
    selector.map_or(Certainty::Yes, |selector| selects(selector, pod))
}

/// Whether a rule of a policy allows the way.
fn allows(policy: &NetworkPolicy, destination: &Destination) -> Certainty {
    let own = policy.metadata.namespace.as_deref();
    let rules = policy.spec.iter().flat_map(|spec| spec.egress.iter().flatten());
    Certainty::any(rules.map(|rule| rule_allows(rule, own, destination)))
}

fn rule_allows(
    rule: &NetworkPolicyEgressRule,
    own_namespace: Option<&str>,
    destination: &Destination,
) -> Certainty {
    // Nothing said means everything.
    let ports = match rule.ports.as_deref().unwrap_or_default() {
        [] => Certainty::Yes,
        ports => Certainty::any(ports.iter().map(|port| port_allows(port, destination))),
    };
    let peers = match rule.to.as_deref().unwrap_or_default() {
        [] => Certainty::Yes,
        peers => {
            let allowed = peers.iter();
            Certainty::any(allowed.map(|peer| peer_allows(peer, own_namespace, destination)))
        }
    };
    ports.min(peers)
}

fn port_allows(port: &NetworkPolicyPort, destination: &Destination) -> Certainty {
    if port.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
        return Certainty::No;
    }
    match &port.port {
        None => Certainty::Yes,
        Some(IntOrString::String(name)) => Certainty::from_bool(*name == destination.port_name),
        Some(IntOrString::Int(first)) => {
            let range = *first..=port.end_port.unwrap_or(*first);
            agreed(
                destination
                    .ports
                    .iter()
                    .map(|port| Certainty::from_bool(range.contains(port))),
            )
        }
    }
}

fn peer_allows(
    peer: &NetworkPolicyPeer,
    own_namespace: Option<&str>,
    destination: &Destination,
) -> Certainty {
    if let Some(block) = &peer.ip_block {
        return block_allows(block, destination);
    }
    let namespace = match &peer.namespace_selector {
        Some(selector) => selects(selector, &destination.namespace_labels),
        // Pods of the policy's own namespace.
        None => match &destination.namespace {
            Some(namespace) => Certainty::from_bool(own_namespace == Some(namespace.as_str())),
            None => Certainty::Unclear,
        },
    };
    let pod = peer.pod_selector.as_ref();
    namespace.min(pod.map_or(Certainty::Yes, |selector| {
        selects(selector, &destination.pod_labels)
    }))
}

fn block_allows(block: &IPBlock, destination: &Destination) -> Certainty {
    let within = |address: &IpAddr| {
        let excepted = block
            .except
            .iter()
            .flatten()
            .map(|except| contains(except, *address));
        match Certainty::any(excepted) {
            Certainty::No => contains(&block.cidr, *address),
            Certainty::Unclear => contains(&block.cidr, *address).min(Certainty::Unclear),
            Certainty::Yes => Certainty::No,
        }
    };
    let of_pods = agreed(destination.addresses.iter().map(within));
    let of_service = Certainty::any(destination.service_addresses.iter().map(within));
    if of_pods == Certainty::No && of_service != Certainty::No {
        return Certainty::Unclear;
    }
    of_pods
}

/// What all of them say; nothing where they do not agree, or where there are none.
fn agreed(of: impl Iterator<Item = Certainty>) -> Certainty {
    of.reduce(|one, other| if one == other { one } else { Certainty::Unclear })
        .unwrap_or(Certainty::Unclear)
}

/// Whether a block of addresses, such as `10.0.0.0/8`, has this one.
fn contains(cidr: &str, address: IpAddr) -> Certainty {
    let parsed = cidr.split_once('/').and_then(|(base, length)| {
        let base: IpAddr = base.parse().ok()?;
        let length: u32 = length.parse().ok()?;
        Some((base, length))
    });
    let Some((base, length)) = parsed else {
        return Certainty::Unclear;
    };
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            Certainty::from_bool(base.to_bits() & mask == address.to_bits() & mask)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            Certainty::from_bool(base.to_bits() & mask == address.to_bits() & mask)
        }
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => Certainty::Unclear,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Certainty::No,
    }
}

/// Whether a selector selects what has these labels; an empty one selects everything.
fn selects(selector: &LabelSelector, labels: &KnownLabels) -> Certainty {
    let equal = selector.match_labels.iter().flatten();
    let equal = equal.map(|(key, wanted)| labels.holds(key, |value| value == wanted, false));
    let others = selector.match_expressions.iter().flatten();
    Certainty::all(equal.chain(others.map(|requirement| meets(requirement, labels))))
}

fn meets(requirement: &LabelSelectorRequirement, labels: &KnownLabels) -> Certainty {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = |value: &str| values.iter().any(|one| one == value);
    let key = requirement.key.as_str();
    match requirement.operator.as_str() {
        "In" => labels.holds(key, listed, false),
        "NotIn" => labels.holds(key, |value| !listed(value), true),
        "Exists" => labels.holds(key, |_| true, false),
        "DoesNotExist" => labels.holds(key, |_| false, true),
        _ => Certainty::Unclear,
    }
}

/// A NetworkPolicy that lets the pods of another one reach the gateway, as YAML; none where it is not known
/// where that is. It selects no pod that is not kept back already.
pub(super) fn allowing(
    blocks: &NetworkPolicy,
    namespace: &str,
    gateway: &str,
    destination: &Destination,
) -> Option<String> {
    let there = destination.namespace.as_deref()?;
    let selector = blocks.spec.as_ref().and_then(|spec| spec.pod_selector.clone());
    let mut peer = json!({"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: there}}});
    if let (Some(fields), false) = (peer.as_object_mut(), destination.pod_labels.labels.is_empty()) {
        let labels = &destination.pod_labels.labels;
        fields.insert("podSelector".to_owned(), json!({"matchLabels": labels}));
    }
    let ports: Vec<_> = if destination.ports.is_empty() {
        vec![json!({"protocol": "TCP", "port": destination.port_name})]
    } else {
        let ports = destination.ports.iter();
        ports
            .map(|port| json!({"protocol": "TCP", "port": port}))
            .collect()
    };
    let name: String = format!("{}-to-{gateway}", blocks.name_any());
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name.chars().take(253).collect::<String>(), "namespace": namespace},
        "spec": {
            "podSelector": selector.unwrap_or_default(),
            "policyTypes": ["Egress"],
            "egress": [{"to": [peer], "ports": ports}],
        },
    });
    yaml(&policy).ok()
}
