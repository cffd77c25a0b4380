//! Where the nodes live: network, mount and process namespaces of the cluster's own. When their first process
//! ends, the kernel ends every other one and takes the mounts, the interfaces and the packet filter's rules
//! with it, whatever became of the starter.
//!
//! Must not hold what Kubernetes itself needs; that is [`super::node`] and [`super::control_plane`].

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::mounts;
use crate::error::{ClusterError, trying};
use crate::process;

/// The name of the first process.
const NAME: &str = "sandbox";

/// How long its set-up, or its end, may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What the first process does: makes the folders that kubelet, containerd and CNI plugins know by a fixed
/// path its own, then reaps whatever is orphaned, until it is killed. Mounts are shared among the sandbox's
/// processes, and with nobody else.
const INIT: &str = r#"
set -eu
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/state /run/netns
mount --bind "$1" /run/state
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /var/log
mkdir -p "$1" /var/lib/kubelet /var/lib/cni
mount --bind /run/state "$1"
# What kubelet sets for the whole machine it sets in files of the sandbox: the machine keeps what it has.
while read -r name value; do
  file="/run/sysctl-$(echo "$name" | tr / -)"
  echo "$value" > "$file"
  mount --bind "$file" "/proc/sys/$name"
done <<TUNABLES
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
TUNABLES
mount --make-rshared /
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter
echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter
: > "$1/sandbox.ready"
while :; do sleep 3600 & wait $!; done
"#;

/// A sandbox that runs.
#[derive(Clone, Debug)]
pub(super) struct Sandbox {
    state: PathBuf,
    init: i32,
    network: Network,
}

/// The eight addresses that the sandbox shares with the machine: out of 198.18.0.0/15, which RFC 2544 sets
/// aside for tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Network(u16);

impl Network {
    /// The most such networks on a machine.
    const COUNT: u16 = 1 << 13;

    fn address(self, host: u8) -> Ipv4Addr {
        let [high, low] = self.0.wrapping_mul(8).to_be_bytes();
        Ipv4Addr::new(198, 18, high, low.wrapping_add(host))
    }

    fn machine(self) -> Ipv4Addr {
        self.address(1)
    }

    /// The address of a node; the first one's is the API server's too.
    pub(super) fn node(self, index: u8) -> Ipv4Addr {
        self.address(2_u8.wrapping_add(index))
    }
}

impl Sandbox {
    /// Makes one. Nothing of an earlier one may be left: [`end`] sees to that.
    pub(super) fn make(state: &Path) -> Result<Self, ClusterError> {
        if !rustix::process::geteuid().is_root() {
            return Err(ClusterError::NeedsRoot);
        }
        for (program, package) in [
            ("ip", "iproute2"),
            ("unshare", "util-linux"),
            ("nsenter", "util-linux"),
            ("containerd", "containerd"),
            ("runc", "runc"),
            ("nft", "nftables"),
            ("iptables", "iptables"),
            ("ipset", "ipset"),
        ] {
            if !is_on_path(program) {
                return Err(ClusterError::Missing(program, package));
            }
        }
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--net",
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child",
        ]);
        unshare.args(["--mount-proc", "sh", "-c", INIT, NAME]).arg(state);
        process::start(unshare, NAME, state)?;
        let ready = state.join("sandbox.ready");
        wait_for(("the sandbox", NAME), state, || {
            ready.exists() && init_of(state).is_some()
        })?;
        let init = init_of(state).ok_or_else(|| not_ready("the sandbox", NAME, state))?;
        let network = connect(state, init)?;
        Ok(Self {
            state: state.to_owned(),
            init,
            network,
        })
    }

    /// The sandbox of a folder, where one runs.
    pub(super) fn find(state: &Path) -> Option<Self> {
        let network = fs::read_to_string(state.join("network"))
            .ok()?
            .trim()
            .parse()
            .ok()?;
        Some(Self {
            state: state.to_owned(),
            init: init_of(state)?,
            network: Network(network),
        })
    }

    /// Its network namespace, as a file.
    pub(super) fn network_namespace(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.init))
    }

    /// Its addresses.
    pub(super) const fn network(&self) -> Network {
        self.network
    }

    /// `command`, to run inside.
    pub(super) fn enter(&self, command: &Command) -> Command {
        self.enter_with("--mount".to_owned(), command)
    }

    /// `command`, to run on a node.
    pub(super) fn enter_node(&self, node: &str, command: &Command) -> Command {
        let mounts = mounts::holder(&self.state, self.init, node);
        let mount = mounts.map_or_else(
            || "--mount".to_owned(),
            |pid| format!("--mount=/proc/{pid}/ns/mnt"),
        );
        self.enter_with(mount, command)
    }

    /// The root folder of a node, as this machine reaches it.
    pub(super) fn root_of(&self, node: &str) -> PathBuf {
        let pid = mounts::holder(&self.state, self.init, node).unwrap_or(self.init);
        PathBuf::from(format!("/proc/{pid}/root"))
    }

    fn enter_with(&self, mount: String, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside
            .arg(format!("--target={}", self.init))
            .args(["--net", &mount, "--pid", "--ipc", "--uts", "--"])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        process::mark(&mut inside, &self.state);
        inside
    }

    /// Starts a program of the cluster inside.
    pub(super) fn start(&self, command: &Command, name: &str) -> Result<(), ClusterError> {
        process::start(self.enter(command), name, &self.state)
    }

    /// As [`Sandbox::start`], on a node.
    pub(super) fn start_on(&self, node: &str, command: &Command, name: &str) -> Result<(), ClusterError> {
        process::start(self.enter_node(node, command), name, &self.state)
    }
}

