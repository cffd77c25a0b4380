//! A node: containerd, kubelet, the plugins that give pods their network, and kube-proxy, which all nodes
//! share.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cgroups;
use super::dns;
use super::folder::{room, write};
use super::host::ClusterHost;
use super::mounts;
use super::sandbox::{Network, Sandbox, finish};
use crate::error::{ClusterError, trying};
use crate::programs::{Program, Programs};

/// The image of a pod's first process.
const PAUSE: &str = "strongroom.test/busybox:1";

/// Where Debian's package of the CNI plugins puts them.
const PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// A machine for pods: a name, an address, and containerd and kubelet of its own.
#[derive(Clone, Debug)]
pub(super) struct Node {
    index: u8,
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
}

impl Node {
    /// The nodes of a cluster, by number.
    pub(super) fn all(count: u8, network: Network) -> Vec<Self> {
        (0..count)
            .map(|index| Self {
                index,
                name: format!("node-{}", char::from(b'a'.wrapping_add(index))),
                address: network.node(index),
            })
            .collect()
    }

    fn dir(&self, state: &Path) -> PathBuf {
        state.join(&self.name)
    }

    /// Where containerd listens. In the sandbox's own `/run`: a socket's path holds 107 bytes at most.
    fn socket(&self) -> String {
        format!("/run/{}.sock", self.name)
    }

    fn containerd_name(&self) -> String {
        format!("containerd-{}", self.name)
    }

    /// What its logs and its processes are called.
    pub(super) fn kubelet_name(&self) -> String {
        kubelet_of(&self.name)
    }

    /// Gives it the folders that every node has at the same path; the first one has the sandbox's.
    pub(super) fn make_mounts(&self, host: &ClusterHost) -> Result<(), ClusterError> {
        match host.sandbox() {
            Some(sandbox) if self.index > 0 => mounts::make(sandbox, host.state(), &self.name),
            _ => Ok(()),
        }
    }

    /// Starts containerd, whose pods get addresses of `10.244.<index + 1>.0/24`.
    pub(super) fn start_containerd(&self, host: &ClusterHost) -> Result<(), ClusterError> {
        let dir = room(host.state(), &self.name)?;
        let plugins = PLUGINS
            .into_iter()
            .find(|dir| Path::new(dir).join("ptp").exists())
            .ok_or(ClusterError::Missing(
                "ptp",
                "the package containernetworking-plugins",
            ))?;
        let cni = room(&dir, "cni")?;
        // Each pod hangs on a line of its own and everything is routed, so that kube-proxy sees every packet.
        let third = self.index.wrapping_add(1);
        write(
            &cni,
            "10-pods.conflist",
            &format!(
                r#"{{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {{"type": "ptp", "ipam": {{"type": "host-local", "dataDir": "/run/{name}-addresses",
    "ranges": [[{{"subnet": "10.244.{third}.0/24"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}
]}}
"#,
                name = self.name
            ),
        )?;
        let config = write(
            &dir,
            "containerd.toml",
            &format!(
                r#"version = 2
root = "{dir}/containerd"
state = "/run/{name}-containerd"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # A machine may forbid to lower the score of a process again.
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{cni}"
"#,
                dir = dir.display(),
                name = self.name,
                socket = self.socket(),
                cni = cni.display(),
            ),
        )?;
        let mut containerd = Command::new("containerd");
        containerd
            .arg("--config")
            .arg(config)
            .args(["--log-level", "warn"]);
        host.start_on(&self.name, containerd, &self.containerd_name())
    }

    /// Whether containerd answers.
    pub(super) fn answers(&self, sandbox: &Sandbox) -> bool {
        finish(&mut sandbox.enter_node(&self.name, &self.ctr(&["version"]))).is_ok()
    }

    /// The process to look at where it does not.
    pub(super) fn containerd_process(&self) -> String {
        self.containerd_name()
    }

    /// Puts the images of an archive into its containerd.
    pub(super) fn load(&self, sandbox: &Sandbox, archive: &Path) -> Result<(), ClusterError> {
        // There, another folder is the current one.
        let archive = fs::canonicalize(archive)
            .map_err(trying(format!("opening the image archive {}", archive.display())))?
            .display()
            .to_string();
        let import = self.ctr(&["--namespace", "k8s.io", "images", "import", &archive]);
        finish(&mut sandbox.enter_node(&self.name, &import)).map(drop)
    }

