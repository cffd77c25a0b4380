//! The plugin as a process in a mount namespace of the test's own, with a gateway's peer above it and the
//! test as kubelet below it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    missing_docs,
    missing_debug_implementations,
    reason = "each test binary uses its own part, and a test that cannot set up must stop"
)]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use data_encoding::BASE64URL_NOPAD;
use hyper_util::rt::TokioIo;
use strongroom_e2e::GatewayPeer;
use strongroom_node::proto::csi::node_client::NodeClient;
use strongroom_node::proto::csi::volume_capability::{AccessType, MountVolume};
use strongroom_node::proto::csi::{
    NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse, NodePublishVolumeRequest,
    NodeUnpublishVolumeRequest, VolumeCapability,
};
use strongroom_testing::wait::eventually;
use tokio::net::UnixStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Where kubelet's tokens are.
pub const TOKENS: &str = "csi.storage.k8s.io/serviceAccount.tokens";

/// A node of the test's own.
pub struct Node {
    pub peer: GatewayPeer,
    pub dir: tempfile::TempDir,
    holder: Child,
    plugin: Option<Child>,
    /// The plugin that another one was started beside.
    first: Option<Child>,
    runtime: tokio::runtime::Runtime,
    pub patience: u64,
    /// Another gateway than the peer.
    pub gateway: Option<String>,
}

