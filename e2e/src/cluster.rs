//! The cluster: up, down, and what tests ask of it.

mod cgroups;
mod control_plane;
mod dns;
mod folder;
mod host;
mod images;
mod mounts;
mod network_policies;
mod node;
mod sandbox;
mod size;
mod storage;

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

pub use size::Size;

use self::host::ClusterHost;
use self::node::Node;
use self::sandbox::Sandbox;
use crate::error::{ClusterError, trying};
use crate::process::{all, is_running, kill, log_of, mark, stop, stop_all};
use crate::programs::{Program, Programs};

/// What every cluster has, in the order of its start. Nodes end with their sandbox.
const CONTROL_PLANE: [Program; 3] = [Program::Etcd, Program::ApiServer, Program::ControllerManager];

/// How long a program may take to become ready.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A cluster on this machine.
#[derive(Clone, Debug)]
pub struct Cluster {
    state: PathBuf,
    size: Size,
    programs: Programs,
    /// How often kubelet looks at its pods, in seconds.
    sync: u8,
}

/// A changed Secret reaches the files of a pod at its next sync: elsewhere that is a minute, too long to
/// watch.
const SYNC: u8 = 5;

impl Cluster {
    /// The cluster without nodes whose state is in `state`, up or not.
    ///
    /// # Errors
    /// [`ClusterError`] where Kubernetes' programs cannot be built.
    pub fn at(state: impl Into<PathBuf>) -> Result<Self, ClusterError> {
        Self::sized(state, Size::Api)
    }

    /// The cluster of a size whose state is in `state`, up or not. Nodes need root.
    ///
    /// # Errors
    /// As [`Cluster::at`].
    pub fn sized(state: impl Into<PathBuf>, size: Size) -> Result<Self, ClusterError> {
        Ok(Self {
            state: state.into(),
            size,
            programs: Programs::ready()?,
            sync: SYNC,
        })
    }

    /// The same, whose kubelets look at their pods once a minute, as they do where nobody says otherwise.
    #[must_use]
    pub fn with_common_kubelets(self) -> Self {
        Self { sync: 60, ..self }
    }

    /// The cluster that is up in `state`, of whatever size.
    ///
    /// # Errors
    /// [`ClusterError::Down`] where none is.
    pub fn that_is_up(state: impl Into<PathBuf>) -> Result<Self, ClusterError> {
        let state = state.into();
        let size = fs::read_to_string(state.join("size"))
            .ok()
            .and_then(|size| size.trim().parse().ok())
            .filter(|_| is_running(Program::ApiServer.name(), &state))
            .ok_or_else(|| ClusterError::Down(state.clone()))?;
        let cluster = Self::sized(state, size)?;
        if cluster.is_up()? {
            Ok(cluster)
        } else {
            Err(ClusterError::Down(cluster.state))
        }
    }

    /// What was started: how many nodes there are.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// The folder of `make up`: `STRONGROOM_CLUSTER_DIR`, or one in the state folder of the machine.
    #[must_use]
    pub fn default_dir() -> PathBuf {
        std::env::var_os("STRONGROOM_CLUSTER_DIR")
            .map_or_else(|| PathBuf::from("/var/lib/strongroom-cluster"), PathBuf::from)
    }

