//! One gateway while another is flooded: p99 of reads at the one, against the same reads without the flood.
//!
//! As for [`crate::neighbours`], who floods and the control plane are pinned to one processor, the server and
//! who is measured to the other. The flood is of readers who ask again as soon as they are answered, beside
//! strangers with half a head of a request each. What is read at both are the paid secrets of a product: a
//! dedicated gateway has no others.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::json;
use strongroom_e2e::Cluster;
use strongroom_e2e::attacks::{Stranger, Target, strangers};
use tokio::task::JoinSet;

use crate::affinity::pinned;
use crate::cluster::{Bench, connect, on_cluster};
use crate::https::{RequestKind, Sender, Server, TIME, accounts, addresses, sent, tokens, trust};
use crate::neighbours::{ATTACKING, LEAD, PHASES, READERS, SECRETS, phase, serve_measured};
use crate::put::create;
use crate::row::Row;
use crate::strangers::target;
use crate::{Arguments, Outcome};

/// The dedicated gateway while the shared one is flooded, and the reverse.
pub(crate) const ROWS: [&str; 2] = [
    "product.isolation.p99_ratio",
    "product.isolation.shared.p99_ratio",
];

/// Strangers at the flooded gateway, and addresses that they come from.
const STRANGERS: usize = 1_024;
const ADDRESSES: usize = 64;
/// The code of the product, and the name of its gateway.
const PRODUCT: &str = "aigw";
/// How long readers go on before they connect anew: so long after the flood's end they are gone as well.
const READING: Duration = Duration::from_secs(1);

/// Measures the rows that are asked for; the affinity of this thread is as before afterwards.
pub(crate) fn measure(arguments: &Arguments) -> Outcome<Vec<Row>> {
    pinned(ATTACKING, || {
        on_cluster(&arguments.dir, async |cluster, data| {
            rows(cluster, data, arguments).await
        })
    })
}

/// A gateway of the process: who reads there, and what strangers connect to.
struct Gateway {
    server: Arc<Server>,
    target: Target,
}

impl Gateway {
    async fn new(bench: &Bench, port: u16) -> Outcome<Self> {
        let target = target(bench, port).await?;
        let server = Server {
            port,
            config: Arc::new(trust(bench).await?),
            tokens: tokens(bench, "reader", READERS, "strongroom.dev").await?,
            secrets: SECRETS,
            path: |secret| format!("/v1/namespaces/bench/secrets/{PRODUCT}!secret-{secret}/value"),
            connections: AtomicUsize::default(),
        };
        Ok(Self {
            server: Arc::new(server),
            target,
        })
    }

    /// Floods it until the set is dropped.
    fn flood(&self) -> JoinSet<()> {
        let mut flood: JoinSet<()> = JoinSet::new();
        let server = Arc::clone(&self.server);
        flood.spawn(async move {
            loop {
                // Who is refused comes again.
                let _ = server.closed(RequestKind::Secret, READING).await;
            }
        });
        let target = self.target.clone();
        flood.spawn(async move {
            let from = addresses(ADDRESSES);
            loop {
                let mut held = strangers(&target, Stranger::HalfHead, STRANGERS, &from).await;
                tokio::time::sleep(LEAD).await;
                held.shutdown().await;
            }
        });
        flood
    }
}

