//! CoreDNS: the names of Services and of pods behind headless ones, for pods.
//!
//! It runs in the nodes' network beside kube-proxy. Pods ask it at the address that NodeLocal DNSCache has:
//! NetworkPolicies know DNS by that where it is no pod. The Service that Kubernetes' own installers make for
//! it leads there too.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;

use super::folder::write;
use super::host::ClusterHost;
use super::sandbox::{Sandbox, finish};
use crate::error::ClusterError;
use crate::programs::Programs;

/// What its log, its process and its kubeconfig are called.
pub(super) const NAME: &str = "coredns";

/// Whom the API server takes it for.
pub(super) const USER: &str = "system:coredns";

/// Where its Service is.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// Where pods ask it.
pub(super) const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 20, 10);

/// What the names of the cluster end with.
pub(super) const DOMAIN: &str = "cluster.local";

/// Starts it; the file of the objects that lead to it and give it its rights, still to be applied.
pub(super) fn start(host: &ClusterHost) -> Result<PathBuf, ClusterError> {
    if let Some(sandbox) = host.sandbox() {
        let mut address = Command::new("ip");
        address.args(["address", "add", &format!("{NODE_ADDRESS}/32"), "dev", "lo"]);
        finish(&mut sandbox.enter(&address))?;
    }
    // Pods see a Service that was made a moment ago: what is kept is short-lived.
    let mut config = format!(
        ".:53 {{\n  errors\n  cache {{\n    success 1000 5\n    denial 1000 1\n  }}\n  kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{\n    \
         kubeconfig {}\n    fallthrough in-addr.arpa ip6.arpa\n    ttl 5\n  }}\n",
        host.kubeconfig(NAME)
    );
    let resolvers = resolvers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    if !resolvers.is_empty() {
        // The nodes may have no way out: then the answer is a failure, at once.
        config.push_str(&format!(
            "  forward . {} {{\n    max_fails 1\n    failfast_all_unhealthy_upstreams\n  }}\n",
            resolvers.join(" ")
        ));
    }
    config.push_str("}\n");
    let config = write(host.state(), "Corefile", &config)?;
    let mut coredns = Command::new(Programs::dns()?);
    coredns.arg("-conf").arg(config);
    host.start(coredns, NAME)?;
    write(
        host.state(),
        "dns.yaml",
        &format!(
            r#"apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: "{USER}"}}
rules:
- {{apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}}
- {{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: "{USER}"}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "{USER}"}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: "{USER}"}}]
---
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system}}
spec:
  clusterIP: {ADDRESS}
  ports:
  - {{name: dns, port: 53, protocol: UDP}}
  - {{name: dns-tcp, port: 53, protocol: TCP}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
endpoints: [{{addresses: [{}], conditions: {{ready: true}}}}]
ports:
- {{name: dns, port: 53, protocol: UDP}}
- {{name: dns-tcp, port: 53, protocol: TCP}}
"#,
            host.api_address()
        ),
    )
}

/// Whether it knows the first name that every cluster has.
pub(super) fn answers(sandbox: &Sandbox) -> bool {
    let mut ask = Command::new("busybox");
    ask.args([
        "nslookup",
        &format!("kubernetes.default.svc.{DOMAIN}"),
        &NODE_ADDRESS.to_string(),
    ]);
    finish(&mut sandbox.enter(&ask)).is_ok()
}

/// The machine's resolvers that can be asked from another network namespace: one on loopback would be CoreDNS
/// itself there.
fn resolvers(resolv_conf: &str) -> Vec<String> {
    resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
        .filter(|address: &IpAddr| !address.is_loopback())
        .map(|address| address.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::resolvers;

    #[test]
    fn resolvers_on_loopback_are_left_out() {
        let text = "# nameserver 9.9.9.9\nsearch example.com\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver ::1\nnameserver  fd00::53\n";
        assert_eq!(resolvers(text), ["10.0.0.2", "fd00::53"]);
    }
}