/// Whether a folder has none.
pub(super) fn is_absent(state: &Path) -> bool {
    !process::is_running(NAME, state)
}

/// Ends the sandbox of a folder, and waits until nothing of it is left on the machine. None is no error.
pub(super) fn end(state: &Path) -> Result<(), ClusterError> {
    process::kill(NAME, state)?;
    process::stop_all(state)?;
    let interface = interface_of(state);
    let path = PathBuf::from("/sys/class/net").join(&interface);
    let deadline = Instant::now() + TIMEOUT;
    // It goes with its other end, a moment after the last process.
    while path.exists() {
        if Instant::now() >= deadline {
            run("ip", &["link", "delete", &interface])?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for file in ["sandbox.ready", "network"] {
        // It is missing where the set-up did not come that far.
        let _ = fs::remove_file(state.join(file));
    }
    Ok(())
}

/// The first process, by the pid that the machine knows it by.
fn init_of(state: &Path) -> Option<i32> {
    process::all(NAME, state).into_iter().find(|pid| {
        // The last number is the pid in the innermost namespace: proc_pid_status(5).
        fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| {
            status
                .lines()
                .filter_map(|line| line.strip_prefix("NSpid:"))
                .any(|pids| {
                    pids.split_whitespace().count() > 1 && pids.split_whitespace().last() == Some("1")
                })
        })
    })
}

/// Lays the line between the machine and the sandbox.
fn connect(state: &Path, init: i32) -> Result<Network, ClusterError> {
    let interface = interface_of(state);
    let peer = init.to_string();
    run(
        "ip",
        &[
            "link", "add", &interface, "type", "veth", "peer", "name", "eth0", "netns", &peer,
        ],
    )?;
    let network = free_network(state, &interface)?;
    fs::write(state.join("network"), format!("{}\n", network.0)).map_err(trying("writing the network"))?;
    run("ip", &["link", "set", &interface, "up"])?;
    let inside = |arguments: &[&str]| {
        let target = format!("--target={init}");
        let mut all = vec![target.as_str(), "--net", "--", "ip"];
        all.extend(arguments);
        run("nsenter", &all)
    };
    for node in 0..2 {
        inside(&[
            "address",
            "add",
            &format!("{}/29", network.node(node)),
            "dev",
            "eth0",
        ])?;
    }
    inside(&["link", "set", "eth0", "up"])?;
    inside(&["route", "add", "default", "via", &network.machine().to_string()])?;
    Ok(network)
}

/// Takes a network that nobody on this machine has: by giving the interface its address, then looking whether
/// another has it too.
fn free_network(state: &Path, interface: &str) -> Result<Network, ClusterError> {
    let first = fold(state);
    for step in 0..64_u16 {
        let number = u16::try_from(first % u64::from(Network::COUNT))
            .unwrap_or(0)
            .wrapping_add(step)
            % Network::COUNT;
        let network = Network(number);
        let address = format!("{}/29", network.machine());
        run("ip", &["address", "add", &address, "dev", interface])?;
        let taken = run("ip", &["-o", "-4", "address", "show", "to", &address])?;
        if taken.lines().count() == 1 {
            return Ok(network);
        }
        run("ip", &["address", "delete", &address, "dev", interface])?;
    }
    Err(ClusterError::NoNetwork)
}

/// The machine's end of the line: at most 15 characters, and another one for each folder.
fn interface_of(state: &Path) -> String {
    format!("sr{:08x}", fold(state) & 0xffff_ffff)
}

/// FNV-1a over the folder's path: tells clusters apart, and protects nothing.
pub(super) fn fold(state: &Path) -> u64 {
    state
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

/// Runs a program of the machine to its end; what it printed.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<String, ClusterError> {
    finish(Command::new(program).args(arguments))
}

/// Runs a command to its end; what it printed.
pub(super) fn finish(command: &mut Command) -> Result<String, ClusterError> {
    let what = || {
        let mut words = vec![command.get_program().to_string_lossy().into_owned()];
        words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
        words.join(" ")
    };
    let words = what();
    let output = command.output().map_err(trying(format!("starting {words}")))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(ClusterError::Command {
            command: words,
            says: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
            .any(|dir| dir.join(program).exists())
    })
}

/// Waits until something of the sandbox is ready, for as long as the process behind it runs; both by name.
pub(super) fn wait_for(
    (what, name): (&str, &str),
    state: &Path,
    ready: impl Fn() -> bool,
) -> Result<(), ClusterError> {
    let deadline = Instant::now() + TIMEOUT;
    while !ready() {
        if !process::is_running(name, state) {
            return Err(ClusterError::Ended {
                program: what.to_owned(),
                log: process::log_of(name, state),
            });
        }
        if Instant::now() >= deadline {
            return Err(not_ready(what, name, state));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn not_ready(what: &str, name: &str, state: &Path) -> ClusterError {
    ClusterError::NotReady {
        program: what.to_owned(),
        seconds: TIMEOUT.as_secs(),
        log: process::log_of(name, state),
    }
}