/// The product, and what its tenant allows: that the product uses the key, and that everybody who is called a
/// reader reads under it.
async fn declare(bench: &Bench) -> Outcome<()> {
    accounts(bench, "manager", 1).await?;
    let kind = GroupVersionKind::gvk("strongroom.dev", "v1alpha1", "SecretProduct");
    let resource = ApiResource::from_gvk_with_plural(&kind, "secretproducts");
    let spec = json!({
        "managers": [{"namespace": "bench", "name": "manager-0"}],
        "namespaces": {},
        "hosting": ["Paid"],
        "quota": {"paid": {"perNamespace": SECRETS, "total": SECRETS}},
        "paid": {"gateway": PRODUCT},
    });
    let product = DynamicObject::new(PRODUCT, &resource).data(json!({"spec": spec}));
    let products: Api<DynamicObject> = Api::all_with(bench.client.clone(), &resource);
    products.create(&PostParams::default(), &product).await?;
    create(bench, "EncryptionKey", "encryptionkeys", "payments", json!({})).await?;
    let statements = json!([
        {"effect": "Allow", "principals": [{"product": PRODUCT}], "actions": ["keys:*"]},
        {"effect": "Allow", "principals": [{"serviceAccount": "reader-*"}],
            "actions": ["secrets:GetSecretValue", "keys:Decrypt"]},
    ]);
    let policy = json!({"secrets": [format!("{PRODUCT}!*")], "statements": statements});
    create(bench, "SecretPolicy", "secretpolicies", PRODUCT, policy).await?;
    // Where there is an object, the namespace is told whom to trust.
    let first = json!({"source": {"external": {}}});
    create(bench, "ManagedSecret", "managedsecrets", "first", first).await?;
    Ok(())
}

/// Makes the product's secrets, as its manager does.
async fn make_secrets(bench: &Bench, server: &Server) -> Outcome<()> {
    let mut tokens = tokens(bench, "manager", 1, "strongroom.dev").await?;
    let token = tokens.pop().ok_or("no token")?;
    let mut sender = server.connect().await?;
    let start = Instant::now();
    for number in 0..SECRETS {
        // Product, key and policy are known in a moment.
        while let Err(error) = make_secret(&mut sender, &token, number).await {
            if start.elapsed() > 2 * TIME {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

async fn make_secret(sender: &mut Sender, token: &str, number: usize) -> Outcome<()> {
    let new = json!({
        "name": format!("{PRODUCT}!secret-{number}"),
        "versionId": "v-1",
        "encryptionKey": "payments",
        "data": {"password": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg="},
    });
    let request = Request::post("/v1/namespaces/bench/secrets")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(serde_json::to_vec(&new)?)))?;
    let (status, body) = sent(sender, request).await?;
    if status != StatusCode::CREATED {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(())
}

async fn rows(cluster: &Cluster, data: &Path, arguments: &Arguments) -> Outcome<Vec<Row>> {
    let client = connect(cluster).await?;
    let bench = Bench { client };
    bench.prepare(cluster).await?;
    let port = strongroom_e2e::free_port()?;
    let gateway = format!("--gateway={PRODUCT}=127.0.0.1:{port},readRate=0,writeRate=0,products={PRODUCT}");
    let (mut process, shared) = serve_measured(cluster, data, &["--read-rate=0", &gateway])?;
    declare(&bench).await?;
    accounts(&bench, "reader", READERS).await?;
    let shared = Gateway::new(&bench, shared).await?;
    let dedicated = Gateway::new(&bench, port).await?;
    make_secrets(&bench, &dedicated.server).await?;
    bench.settled().await?;
    let mut rows = Vec::new();
    let pairs = [(&dedicated, &shared), (&shared, &dedicated)];
    for (row, (measured, flooded)) in ROWS.into_iter().zip(pairs) {
        if !arguments.wants(&[row]) {
            continue;
        }
        let mut ratios = Vec::new();
        for _ in 0..PHASES {
            let alone = phase(&measured.server).await?;
            let mut flood = flooded.flood();
            tokio::time::sleep(LEAD).await;
            let beside = phase(&measured.server).await?;
            // What it held goes with it.
            flood.shutdown().await;
            tokio::time::sleep(LEAD).await;
            ratios.push(beside / alone);
        }
        if process.ended().is_some() {
            return Err(format!("the process ended: {row}").into());
        }
        rows.push(Row::from_samples(row, "×", &ratios));
    }
    process.stop()?;
    Ok(rows)
}
