//! Where a volume's pod is, for a notice that its files have changed.
//!
//! INVARIANT: an answer is an address of the pod's own, and the pod is the one that the volume's token named,
//! by its UID, on the node that asks. A pod in its node's network has none: to send there would be to send to
//! the node's own ports, on the word of whoever may make a pod.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{Api, Client};
use tokio::time::timeout;

use crate::gateway::authenticate::Caller;
use crate::kube::{EventMessage, EventWriter, in_words};

/// How long the API server may take.
const API_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a pod cannot be told of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PodAddressError {
    /// No pod of this UID, or it has ended.
    #[error("the pod no longer exists")]
    Gone,
    /// On another node than the one that asks.
    #[error("the pod does not run on the node of its volume")]
    OtherNode,
    /// In its node's network.
    #[error(
        "the pod runs in its node's network (`hostNetwork`), where a notification would reach the node's own ports: watch `..data` instead"
    )]
    NodesNetwork,
    /// Without an address.
    #[error("the pod has no address yet")]
    NotYet,
    /// It says an address that the gateway does not send to.
    #[error("the pod's address is not its own")]
    NotOwn,
    /// It cannot be said.
    #[error("the API server did not return the pod's address")]
    Unknown,
}

/// Pods as the API server knows them, and events about them.
#[derive(Clone)]
pub(in crate::gateway) struct PodClient {
    client: Client,
    events: EventWriter,
}

impl std::fmt::Debug for PodClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PodClient").finish_non_exhaustive()
    }
}

impl PodClient {
    pub(in crate::gateway) fn new(client: Client) -> Self {
        Self {
            events: EventWriter::new(&client),
            client,
        }
    }

    /// The address of a caller's pod, as it is now.
    ///
    /// # Errors
    /// [`PodAddressError`].
    pub(super) async fn address(&self, caller: &Caller, node: &str) -> Result<IpAddr, PodAddressError> {
        let namespace = caller.principal.identity.namespace();
        let (Some((name, uid)), Some(namespace)) = (&caller.pod, namespace) else {
            return Err(PodAddressError::Gone);
        };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        match timeout(API_TIMEOUT, api.get_opt(name)).await {
            Ok(Ok(Some(pod))) => address(&pod, uid, node),
            Ok(Ok(None)) => Err(PodAddressError::Gone),
            Ok(Err(_)) | Err(_) => Err(PodAddressError::Unknown),
        }
    }

    /// Says something in an event of a caller's pod. One that cannot be written is none.
    pub(super) async fn publish_event(&self, caller: &Caller, message: EventMessage) {
        let Some((name, uid)) = &caller.pod else { return };
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(name.clone()),
            namespace: caller.principal.identity.namespace().map(str::to_owned),
            uid: Some(uid.clone()),
            ..ObjectReference::default()
        };
        match timeout(API_TIMEOUT, self.events.publish(message, &regarding)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %in_words(&error), pod = name, "event publish failed");
            }
            Err(_) => tracing::warn!(error = "timed out", pod = name, "event publish failed"),
        }
    }
}

/// The address of a pod, if it is its own.
fn address(pod: &Pod, uid: &str, node: &str) -> Result<IpAddr, PodAddressError> {
    let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else {
        return Err(PodAddressError::Gone);
    };
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if pod.metadata.uid.as_deref() != Some(uid) || ended {
        return Err(PodAddressError::Gone);
    }
    if spec.node_name.as_deref() != Some(node) {
        return Err(PodAddressError::OtherNode);
    }
    if spec.host_network == Some(true) {
        return Err(PodAddressError::NodesNetwork);
    }
    let text = status.pod_ip.as_deref().filter(|text| !text.is_empty());
    let address: IpAddr = text
        .ok_or(PodAddressError::NotYet)?
        .parse()
        .map_err(|_| PodAddressError::NotOwn)?;
    let address = address.to_canonical();
    let of_node = status.host_ips.iter().flatten().map(|host| host.ip.as_str());
    let mut of_node = of_node.chain(status.host_ip.as_deref());
    // Whatever the fields say: what is the node's, or nobody's, is not the pod's.
    let nodes = of_node.any(|host| {
        host.parse::<IpAddr>()
            .is_ok_and(|host| host.to_canonical() == address)
    });
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if nodes || link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return Err(PodAddressError::NotOwn);
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value, status: serde_json::Value) -> Pod {
        let mut pod = json!({"metadata": {"name": "app-1", "uid": "uid-1"}, "spec": {"nodeName": "n-1", "containers": []},
            "status": {"phase": "Running", "podIP": "10.1.2.3", "hostIP": "192.168.0.1",
                "hostIPs": [{"ip": "192.168.0.1"}, {"ip": "fd00::1"}]}});
        for (of, more) in [("spec", spec), ("status", status)] {
            let more = more.as_object().unwrap().clone();
            pod[of].as_object_mut().unwrap().extend(more);
        }
        serde_json::from_value(pod).unwrap()
    }

    fn at(status: serde_json::Value) -> Result<IpAddr, PodAddressError> {
        address(&pod(json!({}), status), "uid-1", "n-1")
    }

    #[test]
    fn only_an_address_of_the_pods_own_is_one() {
        assert_eq!(at(json!({})), Ok("10.1.2.3".parse().unwrap()));
        assert_eq!(
            at(json!({"podIP": "fd00:1::7"})),
            Ok("fd00:1::7".parse().unwrap())
        );
        for (ip, why) in [
            ("192.168.0.1", PodAddressError::NotOwn),
            ("::ffff:192.168.0.1", PodAddressError::NotOwn),
            ("fd00::1", PodAddressError::NotOwn),
            ("127.0.0.1", PodAddressError::NotOwn),
            ("::1", PodAddressError::NotOwn),
            ("::ffff:127.0.0.1", PodAddressError::NotOwn),
            ("169.254.169.254", PodAddressError::NotOwn),
            ("fe80::1", PodAddressError::NotOwn),
            ("0.0.0.0", PodAddressError::NotOwn),
            ("255.255.255.255", PodAddressError::NotOwn),
            ("224.0.0.1", PodAddressError::NotOwn),
            ("metadata.internal", PodAddressError::NotOwn),
            ("", PodAddressError::NotYet),
        ] {
            assert_eq!(at(json!({"podIP": ip})), Err(why), "{ip}");
        }
        assert_eq!(at(json!({"podIP": null})), Err(PodAddressError::NotYet));
    }

    #[test]
    fn only_the_pod_itself_is_meant() {
        let running = || pod(json!({}), json!({}));
        assert_eq!(address(&running(), "uid-2", "n-1"), Err(PodAddressError::Gone));
        assert_eq!(
            address(&running(), "uid-1", "n-2"),
            Err(PodAddressError::OtherNode)
        );
        assert_eq!(at(json!({"phase": "Succeeded"})), Err(PodAddressError::Gone));
        let hosts = pod(json!({"hostNetwork": true}), json!({}));
        assert_eq!(
            address(&hosts, "uid-1", "n-1"),
            Err(PodAddressError::NodesNetwork)
        );
        assert_eq!(
            address(&Pod::default(), "uid-1", "n-1"),
            Err(PodAddressError::Gone)
        );
    }
}
