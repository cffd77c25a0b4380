//! A process with its API beside the cluster, and those who ask it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use data_encoding::BASE64;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use strongroom_e2e::Strongroom;

pub(crate) use crate::support::https::{Answer, Server};
use crate::support::{Fixture, eventually, free_port};

/// Who writes, each a secret of its own, and as many who read.
pub(crate) const CLIENTS: usize = 8;

/// A process, its API, and secrets that take values from the account that has the token.
pub(crate) fn scene(f: &Fixture) -> (Strongroom, Server) {
    scene_in(f, &[])
}

/// As [`scene`], with more environment variables for the process.
pub(crate) fn scene_in(f: &Fixture, environment: &[(&str, &str)]) -> (Strongroom, Server) {
    let port = free_port();
    let strongroom = f.start_api_in(port, environment);
    for number in 0..CLIENTS {
        f.apply(&external(&format!("s{number}")));
    }
    let token = f.app_token();
    for number in 0..CLIENTS {
        f.wait_ready(&format!("s{number}"), "False", "AwaitingValue");
    }
    let server = Server::new(port, &f.authority(), &token);
    (strongroom, server)
}

/// A ManagedSecret whose values arrive over the API.
pub(crate) fn external(name: &str) -> String {
    format!(
        "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{source: {{external: {{}}}}}}\n---\n"
    )
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// What the clients have to say to those who watch them, and the other way round.
#[derive(Debug, Default)]
pub(crate) struct Load {
    puts: AtomicUsize,
    reads: AtomicUsize,
    stop: AtomicBool,
    /// A refusal ends a client as the end of the server does.
    refusable: bool,
}

impl Load {
    /// Answers so far: puts and reads.
    pub(crate) fn answers(&self) -> (usize, usize) {
        (
            self.puts.load(Ordering::Relaxed),
            self.reads.load(Ordering::Relaxed),
        )
    }

    /// Waits until there are so many more puts and so many more reads, by everybody together.
    pub(crate) fn goes_on(&self, more: usize) {
        let (puts, reads) = self.answers();
        eventually("the load to go on", || {
            let now = self.answers();
            (now.0 >= puts + more && now.1 >= reads + more).then_some(())
        });
    }

    /// For a server that is going to refuse.
    pub(crate) fn refusable() -> Self {
        Self {
            refusable: true,
            ..Self::default()
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn refuses(&self, answer: &Answer) -> bool {
        self.refusable && answer.status == StatusCode::SERVICE_UNAVAILABLE
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A single-key value.
pub(crate) fn value(text: &str) -> Value {
    json!({"data": {"token": BASE64.encode(text.as_bytes())}})
}

/// Each client has an address of its own, as pods do: what one address may have before it has proven who it
/// is, is not what is tested here.
fn address(client: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(client).unwrap())
}

/// Puts one version after the other until the server is gone or somebody says stop; how many were answered.
pub(crate) async fn write(server: Server, number: usize, load: Arc<Load>) -> usize {
    let mut sender = server.connect_from(address(number)).await.unwrap();
    let mut version = 0;
    while !load.stopped() {
        let id = format!("w{version}");
        let path = format!("s{number}/versions/{id}");
        match server
            .ask(&mut sender, Method::PUT, &path, Some(&value(&id)))
            .await
        {
            Some(answer) if load.refuses(&answer) => break,
            Some(answer) => assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body),
            None => break,
        }
        version += 1;
        load.puts.fetch_add(1, Ordering::Relaxed);
    }
    version
}

/// Reads until the server is gone or somebody says stop; the ids of the requests that were answered with a
/// value.
pub(crate) async fn read(server: Server, number: usize, load: Arc<Load>) -> Vec<String> {
    let mut sender = server.connect_from(address(CLIENTS + number)).await.unwrap();
    let mut requests = Vec::new();
    while !load.stopped() {
        let path = format!("s{}/value", number % CLIENTS);
        let Some(answer) = server.ask(&mut sender, Method::GET, &path, None).await else {
            break;
        };
        if load.refuses(&answer) {
            break;
        }
        load.reads.fetch_add(1, Ordering::Relaxed);
        if answer.status == StatusCode::OK {
            requests.push(answer.request);
        } else {
            // Before its first value there is nothing to read.
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
        }
    }
    requests
}

/// What the clients were answered.
pub(crate) struct ClientResults {
    /// Versions of each secret.
    pub(crate) written: Vec<usize>,
    /// Of each reader, ids of the requests that were answered with a value, in their order.
    pub(crate) reads: Vec<Vec<String>>,
}

/// All clients at once.
pub(crate) struct Clients {
    writers: Vec<tokio::task::JoinHandle<usize>>,
    readers: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Clients {
    /// Sets a writer and a reader of each secret to work.
    pub(crate) fn start(runtime: &tokio::runtime::Runtime, server: &Server, load: &Arc<Load>) -> Self {
        Self::start_with(runtime, server, load, 1)
    }

    /// Sets a writer and so many readers of each secret to work.
    pub(crate) fn start_with(
        runtime: &tokio::runtime::Runtime,
        server: &Server,
        load: &Arc<Load>,
        readers: usize,
    ) -> Self {
        Self {
            writers: (0..CLIENTS)
                .map(|number| runtime.spawn(write(server.clone(), number, Arc::clone(load))))
                .collect(),
            readers: (0..readers * CLIENTS)
                .map(|number| runtime.spawn(read(server.clone(), number, Arc::clone(load))))
                .collect(),
        }
    }

    /// Waits until all have ended.
    pub(crate) fn end(self, runtime: &tokio::runtime::Runtime) -> ClientResults {
        let ended = |task| runtime.block_on(async { tokio::time::timeout(TIMEOUT, task).await });
        let written = self.writers.into_iter().map(|task| ended(task).unwrap().unwrap());
        let written = written.collect();
        let ended = |task| runtime.block_on(async { tokio::time::timeout(TIMEOUT, task).await });
        let reads = self.readers.into_iter().map(|task| ended(task).unwrap().unwrap());
        ClientResults {
            written,
            reads: reads.collect(),
        }
    }
}

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One request on a connection of its own.
pub(crate) fn ask(
    runtime: &tokio::runtime::Runtime,
    server: &Server,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    let asking = async {
        // After a start the store is open a moment before somebody listens.
        let mut sender = loop {
            match server.connect().await {
                Ok(sender) => break sender,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        server.ask(&mut sender, method, path, body).await.unwrap()
    };
    runtime
        .block_on(async { tokio::time::timeout(TIMEOUT, asking).await })
        .unwrap()
}
