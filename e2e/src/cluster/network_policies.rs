//! What enforces NetworkPolicies: the firewall of kube-router, by ipset and iptables.
//!
//! It runs in the nodes' network beside kube-proxy. Nodes share that network, so one process holds the rules
//! of them all. What a program of a node itself says to a pod of it is always let through, as everywhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::control_plane::SERVICES;
use super::folder::write;
use super::host::ClusterHost;
use super::node::Node;
use super::sandbox::{Sandbox, finish};
use crate::error::ClusterError;
use crate::programs::Programs;

/// What its log, its process and its kubeconfig are called.
pub(super) const NAME: &str = "network-policies";

/// Whom the API server takes it for.
pub(super) const USER: &str = "system:network-policies";

/// Every packet that is forwarded goes through this chain.
const CHAIN: &str = "KUBE-ROUTER-FORWARD";

/// Where that chain ends once all policies and pods of a round are in it.
const TAIL: &str = "KUBE-NWPLCY-TAIL";

/// The file of the objects that give it its rights, still to be applied.
pub(super) fn rights(state: &Path) -> Result<PathBuf, ClusterError> {
    write(
        state,
        "network-policies.yaml",
        &format!(
            r#"apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: "{USER}"}}
rules:
- {{apiGroups: [""], resources: [nodes], verbs: [get]}}
- {{apiGroups: [""], resources: [pods, namespaces], verbs: [list, watch]}}
- {{apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: "{USER}"}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "{USER}"}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: "{USER}"}}]
"#
        ),
    )
}

/// What the firewall takes of the kernel. Where something is missing, the tools say so.
const CHECK: &str = "
ipset create strongroom-check hash:ip timeout 0
iptables --new-chain strongroom-check
iptables --append strongroom-check --match set --match-set strongroom-check src --match comment --comment check \
  --match conntrack --ctstate NEW --jump MARK --set-mark 0x10000/0x10000
iptables --append strongroom-check --match mark ! --mark 0x10000/0x10000 --match limit --limit 10/minute \
  --jump NFLOG --nflog-group 100
iptables --append strongroom-check --match addrtype --src-type LOCAL --match physdev --physdev-is-bridged --jump ACCEPT
iptables --append strongroom-check --jump REJECT
iptables --flush strongroom-check
iptables --delete-chain strongroom-check
ipset destroy strongroom-check
";

/// Starts it for all nodes in the network of `node`, which the API server knows already.
pub(super) fn start(host: &ClusterHost, sandbox: &Sandbox, node: &Node) -> Result<(), ClusterError> {
    let mut check = Command::new("sh");
    check.args(["-ec", CHECK]);
    finish(&mut sandbox.enter(&check))?;
    let mut firewall = Command::new(Programs::network_policies()?);
    firewall.args([
        format!("--kubeconfig={}", host.kubeconfig(NAME)),
        format!("--node={}", node.name),
        format!("--address={}", node.address),
        format!("--services={SERVICES}"),
    ]);
    host.start(firewall, NAME)
}

/// Whether it has had its first round: from then on policies hold.
pub(super) fn enforces(sandbox: &Sandbox) -> bool {
    let mut list = Command::new("iptables");
    list.args(["--list-rules", CHAIN]);
    finish(&mut sandbox.enter(&list)).is_ok_and(|rules| rules.contains(TAIL))
}
