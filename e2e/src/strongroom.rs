//! A `strongroom serve` of the tests' own, as a process beside the cluster.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::error::{ClusterError, trying};

/// The namespace that it lives in.
const NAMESPACE: &str = "strongroom";

/// How the C library hands out memory, as the chart says it. What the caller's own environment says counts
/// more.
const MEMORY: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
];

/// How long a start may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running process, killed when dropped.
#[derive(Debug)]
pub struct Strongroom {
    child: Child,
    log: PathBuf,
}

impl Strongroom {
    /// The binary: `STRONGROOM_BIN`, or the one that was built beside the tests.
    #[must_use]
    pub fn binary() -> PathBuf {
        let built = || {
            let test = std::env::current_exe().unwrap_or_default();
            let deps = test.parent().map(Path::to_owned).unwrap_or_default();
            let profile = if deps.ends_with("deps") {
                deps.parent().map(Path::to_owned)
            } else {
                None
            };
            profile.unwrap_or(deps).join("strongroom")
        };
        std::env::var_os("STRONGROOM_BIN").map_or_else(built, PathBuf::from)
    }

    /// Starts a process on `cluster` with its data in `data`, and more arguments.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn spawn(cluster: &Cluster, data: &Path, arguments: &[&str]) -> Result<Self, ClusterError> {
        Self::spawn_in(cluster, data, arguments, &[])
    }

    fn spawn_in(
        cluster: &Cluster,
        data: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self, ClusterError> {
        fs::create_dir_all(data).map_err(trying(format!("making {}", data.display())))?;
        let log = data.join("serve.log");
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(trying("opening the log of strongroom"))?;
        let binary = Self::binary();
        let names_port = arguments
            .iter()
            .any(|argument| argument.starts_with("--gateway-listen"));
        let child = Command::new(&binary)
            .args([
                "serve",
                "--seal-kubernetes-secret=strongroom-root-key",
                "--http-listen=127.0.0.1:0",
            ])
            .args(["--namespace", NAMESPACE, "--name", "strongroom-0"])
            .arg("--data-dir")
            .arg(data.join("data"))
            // Any port, so that many run beside one another.
            .args((!names_port).then_some("--gateway-listen=127.0.0.1:0"))
            .args(arguments)
            .env("KUBECONFIG", cluster.kubeconfig())
            .envs(
                MEMORY
                    .into_iter()
                    .filter(|(name, _)| std::env::var_os(name).is_none()),
            )
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .map_err(trying(format!("starting {}", binary.display())))?;
        Ok(Self { child, log })
    }

    /// Starts a process, and returns once its store is open.
    ///
    /// # Errors
    /// [`ClusterError::NotReady`] and [`ClusterError::Ended`] name its log.
    pub fn start(cluster: &Cluster, data: &Path) -> Result<Self, ClusterError> {
        Self::start_with(cluster, data, &[])
    }

    /// As [`Strongroom::start`], with more arguments.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(cluster: &Cluster, data: &Path, arguments: &[&str]) -> Result<Self, ClusterError> {
        Self::start_in(cluster, data, arguments, &[])
    }

    /// As [`Strongroom::start_with`], with more environment variables.
    ///
    /// # Errors
    /// As there.
    pub fn start_in(
        cluster: &Cluster,
        data: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self, ClusterError> {
        let before = opened(&data.join("serve.log"));
        let mut it = Self::spawn_in(cluster, data, arguments, environment)?;
        let deadline = Instant::now() + TIMEOUT;
        while opened(&it.log) == before {
            let log = it.log.clone();
            if it.ended().is_some() {
                return Err(ClusterError::Ended {
                    program: "strongroom".to_owned(),
                    log,
                });
            }
            if Instant::now() >= deadline {
                return Err(ClusterError::NotReady {
                    program: "strongroom".to_owned(),
                    seconds: TIMEOUT.as_secs(),
                    log,
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(it)
    }

    /// Process id of `strongroom`, for signals and `/proc`.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, where it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub fn wait(&mut self) -> Result<ExitStatus, ClusterError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.ended() {
                Some(status) => return Ok(status),
                None if Instant::now() >= deadline => {
                    return Err(ClusterError::Stuck(i32::try_from(self.child.id()).unwrap_or(0)));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// As [`Strongroom::wait`].
    pub fn stop(&mut self) -> Result<ExitStatus, ClusterError> {
        if let Some(pid) = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        self.wait()
    }

    /// Kills it where it stands.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it wrote, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Strongroom {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How often a store was opened, by the log.
fn opened(log: &Path) -> usize {
    fs::read_to_string(log)
        .unwrap_or_default()
        .matches("store opened")
        .count()
}
