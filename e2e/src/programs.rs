//! Kubernetes' programs: one binary from the Go module in `e2e/cluster`, CoreDNS, the firewall that enforces
//! NetworkPolicies, a server of S3, kstatus, and the tools of `e2e/tools`; built once, and kept in the
//! ordinary cache under the hash of what made them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use crate::error::{ClusterError, trying};

/// One of Kubernetes' programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// `etcd`, which keeps what the API server is told.
    Etcd,
    /// `kube-apiserver`, which all others talk to.
    ApiServer,
    /// Namespaces, garbage, aggregated roles.
    ControllerManager,
    /// Gives pods their nodes.
    Scheduler,
    /// Leads Services to pods.
    Proxy,
    /// Runs the pods of a node.
    Kubelet,
    /// The command line.
    Kubectl,
}

impl Program {
    /// The name that the binary knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Proxy => "kube-proxy",
            Self::Kubelet => "kubelet",
            Self::Kubectl => "kubectl",
        }
    }
}

/// The built binaries.
#[derive(Clone, Debug)]
pub struct Programs {
    cluster: PathBuf,
}

/// The Kubernetes of `e2e/cluster/go.mod`.
const VERSION: &str = "v1.36.3";

impl Programs {
    /// Finds the binary in the cache, or builds it: about seven minutes on two cores the first time.
    ///
    /// # Errors
    /// [`ClusterError::Missing`] without Go, [`ClusterError::Build`].
    pub fn ready() -> Result<Self, ClusterError> {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster");
        let cache = cache_dir().join(format!("cluster-{VERSION}-{:016x}", fingerprint(&module)?));
        let cluster = cache.join("strongroom-cluster");
        let _lock = locked(&cache)?;
        if !cluster.exists() {
            let version = format!(
                "-s -w -X k8s.io/component-base/version.gitVersion={VERSION} \
                 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
            );
            build(&module, &cache, &cluster, ".", &version)?;
        }
        Ok(Self { cluster })
    }

    /// The helm of `e2e/tools`, from the cache or built: about two minutes on two cores the first time.
    ///
    /// # Errors
    /// As [`Programs::ready`].
    pub fn helm() -> Result<PathBuf, ClusterError> {
        program("tools", "helm", "helm.sh/helm/v4/cmd/helm")
    }

    /// The csi-sanity of `e2e/tools`, from the cache or built.
    ///
    /// # Errors
    /// As [`Programs::ready`].
    pub fn csi_sanity() -> Result<PathBuf, ClusterError> {
        program(
            "tools",
            "csi-sanity",
            "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity",
        )
    }

    /// The OpenTelemetry Collector of `e2e/otel`, from the cache or built: less than a minute on two cores
    /// the first time.
    ///
    /// # Errors
    /// As [`Programs::ready`].
    pub fn collector() -> Result<PathBuf, ClusterError> {
        program("otel", "collector", ".")
    }

    /// The CoreDNS of `e2e/dns`, from the cache or built: a minute on two cores the first time.
    ///
    /// # Errors
    /// As [`Programs::ready`].
    pub fn dns() -> Result<PathBuf, ClusterError> {
        program("dns", "coredns", ".")
    }

    /// The firewall of `e2e/network-policies`, from the cache or built: about a minute on two cores the first
    /// time.
    ///
    /// # Errors
    /// As [`Programs::ready`].
    pub fn network_policies() -> Result<PathBuf, ClusterError> {
        program("network-policies", "network-policies", ".")
    }

    /// The server of S3 of `e2e/s3`, from the cache or built: about two minutes on two cores the first time.
    ///
    /// # Errors
    /// As [`Programs::ready`].
    pub fn s3_server() -> Result<PathBuf, ClusterError> {
        program("s3", "versitygw", "github.com/versity/versitygw/cmd/versitygw")
    }

    /// The kstatus of `e2e/kstatus`, from the cache or built: less than a minute on two cores the first time.
    ///
    /// # Errors
    /// As [`Programs::ready`].
    pub fn kstatus() -> Result<PathBuf, ClusterError> {
        program("kstatus", "kstatus", ".")
    }

    /// The one binary: its first argument selects the program.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.cluster
    }

    /// A command that runs a program.
    #[must_use]
    pub fn command(&self, program: Program) -> Command {
        let mut command = Command::new(&self.cluster);
        command.arg(program.name());
        command
    }
}

/// A program of a Go module of ours.
fn program(folder: &str, name: &str, package: &str) -> Result<PathBuf, ClusterError> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let cache = cache_dir().join(format!("{folder}-{:016x}", fingerprint(&module)?));
    let program = cache.join(name);
    let _lock = locked(&cache)?;
    if !program.exists() {
        build(&module, &cache, &program, package, "-s -w")?;
    }
    Ok(program)
}

/// Holds the lock of a folder in the cache: two test runs must not build at once.
fn locked(cache: &Path) -> Result<File, ClusterError> {
    fs::create_dir_all(cache).map_err(trying(format!("making {}", cache.display())))?;
    let lock = File::create(cache.join("lock")).map_err(trying("opening the build's lock"))?;
    flock(&lock, FlockOperation::LockExclusive)
        .map_err(|error| trying("taking the build's lock")(error.into()))?;
    Ok(lock)
}

fn build(module: &Path, cache: &Path, to: &Path, package: &str, ldflags: &str) -> Result<(), ClusterError> {
    let log = cache.join("build.log");
    let out = File::create(&log).map_err(trying("opening the build's log"))?;
    let err = out.try_clone().map_err(trying("opening the build's log"))?;
    let partial = to.with_extension("partial");
    let status = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", ldflags, "-o"])
        .arg(&partial)
        .arg(package)
        .current_dir(module)
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status();
    match status {
        Ok(status) if status.success() => fs::rename(&partial, to).map_err(trying("keeping what was built")),
        Ok(_) => Err(ClusterError::Build(log)),
        Err(_) => Err(ClusterError::Missing(
            "go",
            "Go 1.26 or newer, from your distribution or go.dev",
        )),
    }
}

fn cache_dir() -> PathBuf {
    let home = || {
        std::env::var_os("HOME")
            .map_or_else(|| PathBuf::from("/root"), PathBuf::from)
            .join(".cache")
    };
    std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(home, PathBuf::from)
        .join("strongroom")
}

/// FNV-1a over the files that the binary is built from: tells builds apart, and protects nothing.
fn fingerprint(module: &Path) -> Result<u64, ClusterError> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for name in ["go.mod", "go.sum", "main.go"] {
        let path = module.join(name);
        if !path.exists() {
            continue;
        }
        let bytes = fs::read(&path).map_err(trying(format!("reading {}", path.display())))?;
        for byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(hash)
}