impl Node {
    /// A mount namespace with nobody in it but the process that holds it, and no plugin yet.
    pub fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "mounting needs root");
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("k/plugins_registry")).unwrap();
        fs::create_dir_all(dir.path().join("k/pods")).unwrap();
        fs::write(dir.path().join("token"), "the-nodes-own-token").unwrap();
        let holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sleep", "600"])
            .spawn()
            .unwrap();
        let node = Self {
            peer: GatewayPeer::start().unwrap(),
            dir,
            holder,
            plugin: None,
            first: None,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            patience: 20,
            gateway: None,
        };
        let own = fs::read_link("/proc/self/ns/mnt").unwrap();
        let held = format!("/proc/{}/ns/mnt", node.holder.id());
        eventually("the namespace", || {
            fs::read_link(&held).ok().filter(|held| *held != own)
        });
        node
    }

    /// A node with a running plugin.
    pub fn running() -> Self {
        let mut node = Self::new();
        node.start(None);
        node
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// What the running plugin counts.
    pub fn metrics(&self) -> Option<String> {
        self.answer("/metrics")
    }

    /// What the plugin that was started last answers for its health and metrics, head and body.
    pub fn answer(&self, path: &str) -> Option<String> {
        let log = self.log();
        let line = log.lines().rfind(|line| line.contains("health and metrics"))?;
        let address = line.split("address=").nth(1)?.split_whitespace().next()?;
        let mut stream = TcpStream::connect(address).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        Some(said)
    }

    /// A command inside of the namespace.
    pub fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.holder.id()))
            .args(["--mount", "--"])
            .arg(program);
        command
    }

    /// Starts the plugin, to die at a point if one is named, and returns when it listens.
    pub fn start(&mut self, fault: Option<&str>) {
        self.start_with(fault, &[]);
    }

    pub fn start_with(&mut self, fault: Option<&str>, arguments: &[&str]) {
        let before = self.times_listening();
        let plugin = self.spawn(fault, arguments);
        self.plugin = Some(plugin);
        self.wait_listening(before);
    }

    /// Starts another plugin beside the one that there is, if there is one, and does not wait for it.
    pub fn start_beside(&mut self) {
        let second = self.spawn(None, &[]);
        self.first = self.plugin.replace(second);
    }

    /// How often a plugin has begun to listen for kubelet.
    pub fn times_listening(&self) -> usize {
        self.log().matches("serving csi").count()
    }

    /// Waits until the plugin that was started last listens, where so many had listened before it.
    pub fn wait_listening(&mut self, before: usize) {
        eventually("the plugin to listen", || {
            let ended = self.plugin.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the plugin ended: {}", self.log());
            (self.times_listening() > before).then_some(())
        });
    }

    fn spawn(&self, fault: Option<&str>, arguments: &[&str]) -> Child {
        let dir = self.dir.path();
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.join("log"))
            .unwrap();
        let gateway = self.gateway.clone().unwrap_or_else(|| self.peer.url());
        let mut command = self.inside(env!("CARGO_BIN_EXE_strongroom-node-testing"));
        command
            .args(["--node-name", "node-a", "--http-listen", "127.0.0.1:0"])
            .arg("--kubelet-dir")
            .arg(dir.join("k"))
            .arg("--state-dir")
            .arg(dir.join("s"))
            .arg("--journal-dir")
            .arg(dir.join("j"))
            .arg("--token-file")
            .arg(dir.join("token"))
            .args(["--gateway-url", &gateway])
            .args(["--publish-timeout", &self.patience.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(fault) = fault {
            command.env("STRONGROOM_FAULT", fault);
        }
        command.spawn().unwrap()
    }

    /// Kills the plugin where it stands.
    pub fn kill(&mut self) {
        if let Some(mut plugin) = self.plugin.take() {
            // It may have died at its point.
            let _ = plugin.kill();
            let _ = plugin.wait();
        }
    }

    /// Kills the one that another was started beside.
    pub fn kill_first(&mut self) {
        if let Some(mut first) = self.first.take() {
            let _ = first.kill();
            let _ = first.wait();
        }
    }

    /// Asks the plugin to stop, and waits until it has.
    pub fn stop(&mut self) {
        Self::end(self.plugin.take().unwrap());
    }

    /// The same of the one that another was started beside.
    pub fn stop_first(&mut self) {
        Self::end(self.first.take().unwrap());
    }

    fn end(mut plugin: Child) {
        let pid = rustix::process::Pid::from_child(&plugin);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        eventually("the plugin to end", || plugin.try_wait().unwrap());
    }

    /// Waits until the plugin has died by itself.
    pub fn wait_dead(&mut self) {
        let mut plugin = self.plugin.take().unwrap();
        eventually("the plugin to die", || plugin.try_wait().unwrap());
    }

    pub fn pid(&self) -> u32 {
        self.plugin.as_ref().unwrap().id()
    }

    pub fn socket(&self) -> PathBuf {
        self.dir
            .path()
            .join("k/plugins_registry/csi.strongroom.dev@reg.sock")
    }

    pub fn target(&self, volume: &str) -> PathBuf {
        self.dir
            .path()
            .join("k/pods")
            .join(volume)
            .join("volumes/kubernetes.io~csi/s/mount")
    }

    /// What the test sees of a path inside of the namespace.
    fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").unwrap())
    }

    pub fn path(&self, volume: &str, file: &str) -> PathBuf {
        // A link inside leads to a place inside: all of ours are relative.
        self.seen(&self.target(volume)).join(file)
    }

    pub fn read(&self, volume: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.path(volume, file)).ok()
    }

    /// The files that a pod would see, without those that begin with a dot.
    pub fn files(&self, volume: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(volume, ""))
            .map(|entries| {
                entries
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect()
            })
            .unwrap_or_default();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    /// The lines of our mounts in the namespace's mount table.
    pub fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string(format!("/proc/{}/mountinfo", self.holder.id())).unwrap();
        let ours = |line: &&str| line.contains(" - tmpfs strongroom ");
        table.lines().filter(ours).map(str::to_owned).collect()
    }

    /// Files of state, whole or not.
    pub fn states(&self) -> usize {
        fs::read_dir(self.dir.path().join("s/volumes")).map_or(0, Iterator::count)
    }

    pub fn call(&self, volume: &str, attributes: &[(&str, &str)]) -> NodePublishVolumeRequest {
        let target = self.target(volume);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let mut context: HashMap<String, String> = attributes
            .iter()
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
            .collect();
        context.insert("csi.storage.k8s.io/pod.name".into(), "pod".into());
        context.insert("csi.storage.k8s.io/pod.namespace".into(), "shop".into());
        let tokens = format!(
            "{{\"strongroom.dev\": {{\"token\": \"token-of-{volume}\", \"expirationTimestamp\": \"x\"}}}}"
        );
        NodePublishVolumeRequest {
            volume_id: volume.to_owned(),
            target_path: target.to_str().unwrap().to_owned(),
            volume_capability: Some(VolumeCapability {
                access_type: Some(AccessType::Mount(MountVolume::default())),
                access_mode: None,
            }),
            readonly: true,
            secrets: HashMap::from([(TOKENS.to_owned(), tokens)]),
            volume_context: context,
        }
    }

    /// A publish for a pod of an account: kubelet names one, and the token says which one it is.
    pub fn call_as(
        &self,
        volume: &str,
        secrets: &str,
        named: &str,
        claimed: &str,
    ) -> NodePublishVolumeRequest {
        let claims = format!(
            "{{\"kubernetes.io\":{{\"namespace\":\"shop\",\"pod\":{{\"name\":\"pod\",\"uid\":\"uid-{volume}\"}},\
             \"serviceaccount\":{{\"name\":\"{claimed}\",\"uid\":\"uid-{claimed}\"}}}}}}"
        );
        let token = format!("h.{}.s", BASE64URL_NOPAD.encode(claims.as_bytes()));
        let mut call = self.call(volume, &[("secrets", secrets)]);
        let context = [
            ("pod.uid", format!("uid-{volume}")),
            ("serviceAccount.name", named.to_owned()),
        ];
        for (key, text) in context {
            call.volume_context
                .insert(format!("csi.storage.k8s.io/{key}"), text);
        }
        let tokens =
            format!("{{\"strongroom.dev\": {{\"token\": \"{token}\", \"expirationTimestamp\": \"x\"}}}}");
        call.secrets.insert(TOKENS.to_owned(), tokens);
        call
    }

    /// Publishes a volume of some secrets, as kubelet would.
    pub fn publish(&self, volume: &str, secrets: &str) -> Result<(), Status> {
        self.publish_call(self.call(volume, &[("secrets", secrets)]))
    }

    pub fn publish_call(&self, call: NodePublishVolumeRequest) -> Result<(), Status> {
        let socket = self.socket();
        self.runtime.block_on(async move {
            let mut client = client(socket).await?;
            client.node_publish_volume(call).await.map(drop)
        })
    }

    pub fn unpublish(&self, volume: &str) -> Result<(), Status> {
        let (socket, target) = (self.socket(), self.target(volume));
        self.runtime.block_on(async move {
            let call = NodeUnpublishVolumeRequest {
                volume_id: volume.to_owned(),
                target_path: target.to_str().unwrap().to_owned(),
            };
            client(socket).await?.node_unpublish_volume(call).await.map(drop)
        })
    }

    pub fn stats(&self, volume: &str) -> Result<NodeGetVolumeStatsResponse, Status> {
        let (socket, target) = (self.socket(), self.target(volume));
        self.runtime.block_on(async move {
            let call = NodeGetVolumeStatsRequest {
                volume_id: volume.to_owned(),
                volume_path: target.to_str().unwrap().to_owned(),
            };
            Ok(client(socket)
                .await?
                .node_get_volume_stats(call)
                .await?
                .into_inner())
        })
    }

    /// Waits until a file has this text.
    pub fn wait_file(&self, volume: &str, file: &str, text: &str) {
        eventually(&format!("{file} of {volume} to be `{text}`"), || {
            (self.read(volume, file).as_deref() == Some(text)).then_some(())
        });
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        self.kill_first();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// A new connection, as kubelet makes one for each call.
pub async fn client(socket: PathBuf) -> Result<NodeClient<Channel>, Status> {
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await;
    channel
        .map(NodeClient::new)
        .map_err(|error| Status::unavailable(error.to_string()))
}
