//! The promise: a flood at one gateway uses up what that one has. Who comes by another one is answered, be it
//! the same caller, and each refusal is counted where it happened. A dedicated gateway serves the paid
//! secrets of its product.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

#[path = "faults/load.rs"]
#[allow(dead_code, reason = "more is there than this needs")]
mod load;
mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use strongroom_e2e::Strongroom;
use strongroom_e2e::attacks::{Stranger, Target, strangers};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use load::{Server, external, runtime, value};
use support::metrics::metrics;
use support::{Fixture, eventually, free_port};

/// Who floods, each from an address of its own, and the most requests of each.
const FLOODERS: u8 = 12;
const MAX_REQUESTS: usize = 100_000;
/// Connections of one stranger who says nothing: more than one address may have anywhere.
const SILENT: usize = 256;
/// Who is measured connects so often, and reads so often each time: in all less than a rate of one second.
const CONNECTIONS: usize = 10;
const READS: usize = 20;
/// What no answer may take longer than.
const DEADLINE: Duration = Duration::from_secs(30);
/// The secret that everybody reads: a product's, under the tenant's key.
const SECRET: &str = "aigw!payments";
const PATH: &str = "aigw!payments/value";

/// The product with its manager, and what the tenant allows: that the product uses the key, and that the
/// application reads under it.
const PRODUCT: &str = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: aigw, namespace: shop}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: SecretProduct\nmetadata: {name: aigw}\nspec:\n  \
    managers: [{namespace: shop, name: aigw}]\n  namespaces: {}\n  hosting: [Paid]\n  \
    quota: {paid: {perNamespace: 10, total: 10}}\n  paid: {gateway: aigw}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: EncryptionKey\nmetadata: {name: payments, namespace: shop}\nspec: {}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: keys, namespace: shop}\nspec:\n  \
    secrets: [\"aigw!*\"]\n  statements:\n  \
    - {effect: Allow, principals: [{product: aigw}], actions: [\"keys:*\"]}\n  \
    - {effect: Allow, principals: [{serviceAccount: app}], actions: [\"keys:Decrypt\"]}\n";

/// What those who flood have to say, and the other way round.
#[derive(Default)]
struct Flood {
    refused: AtomicUsize,
    stop: AtomicBool,
}

impl Flood {
    fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits until more is refused.
    fn goes_on(&self) {
        let before = self.refused();
        eventually("more to be refused", || (self.refused() > before).then_some(()));
    }

    /// Reads as fast as it is answered, until somebody says stop.
    async fn read(self: Arc<Self>, server: Server, from: Ipv4Addr) {
        let refusals = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        let mut connection = None;
        for _ in 0..MAX_REQUESTS {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let mut sender = match connection.take() {
                Some(sender) => sender,
                None => match server.connect_from(from).await {
                    Ok(sender) => sender,
                    Err(_) => continue,
                },
            };
            if let Some(answer) = server.ask(&mut sender, Method::GET, PATH, None).await {
                if refusals.contains(&answer.status) {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                connection = Some(sender);
            }
        }
    }
}

/// Two gateways of one process.
struct Gateways {
    strongroom: Strongroom,
    shared: Server,
    dedicated: Server,
}

impl Gateways {
    /// With these arguments for the shared one, and these settings of the other.
    fn start(f: &Fixture, token: &str, shared: &[&str], dedicated: &str) -> Self {
        let ports = [free_port(), free_port()];
        let listen = format!("--gateway-listen=127.0.0.1:{}", ports[0]);
        let gateway = format!("--gateway=aigw=127.0.0.1:{},products=aigw{dedicated}", ports[1]);
        let arguments = [&[listen.as_str(), gateway.as_str()], shared].concat();
        let strongroom = Strongroom::start_with(&f.cluster, &f.data(), &arguments).unwrap();
        let authority = f.authority();
        let [shared, dedicated] = ports.map(|port| Server::new(port, &authority, token));
        Self {
            strongroom,
            shared,
            dedicated,
        }
    }
}

/// The sum of a metric over all series that have these labels.
fn sum(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    let series = metrics
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")));
    let those = series.filter(|line| labels.iter().all(|label| line.contains(label)));
    those
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum()
}

/// Every read is answered with the value.
fn measure(runtime: &Runtime, server: &Server) {
    for _ in 0..CONNECTIONS {
        let reading = async {
            let mut sender = server.connect().await.unwrap();
            for _ in 0..READS {
                let asked = server.ask(&mut sender, Method::GET, PATH, None);
                let answer = tokio::time::timeout(DEADLINE, asked).await.unwrap().unwrap();
                assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            }
        };
        runtime.block_on(reading);
    }
}

/// The product makes its secret, at its own gateway.
fn create_secret(f: &Fixture, runtime: &Runtime, port: u16) {
    let manager = Server::new(port, &f.authority(), &f.token("shop", "aigw"));
    let mut new = value("v");
    new["name"] = json!(SECRET);
    new["versionId"] = json!("v-1");
    new["encryptionKey"] = json!("payments");
    eventually("the product's secret to be made", || {
        let asking = async {
            let mut sender = manager.connect().await.ok()?;
            manager.ask_at(&mut sender, Method::POST, "", Some(&new)).await
        };
        let answer = runtime.block_on(async { tokio::time::timeout(DEADLINE, asking).await });
        (answer.unwrap()?.status == StatusCode::CREATED).then_some(())
    });
}

/// Floods one gateway and measures the other. `names` are theirs, in this order.
fn flood_one(f: &Fixture, gateways: &Gateways, flooded: &Server, measured: &Server, names: [&str; 2]) {
    let runtime = runtime();
    eventually("the policies to be loaded", || {
        let answer = load::ask(&runtime, measured, Method::GET, PATH, None);
        (answer.status == StatusCode::OK).then_some(())
    });
    let flood = Arc::<Flood>::default();
    let target = Target::new(flooded.port, &f.authority()).unwrap();
    let stranger = [Ipv4Addr::new(127, 66, 1, 1)];
    let held = runtime.block_on(strangers(&target, Stranger::Silent, SILENT, &stranger));
    let mut flooders = JoinSet::new();
    for number in 1..=FLOODERS {
        let from = Ipv4Addr::new(127, 66, 0, number);
        flooders.spawn_on(Arc::clone(&flood).read(flooded.clone(), from), runtime.handle());
    }
    flood.goes_on();
    measure(&runtime, measured);
    // It was there all the time.
    flood.goes_on();
    flood.stop.store(true, Ordering::Relaxed);
    let ending = async {
        while let Some(ended) = flooders.join_next().await {
            ended.unwrap();
        }
    };
    runtime
        .block_on(async { tokio::time::timeout(DEADLINE, ending).await })
        .unwrap();
    drop(held);

    let metrics = metrics(&gateways.strongroom);
    let [at_flooded, at_measured] = names.map(|name| format!("listener=\"{name}\""));
    let refused = |labels: &[&str]| sum(&metrics, "strongroom_gateway_refused_total", labels);
    let (requests, rates) = ("what=\"request\"", "why=\"rate\"");
    let seen = u64::try_from(flood.refused()).unwrap();
    assert!(refused(&[&at_flooded, requests]) >= seen, "{seen}: {metrics}");
    assert!(refused(&[&at_flooded, requests, rates]) > 0, "{metrics}");
    let connections = ["what=\"connection\"", "who=\"address\"", "why=\"share\""];
    let connections = [&[at_flooded.as_str()], &connections[..]].concat();
    assert!(refused(&connections) > 0, "{metrics}");
    assert_eq!(refused(&[&at_measured]), 0, "{metrics}");
    let read = "operation=\"GetSecretValue\",code=\"OK\"";
    let answered = sum(
        &metrics,
        "strongroom_gateway_requests_total",
        &[&at_measured, read],
    );
    let asked = u64::try_from(CONNECTIONS * READS).unwrap();
    assert!(answered >= asked, "{metrics}");
}

#[test]
fn a_flood_at_one_gateway_leaves_the_other_as_it_was() {
    let f = Fixture::new();
    let mut first = f.start();
    f.apply(&external("s0"));
    let token = f.app_token();
    f.wait_ready("s0", "False", "AwaitingValue");
    f.apply(PRODUCT);
    assert!(first.stop().unwrap().success());

    // The dedicated gateway is flooded, and has little to begin with.
    let little = ",readRate=20,requests=16,connections=64";
    let mut gateways = Gateways::start(&f, &token, &[], little);
    let runtime = runtime();
    eventually("the value to be taken", || {
        let value = value("v");
        let put = load::ask(
            &runtime,
            &gateways.shared,
            Method::PUT,
            "s0/versions/v-1",
            Some(&value),
        );
        (put.status == StatusCode::CREATED).then_some(())
    });
    create_secret(&f, &runtime, gateways.dedicated.port);
    let ordinary = load::ask(&runtime, &gateways.dedicated, Method::GET, "s0/value", None);
    assert_eq!(ordinary.status, StatusCode::FORBIDDEN, "{ordinary:?}");
    assert_eq!(ordinary.body["code"], "HostingRefused");
    let (shared, dedicated) = (gateways.shared.clone(), gateways.dedicated.clone());
    flood_one(&f, &gateways, &dedicated, &shared, ["aigw", "shared"]);
    assert!(
        gateways.strongroom.stop().unwrap().success(),
        "{}",
        gateways.strongroom.log()
    );

    // The shared one is.
    let mut gateways = Gateways::start(&f, &token, &["--read-rate=20"], ",readRate=0");
    let (shared, dedicated) = (gateways.shared.clone(), gateways.dedicated.clone());
    flood_one(&f, &gateways, &shared, &dedicated, ["shared", "aigw"]);
    assert!(
        gateways.strongroom.stop().unwrap().success(),
        "{}",
        gateways.strongroom.log()
    );
}
