//! Rows of the node plugin by itself: what a publish takes, and what it has resident with many volumes. The
//! test is kubelet, and a gateway's peer gives out the values at once: what a gateway takes to authorise and
//! read is not in it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use strongroom_e2e::{GatewayPeer, Strongroom};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::cluster::busy;
use crate::row::{Row, quantile, sorted};
use crate::{Outcome, memory};

/// Volumes that are published for each row of times.
const PUBLISHED: usize = 200;
/// How long a processor is watched that should have nothing to do.
const IDLE: Duration = Duration::from_secs(10);
/// How long the plugin may take to listen.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What kubelet asks for (csi.proto v1.12, only the fields that are used).
#[derive(Clone, PartialEq, prost::Message)]
struct Publish {
    #[prost(string, tag = "1")]
    volume_id: String,
    #[prost(string, tag = "4")]
    target_path: String,
    #[prost(message, optional, tag = "5")]
    volume_capability: Option<Capability>,
    #[prost(bool, tag = "6")]
    readonly: bool,
    #[prost(map = "string, string", tag = "7")]
    secrets: HashMap<String, String>,
    #[prost(map = "string, string", tag = "8")]
    volume_context: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Capability {
    #[prost(message, optional, tag = "2")]
    mount: Option<EmptyMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EmptyMessage {}

/// All rows: they share the plugin.
pub(crate) fn measure() -> Outcome<Vec<Row>> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut node = Node::start()?;
        let rows = rows(&mut node).await;
        if rows.is_err() {
            return Err(format!("{rows:?}\n{}", node.log()).into());
        }
        rows
    })
}