    fn ctr(&self, arguments: &[&str]) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.args(["--address", &self.socket()]).args(arguments);
        ctr
    }

    /// Starts kubelet; `sync` is its `syncFrequency`, in seconds.
    pub(super) fn start_kubelet(
        &self,
        programs: &Programs,
        host: &ClusterHost,
        sync: u8,
    ) -> Result<(), ClusterError> {
        let dir = self.dir(host.state());
        let cgroup = cgroups::make(host.state(), &self.name)?;
        write(&dir, "resolv.conf", "")?;
        let config = write(
            &dir,
            "kubelet.yaml",
            &format!(
                r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {address}
healthzBindAddress: {address}
readOnlyPort: 0
tlsCertFile: {certificate}
tlsPrivateKeyFile: {key}
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {ca}}}}}
authorization: {{mode: Webhook}}
containerRuntimeEndpoint: unix://{socket}
cgroupDriver: cgroupfs
cgroupRoot: {cgroup}
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {{memory.available: 10Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}}
imageGCHighThresholdPercent: 100
makeIPTablesUtilChains: false
localStorageCapacityIsolation: false
podLogsDir: {dir}/pods
clusterDNS: [{dns}]
clusterDomain: {domain}
resolvConf: {dir}/resolv.conf
syncFrequency: {sync}s
nodeStatusUpdateFrequency: 5s
shutdownGracePeriod: 0s
"#,
                address = self.address,
                certificate = host.pki(&format!("{}.crt", self.name)),
                key = host.pki(&format!("{}.key", self.name)),
                ca = host.pki("ca.crt"),
                dns = dns::NODE_ADDRESS,
                domain = dns::DOMAIN,
                socket = self.socket(),
                dir = dir.display(),
            ),
        )?;
        let mut kubelet = programs.command(Program::Kubelet);
        kubelet.arg(format!("--config={}", config.display())).args([
            format!("--kubeconfig={}", host.kubeconfig(&self.name)),
            format!("--hostname-override={}", self.name),
            format!("--node-ip={}", self.address),
            format!("--cert-dir={}", dir.join("pki").display()),
        ]);
        host.start_on(&self.name, kubelet, &self.kubelet_name())
    }
}

/// What the logs and the processes of a node's kubelet are called.
pub(super) fn kubelet_of(node: &str) -> String {
    format!("kubelet-{node}")
}

/// Starts kube-proxy: the nodes share a network namespace, so one serves both.
pub(super) fn start_proxy(programs: &Programs, host: &ClusterHost, node: &Node) -> Result<(), ClusterError> {
    let mut proxy = programs.command(Program::Proxy);
    proxy.args([
        format!("--kubeconfig={}", host.kubeconfig("kube-proxy")),
        "--proxy-mode=nftables".to_owned(),
        "--bind-address=0.0.0.0".to_owned(),
        format!("--hostname-override={}", node.name),
        "--cluster-cidr=10.244.0.0/16".to_owned(),
        // These limits are the whole machine's; they are none of ours.
        "--conntrack-max-per-core=0".to_owned(),
        "--conntrack-min=0".to_owned(),
        "--conntrack-tcp-timeout-established=0".to_owned(),
        "--conntrack-tcp-timeout-close-wait=0".to_owned(),
        format!("--healthz-bind-address={}:10256", node.address),
        "--metrics-bind-address=127.0.0.1:10249".to_owned(),
    ]);
    host.start(proxy, Program::Proxy.name())
}

/// Gives a folder to a user, as a volume of that user's pods.
pub(super) fn volume(state: &Path, name: &str, user: u32) -> Result<PathBuf, ClusterError> {
    let dir = room(state, "volumes").and_then(|dir| room(&dir, name))?;
    std::os::unix::fs::chown(&dir, Some(user), Some(user))
        .map_err(trying(format!("giving {} away", dir.display())))?;
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .map_err(trying(format!("closing {}", dir.display())))?;
    Ok(dir)
}
