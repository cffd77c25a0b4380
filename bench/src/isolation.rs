//! One gateway while another is flooded: p99 of reads at the one, against the same reads without the flood.
//!
//! As for [`crate::neighbours`], who floods and the control plane are pinned to one processor, the server and
//! who is measured to the other. The flood is of readers who ask again as soon as they are answered, beside
//! strangers with half a head of a request each.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use rustix::thread::{sched_getaffinity, sched_setaffinity};
use strongroom_e2e::Cluster;
use strongroom_e2e::attacks::{Stranger, Target, strangers};
use tokio::task::JoinSet;

use crate::affinity::{pin, pin_process};
use crate::cluster::{Bench, connect, on_cluster};
use crate::https::{RequestKind, Server, accounts, addresses, tokens, trust};
use crate::neighbours::{ATTACKING, LEAD, MEASURED, PHASES, READERS, SECRETS, phase};
use crate::read::serve;
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
/// How long readers go on before they connect anew: so long after the flood's end they are gone as well.
const READING: Duration = Duration::from_secs(1);

/// Measures the rows that are asked for; the affinity of this thread is as before afterwards.
pub(crate) fn measure(arguments: &Arguments) -> Outcome<Vec<Row>> {
    // What is started from here on inherits it.
    let anywhere = sched_getaffinity(None)?;
    pin(None, ATTACKING)?;
    let rows = on_cluster(&arguments.dir, async |cluster, data| {
        rows(cluster, data, arguments).await
    });
    sched_setaffinity(None, &anywhere)?;
    rows
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
            path: |secret| format!("/v1/namespaces/bench/secrets/secret-{secret}/value"),
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

async fn rows(cluster: &Cluster, data: &Path, arguments: &Arguments) -> Outcome<Vec<Row>> {
    let client = connect(cluster).await?;
    let bench = Bench { client };
    bench.prepare(cluster).await?;
    let port = strongroom_e2e::free_port()?;
    let gateway = format!("--gateway=aigw=127.0.0.1:{port},readRate=0,products=aigw");
    let (mut process, shared) = serve(cluster, data, &["--read-rate=0", &gateway])?;
    pin_process(process.pid(), MEASURED)?;
    bench.apply("bench", SECRETS, false).await?;
    bench.all_ready(SECRETS).await?;
    accounts(&bench, "reader", READERS).await?;
    let shared = Gateway::new(&bench, shared).await?;
    let dedicated = Gateway::new(&bench, port).await?;
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