async fn rows(node: &mut Node) -> Outcome<Vec<Row>> {
    let mut client = node.connect().await?;
    let nothing = memory::at_rest(node.plugin.id()).await?;
    node.peer
        .put("db", "v-1", &[("username", "u"), ("password", "p")]);
    // The first one makes the folders.
    node.publish(&mut client, 0, "db").await?;
    let (mut warm, mut cold, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..PUBLISHED {
        let secret = format!("cold-{number}");
        node.peer
            .put(&secret, "v-1", &[("username", "u"), ("password", "p")]);
        bare.push(Node::info(&mut client).await?);
        warm.push(node.publish(&mut client, 1 + number, "db").await?);
        cold.push(node.publish(&mut client, 1 + PUBLISHED + number, &secret).await?);
    }
    // As kubelet does about once a minute, with nothing to mend.
    let mut again = Vec::new();
    for number in 0..PUBLISHED {
        again.push(node.publish(&mut client, 1 + number, "db").await?);
    }
    let mut rows = vec![
        Row::from_samples("publish.warm.p50_ms", "ms", &warm)
            .against("NodeGetInfo on the same connection", &bare),
        late("publish.warm.p99_ms", &warm),
        Row::from_samples("publish.cold.p50_ms", "ms", &cold)
            .against("NodeGetInfo on the same connection", &bare),
        late("publish.cold.p99_ms", &cold),
        Row::from_samples("publish.again.p50_ms", "ms", &again)
            .against("NodeGetInfo on the same connection", &bare),
        late("publish.again.p99_ms", &again),
    ];
    node.again()?;
    let mut client = node.connect().await?;
    let mut count = 0;
    for (volumes, memory, idle) in [
        (100, "node.volumes100.rss_mb", "node.volumes100.idle_cpu_percent"),
        (
            1_000,
            "node.volumes1000.rss_mb",
            "node.volumes1000.idle_cpu_percent",
        ),
    ] {
        while count < volumes {
            node.publish(&mut client, count, "db").await?;
            count += 1;
        }
        // One change of all of them is part of a volume's life.
        node.peer.put(
            "db",
            &format!("v-{volumes}"),
            &[("username", "u"), ("password", "p")],
        );
        node.all_show(volumes, &format!("v-{volumes}")).await?;
        let resident = memory::at_rest(node.plugin.id()).await?;
        rows.push(Row::from_samples(memory, "MB", &resident).against("without a volume", &nothing));
        let before = busy(node.plugin.id())?;
        tokio::time::sleep(IDLE).await;
        let percent = (busy(node.plugin.id())? - before) / IDLE.as_secs_f64() * 100.0;
        rows.push(Row::from_samples(idle, "%", &[percent]));
    }
    rows.push(Row::from_samples("node.volumes0.rss_mb", "MB", &nothing));
    Ok(rows)
}

fn late(name: &'static str, samples: &[f64]) -> Row {
    Row {
        value: quantile(&sorted(samples), 0.99),
        ..Row::from_samples(name, "ms", samples)
    }
}

/// The plugin in a mount namespace of its own: its volumes go with it.
struct Node {
    peer: GatewayPeer,
    dir: tempfile::TempDir,
    plugin: Child,
}

impl Node {
    fn start() -> Outcome<Self> {
        let dir = tempfile::tempdir()?;
        let peer = GatewayPeer::start()?;
        fs::write(dir.path().join("token"), "the-nodes-own-token")?;
        let plugin = spawn(&dir, &peer)?;
        Ok(Self { peer, dir, plugin })
    }

    /// A new plugin that knows nothing.
    fn again(&mut self) -> Outcome<()> {
        self.end();
        for folder in ["k", "s", "j"] {
            // Mounts were the former namespace's, and are gone with it.
            fs::remove_dir_all(self.dir.path().join(folder))?;
        }
        self.plugin = spawn(&self.dir, &self.peer)?;
        Ok(())
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.plugin.kill();
        let _ = self.plugin.wait();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    async fn connect(&self) -> Outcome<tonic::client::Grpc<Channel>> {
        let socket = self
            .dir
            .path()
            .join("k/plugins_registry/csi.strongroom.dev@reg.sock");
        let deadline = Instant::now() + TIMEOUT;
        while !socket.exists() {
            if Instant::now() > deadline {
                return Err("the plugin does not listen".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://localhost");
        Ok(tonic::client::Grpc::new(
            channel.connect_with_connector(connector).await?,
        ))
    }

    /// Waits until so many volumes are acknowledged to show a version.
    async fn all_show(&self, volumes: usize, version: &str) -> Outcome<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let applied = self.peer.seen().applied;
            let shows = |volume: &usize| {
                let shown = applied.get(&format!("csi-{volume}")).and_then(|of| of.get(&0));
                shown.is_some_and(|shown| shown == version)
            };
            if (0..volumes).all(|volume| shows(&volume)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("not all volumes show {version} in time").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn target(&self, volume: usize) -> PathBuf {
        let pod = format!("k/pods/csi-{volume}/volumes/kubernetes.io~csi/s/mount");
        self.dir.path().join(pod)
    }

    /// Milliseconds that a publish takes.
    async fn publish(
        &self,
        client: &mut tonic::client::Grpc<Channel>,
        volume: usize,
        secret: &str,
    ) -> Outcome<f64> {
        let target = self.target(volume);
        fs::create_dir_all(target.parent().ok_or("no folder")?)?;
        let tokens = format!(
            "{{\"strongroom.dev\": {{\"token\": \"token-{volume}\", \"expirationTimestamp\": \"x\"}}}}"
        );
        let pair = |key: &str, text: &str| (key.to_owned(), text.to_owned());
        let request = Publish {
            volume_id: format!("csi-{volume}"),
            target_path: target.to_str().ok_or("the path is no text")?.to_owned(),
            volume_capability: Some(Capability {
                mount: Some(EmptyMessage {}),
            }),
            readonly: true,
            secrets: HashMap::from([pair("csi.storage.k8s.io/serviceAccount.tokens", &tokens)]),
            volume_context: HashMap::from([
                pair("secrets", secret),
                pair("csi.storage.k8s.io/pod.name", "pod"),
                pair("csi.storage.k8s.io/pod.namespace", "bench"),
            ]),
        };
        call(client, request, "/csi.v1.Node/NodePublishVolume").await
    }

    /// Milliseconds that a call takes which does nothing.
    async fn info(client: &mut tonic::client::Grpc<Channel>) -> Outcome<f64> {
        call(client, EmptyMessage {}, "/csi.v1.Node/NodeGetInfo").await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

async fn call<M: prost::Message + 'static>(
    client: &mut tonic::client::Grpc<Channel>,
    message: M,
    path: &'static str,
) -> Outcome<f64> {
    client.ready().await?;
    let codec = tonic_prost::ProstCodec::<M, EmptyMessage>::default();
    let start = Instant::now();
    client
        .unary(
            tonic::Request::new(message),
            PathAndQuery::from_static(path),
            codec,
        )
        .await?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

fn spawn(dir: &tempfile::TempDir, peer: &GatewayPeer) -> Outcome<Child> {
    let dir = dir.path();
    for folder in ["k/plugins_registry", "k/pods"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    let log = File::options().create(true).append(true).open(dir.join("log"))?;
    let program = Strongroom::binary().with_file_name("strongroom-node");
    // `unshare` becomes the plugin: what is measured is the plugin's own process.
    Ok(Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(program)
        .args(["--node-name", "node-a", "--http-listen", "127.0.0.1:0"])
        .arg("--kubelet-dir")
        .arg(dir.join("k"))
        .arg("--state-dir")
        .arg(dir.join("s"))
        .arg("--journal-dir")
        .arg(dir.join("j"))
        .arg("--token-file")
        .arg(dir.join("token"))
        .args(["--gateway-url", &peer.url()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?)
}
