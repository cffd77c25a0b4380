//! The cluster: up, down, and what tests ask of it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use rustix::fs::{FlockOperation, flock};

use crate::certificates::{Authority, token_keys};
use crate::error::{ClusterError, trying};
use crate::process::{is_running, log_of, start, stop};
use crate::programs::{Program, Programs};

/// What runs, in the order of its start.
const PROCESSES: [Program; 3] = [Program::Etcd, Program::ApiServer, Program::ControllerManager];

/// Says that a folder is a cluster's.
const MARKER: &str = ".strongroom-cluster";

/// How long a program may take to become ready.
const PATIENCE: Duration = Duration::from_secs(90);

/// A cluster of an API server and what it needs, on loopback.
#[derive(Clone, Debug)]
pub struct Cluster {
    state: PathBuf,
    programs: Programs,
}

impl Cluster {
    /// The cluster whose state is in `state`, up or not.
    ///
    /// # Errors
    /// [`ClusterError`] where Kubernetes' programs cannot be built.
    pub fn at(state: impl Into<PathBuf>) -> Result<Self, ClusterError> {
        Ok(Self {
            state: state.into(),
            programs: Programs::ready()?,
        })
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

    /// The cluster's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.state
    }

    /// Starts what does not run, and returns once the API server is ready. What was started is ended again where that fails.
    ///
    /// # Errors
    /// [`ClusterError::NotReady`] names the log to read; [`ClusterError::NotOurs`] where the folder holds something else.
    pub fn up(&self) -> Result<(), ClusterError> {
        claim(&self.state)?;
        for dir in ["pki", "log", "pid"] {
            let dir = self.state.join(dir);
            fs::create_dir_all(&dir).map_err(trying(format!("making {}", dir.display())))?;
        }
        let lock = File::create(self.state.join("lock")).map_err(trying("opening the cluster's lock"))?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| trying("taking the cluster's lock")(error.into()))?;
        if PROCESSES
            .iter()
            .all(|program| is_running(program.name(), &self.state))
            && self.is_ready()
        {
            return Ok(());
        }
        // Half a cluster is what a crash left: begin anew.
        end_processes(&self.state)?;
        let _ = fs::remove_dir_all(self.state.join("etcd"));
        let started = self.start();
        if started.is_err() {
            end_processes(&self.state)?;
        }
        started
    }

    fn start(&self) -> Result<(), ClusterError> {
        let ports = Ports::free()?;
        self.write_identity(&ports)?;
        self.start_etcd(&ports)?;
        self.start_api_server(&ports)?;
        self.wait_ready(Program::ApiServer, || self.is_ready())?;
        // The controller manager ends at once where this is missing.
        let authentication = [
            "-n",
            "kube-system",
            "get",
            "configmap",
            "extension-apiserver-authentication",
        ];
        self.wait_ready(Program::ApiServer, || {
            self.kubectl(&authentication)
                .is_ok_and(|output| output.status.success())
        })?;
        self.start_controller_manager()?;
        let account = ["-n", "default", "get", "serviceaccount", "default"];
        self.wait_ready(Program::ControllerManager, || {
            self.kubectl(&account).is_ok_and(|output| output.status.success())
        })
    }

    /// As [`Cluster::down_at`], for this cluster.
    ///
    /// # Errors
    /// As there.
    pub fn down(&self) -> Result<(), ClusterError> {
        Self::down_at(&self.state)
    }

    /// Ends every process of the cluster in `state` and removes the folder. Works also after the starter was killed, where
    /// nothing is up, and without Kubernetes' programs.
    ///
    /// # Errors
    /// [`ClusterError::Stuck`]; [`ClusterError::NotOurs`] where the folder is no cluster's: then nothing is removed.
    pub fn down_at(state: &Path) -> Result<(), ClusterError> {
        if !state.exists() {
            return Ok(());
        }
        if !state.join(MARKER).exists() {
            return Err(ClusterError::NotOurs(state.to_owned()));
        }
        end_processes(state)?;
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
        command
    }

    fn is_ready(&self) -> bool {
        self.kubectl(&["get", "--raw", "/readyz", "--request-timeout=2s"])
            .is_ok_and(|output| output.status.success())
    }

    fn wait_ready(&self, program: Program, ready: impl Fn() -> bool) -> Result<(), ClusterError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if ready() {
                return Ok(());
            }
            if Instant::now() >= deadline || !is_running(program.name(), &self.state) {
                let log = log_of(program.name(), &self.state);
                return Err(ClusterError::NotReady {
                    program: program.name().to_owned(),
                    seconds: PATIENCE.as_secs(),
                    log,
                });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn write_identity(&self, ports: &Ports) -> Result<(), ClusterError> {
        let pki = self.state.join("pki");
        let authority = Authority::new(&pki)?;
        authority.server(&pki, "apiserver")?;
        token_keys(&pki)?;
        for (file, name, group) in [
            ("kubeconfig", "admin", Some("system:masters")),
            (
                "controller-manager.kubeconfig",
                "system:kube-controller-manager",
                None,
            ),
        ] {
            let (certificate, key) = authority.client(name, group)?;
            let text = format!(
                "apiVersion: v1\nkind: Config\nclusters:\n- name: local\n  cluster:\n    server: https://127.0.0.1:{}\n    \
                 certificate-authority-data: {}\nusers:\n- name: {name}\n  user:\n    client-certificate-data: {}\n    \
                 client-key-data: {}\ncontexts:\n- name: local\n  context: {{cluster: local, user: {name}}}\ncurrent-context: local\n",
                ports.api,
                BASE64.encode(authority.pem().as_bytes()),
                BASE64.encode(certificate.as_bytes()),
                BASE64.encode(key.as_bytes()),
            );
            fs::write(self.state.join(file), text).map_err(trying(format!("writing {file}")))?;
        }
        Ok(())
    }

    fn start_etcd(&self, ports: &Ports) -> Result<(), ClusterError> {
        let mut etcd = self.programs.command(Program::Etcd);
        let (client, peer) = (
            format!("http://127.0.0.1:{}", ports.etcd),
            format!("http://127.0.0.1:{}", ports.peer),
        );
        etcd.arg("--data-dir").arg(self.state.join("etcd"));
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
        etcd.args([
            "--initial-cluster",
            &format!("default={peer}"),
            "--unsafe-no-fsync",
            "--log-level",
            "warn",
        ]);
        start(etcd, Program::Etcd.name(), &self.state)
    }

    fn start_api_server(&self, ports: &Ports) -> Result<(), ClusterError> {
        let pki = |name: &str| self.state.join("pki").join(name).display().to_string();
        let mut api = self.programs.command(Program::ApiServer);
        api.args([
            format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
            format!("--secure-port={}", ports.api),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--tls-cert-file={}", pki("apiserver.crt")),
            format!("--tls-private-key-file={}", pki("apiserver.key")),
            format!("--client-ca-file={}", pki("ca.crt")),
            format!("--service-account-key-file={}", pki("sa.pub")),
            format!("--service-account-signing-key-file={}", pki("sa.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--profiling=false".to_owned(),
            format!("--cert-dir={}", self.state.join("pki").display()),
        ]);
        start(api, Program::ApiServer.name(), &self.state)
    }

    fn start_controller_manager(&self) -> Result<(), ClusterError> {
        let kubeconfig = self
            .state
            .join("controller-manager.kubeconfig")
            .display()
            .to_string();
        let pki = |name: &str| self.state.join("pki").join(name).display().to_string();
        let mut manager = self.programs.command(Program::ControllerManager);
        manager.args([
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            format!("--service-account-private-key-file={}", pki("sa.key")),
            format!("--root-ca-file={}", pki("ca.crt")),
            "--use-service-account-credentials=true".to_owned(),
            "--leader-elect=false".to_owned(),
            format!("--secure-port={}", free_port()?),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--cert-dir={}", self.state.join("pki").display()),
        ]);
        start(manager, Program::ControllerManager.name(), &self.state)
    }
}

/// Makes the folder for its owner alone, and marks it: what bears no mark of ours is never written to or removed.
fn claim(state: &Path) -> Result<(), ClusterError> {
    let making = || format!("making {}", state.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)
        .map_err(trying(making()))?;
    let marker = state.join(MARKER);
    if marker.exists() {
        return Ok(());
    }
    if fs::read_dir(state).map_err(trying(making()))?.next().is_some() {
        return Err(ClusterError::NotOurs(state.to_owned()));
    }
    // A folder that was there before had a mode of its own; keys come to lie in it.
    fs::set_permissions(state, Permissions::from_mode(0o700)).map_err(trying(making()))?;
    fs::write(
        marker,
        "a local cluster of strongroom; `make down` removes this folder\n",
    )
    .map_err(trying(making()))
}

fn end_processes(state: &Path) -> Result<(), ClusterError> {
    PROCESSES
        .iter()
        .rev()
        .try_for_each(|program| stop(program.name(), state))
}

/// Ports of this cluster on loopback.
struct Ports {
    etcd: u16,
    peer: u16,
    api: u16,
}

impl Ports {
    fn free() -> Result<Self, ClusterError> {
        Ok(Self {
            etcd: free_port()?,
            peer: free_port()?,
            api: free_port()?,
        })
    }
}

/// A port that was free just now.
fn free_port() -> Result<u16, ClusterError> {
    let bound = TcpListener::bind("127.0.0.1:0").map_err(trying("looking for a free port"))?;
    bound
        .local_addr()
        .map(|address| address.port())
        .map_err(trying("looking for a free port"))
}