    /// Where the kubeconfig of an administrator is.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("kubeconfig")
    }

    /// The process of a program, where it runs.
    #[must_use]
    pub fn pid(&self, program: Program) -> Option<u32> {
        let found = all(program.name(), &self.state);
        found.first().and_then(|pid| u32::try_from(*pid).ok())
    }

    /// What the API server wrote down of everything that it was asked for in group `people.strongroom.dev`,
    /// at level RequestResponse, and of Secrets of namespace `shop`, at level Metadata.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.state.join(control_plane::AUDIT_LOG)
    }

    /// The cluster's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.state
    }

    /// Starts what does not run, and returns once the API server, and each node, is ready. What was started
    /// is ended again where that fails.
    ///
    /// # Errors
    /// [`ClusterError::NotReady`] and [`ClusterError::Ended`] name the log to read; [`ClusterError::NotOurs`]
    /// where the folder holds something else.
    pub fn up(&self) -> Result<(), ClusterError> {
        folder::claim(&self.state)?;
        for dir in ["pki", "log"] {
            folder::room(&self.state, dir)?;
        }
        let _lock = lock(&self.state)?;
        if self.is_up()? {
            return Ok(());
        }
        // Half a cluster is what a crash left: begin anew.
        end(&self.state)?;
        let _ = fs::remove_dir_all(self.state.join("etcd"));
        let started = self.start();
        if started.is_err() {
            end(&self.state)?;
        }
        started
    }

    /// Whether all of it runs.
    fn is_up(&self) -> Result<bool, ClusterError> {
        let runs = CONTROL_PLANE
            .iter()
            .all(|program| is_running(program.name(), &self.state));
        if !runs || !self.is_ready() {
            return Ok(false);
        }
        let is = fs::read_to_string(self.state.join("size")).unwrap_or_default();
        if is.trim() != self.size.to_string() {
            return Err(ClusterError::OtherSize {
                is: is.trim().to_owned(),
                wanted: self.size.to_string(),
            });
        }
        Ok(self.size.nodes() == 0 || Sandbox::find(&self.state).is_some())
    }

    fn start(&self) -> Result<(), ClusterError> {
        folder::write(&self.state, "size", &format!("{}\n", self.size))?;
        let host = if self.size.nodes() == 0 {
            ClusterHost::machine(&self.state)?
        } else {
            ClusterHost::inside(&self.state, Sandbox::make(&self.state)?)
        };
        let nodes = host.sandbox().map_or_else(Vec::new, |sandbox| {
            Node::all(self.size.nodes(), sandbox.network())
        });
        let names: Vec<_> = nodes
            .iter()
            .map(|node| (node.name.clone(), node.address))
            .collect();
        control_plane::write_identities(&host, &names)?;
        control_plane::start_etcd(&self.programs, &host)?;
        control_plane::start_api_server(&self.programs, &host)?;
        for node in &nodes {
            node.make_mounts(&host)?;
            node.start_containerd(&host)?;
        }
        // Until its port is open it needs the processors itself: a kubectl would only take from them.
        self.wait_ready(Program::ApiServer.name(), || {
            host.api_listens() && self.is_ready()
        })?;
        // The controller manager and the scheduler end at once where this is missing.
        let authentication = [
            "-n",
            "kube-system",
            "get",
            "configmap",
            "extension-apiserver-authentication",
        ];
        self.wait_ready(Program::ApiServer.name(), || self.succeeds(&authentication))?;
        control_plane::start_controller_manager(&self.programs, &host)?;
        if let Some(sandbox) = host.sandbox() {
            self.start_nodes(&host, sandbox, &nodes)?;
        }
        let account = ["-n", "default", "get", "serviceaccount", "default"];
        self.wait_ready(Program::ControllerManager.name(), || self.succeeds(&account))
    }

    /// Ends the kubelet of a node; its pods run on.
    ///
    /// # Errors
    /// [`ClusterError::Stuck`].
    pub fn stop_kubelet(&self, node: &str) -> Result<(), ClusterError> {
        stop(&node::kubelet_of(node), &self.state)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// [`ClusterError::Down`]; where it cannot be started.
    pub fn start_kubelet(&self, node: &str) -> Result<(), ClusterError> {
        let sandbox = self.sandbox()?;
        let nodes = Node::all(self.size.nodes(), sandbox.network());
        let host = ClusterHost::inside(&self.state, sandbox);
        nodes
            .iter()
            .filter(|known| known.name == node)
            .try_for_each(|node| node.start_kubelet(&self.programs, &host, self.sync))
    }

    fn start_nodes(&self, host: &ClusterHost, sandbox: &Sandbox, nodes: &[Node]) -> Result<(), ClusterError> {
        control_plane::start_scheduler(&self.programs, host)?;
        let tools = images::tools()?;
        for node in nodes {
            self.wait_ready(&node.containerd_process(), || node.answers(sandbox))?;
            node.load(sandbox, &tools)?;
            node.start_kubelet(&self.programs, host, self.sync)?;
        }
        if let Some(first) = nodes.first() {
            // It writes rules as the user that pods' service accounts have nothing to do with.
            self.kubectl_must(&[
                "create",
                "clusterrolebinding",
                "strongroom-cluster:kube-proxy",
                "--clusterrole=system:node-proxier",
                "--user=system:kube-proxy",
            ])?;
            node::start_proxy(&self.programs, host, first)?;
        }
        let [names, volumes, policies] = [
            dns::start(host)?,
            storage::objects(&self.state)?,
            network_policies::rights(&self.state)?,
        ]
        .map(|file| format!("--filename={}", file.display()));
        self.kubectl_must(&["apply", &names, &volumes, &policies])?;
        self.wait_ready(dns::NAME, || dns::answers(sandbox))?;
        for node in nodes {
            let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
            let look = ["get", "node", &node.name, "-o", ready];
            self.wait_ready(&node.kubelet_name(), || {
                self.kubectl(&look).is_ok_and(|output| output.stdout == b"True")
            })?;
        }
        if let Some(first) = nodes.first() {
            network_policies::start(host, sandbox, first)?;
            self.wait_ready(network_policies::NAME, || network_policies::enforces(sandbox))?;
        }
        Ok(())
    }

    /// Builds the image of `strongroom` from this tree and puts it onto each node; its name, as a chart value
    /// has it.
    ///
    /// # Errors
    /// [`ClusterError::Command`] with what the builder said; [`ClusterError::Down`].
    pub fn load_strongroom(&self) -> Result<(), ClusterError> {
        self.load(&images::strongroom()?)
    }

    /// The same for the image of `strongroom-node`.
    ///
    /// # Errors
    /// As [`Cluster::load_strongroom`].
    pub fn load_node_plugin(&self) -> Result<(), ClusterError> {
        self.load(&images::node_plugin()?)
    }

    /// The same for the image of `strongroom-exec`.
    ///
    /// # Errors
    /// As [`Cluster::load_strongroom`].
    pub fn load_exec(&self) -> Result<(), ClusterError> {
        self.load(&images::exec()?)
    }

    /// The same for an example product, by the name of its program.
    ///
    /// # Errors
    /// As [`Cluster::load_strongroom`].
    pub fn load_product(&self, name: &str) -> Result<(), ClusterError> {
        self.load(&images::product(name)?)
    }

    /// Puts a PostgreSQL onto each node, and the `psql` of whoever logs in.
    ///
    /// # Errors
    /// As [`Cluster::load_strongroom`].
    pub fn load_postgres(&self) -> Result<(), ClusterError> {
        self.load(&images::postgres()?)
    }

    /// A command that runs where the nodes live, in all of their namespaces.
    ///
    /// # Errors
    /// [`ClusterError::Down`].
    pub fn inside(&self, command: &Command) -> Result<Command, ClusterError> {
        Ok(self.sandbox()?.enter(command))
    }

    /// The same on a node: where its pods' volumes are mounted.
    ///
    /// # Errors
    /// [`ClusterError::Down`].
    pub fn on_node(&self, node: &str, command: &Command) -> Result<Command, ClusterError> {
        Ok(self.sandbox()?.enter_node(node, command))
    }

    /// The root folder of a node, as this machine reaches it.
    ///
    /// # Errors
    /// [`ClusterError::Down`].
    pub fn root_of(&self, node: &str) -> Result<PathBuf, ClusterError> {
        Ok(self.sandbox()?.root_of(node))
    }

    /// The network namespace of the nodes, as a file, and the address of the first.
    ///
    /// # Errors
    /// [`ClusterError::Down`].
    pub fn network(&self) -> Result<(PathBuf, IpAddr), ClusterError> {
        let sandbox = self.sandbox()?;
        Ok((sandbox.network_namespace(), sandbox.network().node(0).into()))
    }

    fn sandbox(&self) -> Result<Sandbox, ClusterError> {
        Sandbox::find(&self.state).ok_or_else(|| ClusterError::Down(self.state.clone()))
    }

    /// Puts the images of an archive (docker's or OCI's) onto each node.
    ///
    /// # Errors
    /// [`ClusterError::Command`] with what containerd said; [`ClusterError::Down`].
    pub fn load(&self, archive: &Path) -> Result<(), ClusterError> {
        let sandbox = self.sandbox()?;
        Node::all(self.size.nodes(), sandbox.network())
            .iter()
            .try_for_each(|node| node.load(&sandbox, archive))
    }

    /// A folder on the machine for a volume of pods that run as `user`; it goes with the cluster.
    ///
    /// # Errors
    /// Where it cannot be made or given away.
    pub fn volume(&self, name: &str, user: u32) -> Result<PathBuf, ClusterError> {
        node::volume(&self.state, name, user)
    }

    /// As [`Cluster::down_at`], for this cluster.
    ///
    /// # Errors
    /// As there.
    pub fn down(&self) -> Result<(), ClusterError> {
        Self::down_at(&self.state)
    }

    /// Ends every process of the cluster in `state` and removes the folder. Works also after the starter was
    /// killed, where nothing is up, and without Kubernetes' programs.
    ///
    /// # Errors
    /// [`ClusterError::Stuck`]; [`ClusterError::NotOurs`] where the folder is no cluster's: then nothing is
    /// removed.
    pub fn down_at(state: &Path) -> Result<(), ClusterError> {
        if !state.exists() {
            return Ok(());
        }
        if !folder::is_ours(state) {
            return Err(ClusterError::NotOurs(state.to_owned()));
        }
        // A starter that still runs has it until it is done.
        let _lock = lock(state)?;
        end(state)?;
        fs::remove_dir_all(state).map_err(trying("removing the cluster's folder"))
    }

    /// Runs kubectl as an administrator.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<std::process::Output, ClusterError> {
        self.kubectl_command()
            .args(arguments)
            .output()
            .map_err(trying("starting kubectl"))
    }

    /// kubectl as an administrator, to be given more.
    #[must_use]
    pub fn kubectl_command(&self) -> Command {
        let mut command = self.programs.command(Program::Kubectl);
        command.env("KUBECONFIG", self.kubeconfig());
        mark(&mut command, &self.state);
        command
    }

    /// A folder for people's `PATH`: kubectl and helm, as the cluster has them.
    ///
    /// # Errors
    /// Where helm cannot be built, or the folder not be written.
    pub fn bin(&self) -> Result<PathBuf, ClusterError> {
        let dir = folder::room(&self.state, "bin")?;
        let programs = self.programs.path().display();
        for (name, command) in [
            ("kubectl", format!("{programs} kubectl")),
            ("helm", Programs::helm()?.display().to_string()),
        ] {
            let script = folder::write(&dir, name, &format!("#!/bin/sh\nexec {command} \"$@\"\n"))?;
            fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .map_err(trying(format!("making {} executable", script.display())))?;
        }
        Ok(dir)
    }

    fn kubectl_must(&self, arguments: &[&str]) -> Result<(), ClusterError> {
        sandbox::finish(self.kubectl_command().args(arguments)).map(drop)
    }

    fn succeeds(&self, arguments: &[&str]) -> bool {
        self.kubectl(arguments)
            .is_ok_and(|output| output.status.success())
    }

    fn is_ready(&self) -> bool {
        self.succeeds(&["get", "--raw", "/readyz", "--request-timeout=2s"])
    }

    fn wait_ready(&self, name: &str, ready: impl Fn() -> bool) -> Result<(), ClusterError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if ready() {
                return Ok(());
            }
            if !is_running(name, &self.state) {
                return Err(ClusterError::Ended {
                    program: name.to_owned(),
                    log: log_of(name, &self.state),
                });
            }
            if Instant::now() >= deadline {
                return Err(ClusterError::NotReady {
                    program: name.to_owned(),
                    seconds: TIMEOUT.as_secs(),
                    log: log_of(name, &self.state),
                });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// One starts or ends a cluster at a time. The lock goes with the file that is returned.
fn lock(state: &Path) -> Result<File, ClusterError> {
    let lock = File::create(state.join("lock")).map_err(trying("opening the cluster's lock"))?;
    flock(&lock, FlockOperation::LockExclusive)
        .map_err(|error| trying("taking the cluster's lock")(error.into()))?;
    Ok(lock)
}

/// Ends what runs of a cluster, whatever its size and however far it came.
fn end(state: &Path) -> Result<(), ClusterError> {
    if !state.join("network").exists() && sandbox::is_absent(state) {
        // Nothing of their state outlives them, and an API server that is asked waits for its clients.
        for program in CONTROL_PLANE.iter().rev() {
            kill(program.name(), state)?;
        }
        return stop_all(state);
    }
    sandbox::end(state)?;
    cgroups::remove(state)
}
