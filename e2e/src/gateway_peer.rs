//! The gateway's end of the stream to nodes, for tests of the node plugin alone: it speaks the real protocol
//! over a real connection, and gives out what the test puts into it, to whomever the test lets. No policy, no
//! store, no audit.

mod replay;
mod serve;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc as sync;
use std::thread::JoinHandle;

use strongroom_api::stream::proto::Goodbye;
use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use tokio::sync::oneshot;

pub use self::replay::GatewayReplay;
use self::serve::{issue_certificate, serve};
use self::state::Gateway;
use crate::error::{ClusterError, trying};

/// Where a peer listens.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions<'a> {
    /// The address; port 0 is any.
    pub address: SocketAddr,
    /// The network namespace, as a file; none: the machine's.
    pub network: Option<&'a Path>,
    /// Whether it proves itself by a certificate.
    pub tls: bool,
}

/// A version that a test puts: name of the secret, version, keys and their texts.
pub type PutVersion<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// A running peer; it ends when dropped.
#[derive(Debug)]
pub struct GatewayPeer {
    address: SocketAddr,
    authority: Option<String>,
    gateway: Gateway,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl GatewayPeer {
    /// Starts one on any port of loopback, without TLS.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn start() -> Result<Self, ClusterError> {
        Self::start_at(ListenOptions {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            network: None,
            tls: false,
        })
    }

    /// Starts one.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn start_at(at: ListenOptions<'_>) -> Result<Self, ClusterError> {
        let gateway = Gateway::default();
        let certified = at.tls.then(|| issue_certificate(at.address.ip())).transpose()?;
        let network = at
            .network
            .map(|path| File::open(path).map_err(trying(format!("opening {}", path.display()))))
            .transpose()?;
        let (stop, stopped) = oneshot::channel();
        let (listening, listens) = sync::channel();
        let serving = gateway.clone();
        let identity = certified.as_ref().map(|certified| certified.identity.clone());
        let address = at.address;
        // A thread of its own: joining a network namespace is a thread's matter.
        let thread = std::thread::spawn(move || {
            let serve = || serve(network.as_ref(), address, identity, serving, stopped, &listening);
            if let Err(error) = serve() {
                let _ = listening.send(Err(error));
            }
        });
        let address = listens
            .recv()
            .map_err(|_| trying("starting the gateway's peer")(std::io::ErrorKind::Other.into()))??;
        Ok(Self {
            address,
            authority: certified.map(|certified| certified.authority),
            gateway,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Scheme, address and port, as `--gateway-url` takes them.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority of its certificate, PEM.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Puts a version, and pushes it to whoever has the secret.
    pub fn put(&self, name: &str, version: &str, keys: &[(&str, &str)]) {
        self.put_all(&[(name, version, keys)]);
    }

    /// Puts versions of several secrets in one change.
    pub fn put_all(&self, puts: &[PutVersion<'_>]) {
        let mut state = self.gateway.lock();
        let mut changed = BTreeSet::new();
        for (name, version, keys) in puts {
            state.put(name, version, keys);
            changed.insert((*name).to_owned());
        }
        state.push(&changed);
    }

    /// Lets nobody have a secret any more, with what to say of it. Running volumes are told so, and what
    /// becomes of their files.
    pub fn deny(&self, name: &str, message: &str, wipe: bool) {
        let mut state = self.gateway.lock();
        state.denied.insert(name.to_owned(), (message.to_owned(), wipe));
        state.send_tombstones(name);
    }

    /// Lets everybody have it again.
    pub fn allow(&self, name: &str) {
        let mut state = self.gateway.lock();
        state.denied.remove(name);
        state.grant_again(name);
    }

    /// Answers nothing more, on any stream.
    pub fn set_silent(&self, silent: bool) {
        self.gateway.lock().silent = silent;
    }

    /// Says of every pod that it is at this address; empty: that it is nowhere.
    pub fn set_pod_address(&self, address: &str) {
        address.clone_into(&mut self.gateway.lock().address);
    }

    /// Ends every stream. With a message where it is in order.
    pub fn hang_up(&self, goodbye: bool) {
        let mut state = self.gateway.lock();
        for stream in &state.streams {
            if goodbye {
                stream.say(ToNode::Goodbye(Goodbye {
                    reason: "the test says so".to_owned(),
                    reconnect_within_ms: 100,
                }));
            }
        }
        state.streams.clear();
    }

    /// What it saw so far.
    #[must_use]
    pub fn seen(&self) -> PeerObservations {
        self.gateway.lock().seen.clone()
    }
}

impl Drop for GatewayPeer {
    fn drop(&mut self) {
        self.gateway.lock().streams.clear();
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a peer saw.
#[derive(Clone, Debug, Default)]
pub struct PeerObservations {
    /// How many streams began.
    pub hellos: usize,
    /// How many values were held at the last one.
    pub held: usize,
    /// The newest token of each volume that is subscribed.
    pub tokens: BTreeMap<String, String>,
    /// What each volume shows, by the place of its secrets; `!` and why where it cannot show one, `-` where
    /// files are gone.
    pub applied: BTreeMap<String, BTreeMap<u32, String>>,
    /// How often each version was sent, as `name@version`.
    pub sent: BTreeMap<String, usize>,
    /// Values that were asked for again.
    pub fetches: usize,
    /// Entries of the node's journal: sequence, volume, and the UID of the ServiceAccount.
    pub journal: Vec<(u64, String, String)>,
    /// How often a node asked where a pod is.
    pub address_requests: usize,
    /// What came of telling pods: volume, outcome by its name in the protocol, and status.
    pub noticed: Vec<(String, String, u32)>,
}
