//! etcd, the API server, the controller manager, the scheduler: who they are, and the flags they run with.

use std::net::{IpAddr, Ipv4Addr};

use data_encoding::BASE64;

use super::dns;
use super::folder::write;
use super::host::ClusterHost;
use super::network_policies;
use crate::certificates::{Authority, token_keys};
use crate::error::ClusterError;
use crate::programs::{Program, Programs};

/// Where Services live.
pub(super) const SERVICES: &str = "10.96.0.0/16";

/// What the API server keeps of what it is asked, and where.
const AUDIT_POLICY: &str = "audit-policy.yaml";
pub(super) const AUDIT_LOG: &str = "audit.log";

/// The API server's own Service: the first address of [`SERVICES`].
const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// Makes the cluster's authority, the certificates of its servers, and a kubeconfig for each client.
pub(super) fn write_identities(host: &ClusterHost, nodes: &[(String, Ipv4Addr)]) -> Result<(), ClusterError> {
    let pki = host.state().join("pki");
    let authority = Authority::new(&pki, "ca")?;
    // Of an authority of its own: whom aggregated APIs take for the API server.
    Authority::new(&pki, "front-proxy-ca")?.client_files(&pki, "front-proxy-client", None)?;
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let addresses = [Ipv4Addr::LOCALHOST, API_SERVICE, host.api_address()];
    authority.server(&pki, "apiserver", &names, &addresses.map(IpAddr::V4))?;
    authority.client_files(&pki, "apiserver-kubelet", Some("system:masters"))?;
    token_keys(&pki)?;
    write(
        host.state(),
        AUDIT_POLICY,
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: RequestResponse, resources: [{group: people.strongroom.dev}]}\n\
         - {level: Metadata, namespaces: [bench], verbs: [get], resources: [{group: \"\", resources: [secrets]}]}\n\
         - {level: Metadata, namespaces: [shop, \"\"], resources: [{group: \"\", resources: [secrets]}]}\n- {level: None}\n",
    )?;
    let mut clients = vec![
        (
            "kubeconfig".to_owned(),
            "admin".to_owned(),
            Some("system:masters"),
        ),
        kubeconfig_of("controller-manager", "system:kube-controller-manager", None),
        kubeconfig_of("scheduler", "system:kube-scheduler", None),
        kubeconfig_of("kube-proxy", "system:kube-proxy", None),
        kubeconfig_of(dns::NAME, dns::USER, None),
        kubeconfig_of(network_policies::NAME, network_policies::USER, None),
    ];
    for (node, address) in nodes {
        authority.server(&pki, node, &[node], &[IpAddr::V4(*address)])?;
        clients.push(kubeconfig_of(
            node,
            &format!("system:node:{node}"),
            Some("system:nodes"),
        ));
    }
    for (file, name, group) in clients {
        let (certificate, key) = authority.client(&name, group)?;
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: local\n  cluster:\n    server: https://{}:{}\n    \
             certificate-authority-data: {}\nusers:\n- name: {name}\n  user:\n    client-certificate-data: {}\n    \
             client-key-data: {}\ncontexts:\n- name: local\n  context: {{cluster: local, user: \"{name}\"}}\ncurrent-context: local\n",
            host.api_address(),
            host.ports.api,
            BASE64.encode(authority.pem().as_bytes()),
            BASE64.encode(certificate.as_bytes()),
            BASE64.encode(key.as_bytes()),
        );
        write(host.state(), &file, &text)?;
    }
    Ok(())
}

fn kubeconfig_of<'a>(file: &str, name: &str, group: Option<&'a str>) -> (String, String, Option<&'a str>) {
    (format!("{file}.kubeconfig"), name.to_owned(), group)
}

pub(super) fn start_etcd(programs: &Programs, host: &ClusterHost) -> Result<(), ClusterError> {
    let client = format!("http://127.0.0.1:{}", host.ports.etcd);
    let peer = format!("http://127.0.0.1:{}", host.ports.etcd_peer);
    let mut etcd = programs.command(Program::Etcd);
    etcd.arg("--data-dir").arg(host.state().join("etcd"));
    etcd.args([
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        &client,
    ]);
    etcd.args([
        "--listen-peer-urls",
        &peer,
        "--initial-advertise-peer-urls",
        &peer,
    ]);
    etcd.args(["--initial-cluster", &format!("default={peer}")]);
    etcd.args(["--unsafe-no-fsync", "--log-level", "warn"]);
    host.start(etcd, Program::Etcd.name())
}

pub(super) fn start_api_server(programs: &Programs, host: &ClusterHost) -> Result<(), ClusterError> {
    let mut api = programs.command(Program::ApiServer);
    api.args([
        format!("--etcd-servers=http://127.0.0.1:{}", host.ports.etcd),
        format!("--secure-port={}", host.ports.api),
        format!("--tls-cert-file={}", host.pki("apiserver.crt")),
        format!("--tls-private-key-file={}", host.pki("apiserver.key")),
        format!("--client-ca-file={}", host.pki("ca.crt")),
        format!("--service-account-key-file={}", host.pki("sa.pub")),
        format!("--service-account-signing-key-file={}", host.pki("sa.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--profiling=false".to_owned(),
        format!("--cert-dir={}", host.state().join("pki").display()),
        // The aggregation layer, with the header names that kubeadm gives it.
        format!(
            "--requestheader-client-ca-file={}",
            host.pki("front-proxy-ca.crt")
        ),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={}", host.pki("front-proxy-client.crt")),
        format!("--proxy-client-key-file={}", host.pki("front-proxy-client.key")),
        // Everything that is said to people's API, with its bodies where the API server sees any.
        format!(
            "--audit-policy-file={}",
            host.state().join(AUDIT_POLICY).display()
        ),
        format!("--audit-log-path={}", host.state().join(AUDIT_LOG).display()),
        // As on every cluster that people run: the node plugin is installed on those without nodes too.
        "--allow-privileged=true".to_owned(),
    ]);
    if host.sandbox().is_some() {
        api.args([
            "--bind-address=0.0.0.0".to_owned(),
            format!("--advertise-address={}", host.api_address()),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--enable-aggregator-routing=true".to_owned(),
            format!(
                "--kubelet-client-certificate={}",
                host.pki("apiserver-kubelet.crt")
            ),
            format!("--kubelet-client-key={}", host.pki("apiserver-kubelet.key")),
            format!("--kubelet-certificate-authority={}", host.pki("ca.crt")),
            // Nobody resolves the names of the nodes.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
        ]);
    } else {
        // Loopback is no address that a Service may lead to.
        api.args(["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"]);
    }
    host.start(api, Program::ApiServer.name())
}

pub(super) fn start_controller_manager(programs: &Programs, host: &ClusterHost) -> Result<(), ClusterError> {
    let mut manager = programs.command(Program::ControllerManager);
    manager.args(kubeconfigs(host, "controller-manager"));
    manager.args([
        format!("--service-account-private-key-file={}", host.pki("sa.key")),
        format!("--root-ca-file={}", host.pki("ca.crt")),
        format!("--cluster-signing-cert-file={}", host.pki("ca.crt")),
        format!("--cluster-signing-key-file={}", host.pki("ca.key")),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        format!("--secure-port={}", host.ports.controller_manager),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--cert-dir={}", host.state().join("pki").display()),
    ]);
    host.start(manager, Program::ControllerManager.name())
}

pub(super) fn start_scheduler(programs: &Programs, host: &ClusterHost) -> Result<(), ClusterError> {
    let mut scheduler = programs.command(Program::Scheduler);
    scheduler.args(kubeconfigs(host, "scheduler"));
    scheduler.args([
        "--leader-elect=false".to_owned(),
        format!("--secure-port={}", host.ports.scheduler),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--cert-dir={}", host.state().join("pki").display()),
    ]);
    host.start(scheduler, Program::Scheduler.name())
}

/// A program asks the API server also who its own callers are.
fn kubeconfigs(host: &ClusterHost, name: &str) -> [String; 3] {
    let kubeconfig = host.kubeconfig(name);
    [
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
    ]
}
