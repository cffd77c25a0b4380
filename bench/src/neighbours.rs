//! One tenant's attacks beside another's reads: p99 of the reads under each attack, against the same reads
//! without it.
//!
//! Attacker and control plane are pinned to one processor, server and reader to the other, so that a row
//! shows what the two share inside the server. The control row has no attack: a thread that only computes
//! shares the processor of server and reader. It shows what the operating system's turns alone cost a
//! reader there. Who is measured runs before all others, as if on a machine of its own: where client and
//! server wait for each other's turns, a ratio says more about the operating system than about the server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use strongroom_e2e::attacks::{Attack, Attacker};
use strongroom_e2e::{Cluster, Strongroom};

use crate::affinity::{pin, pinned, run_first};
use crate::cluster::{Bench, connect, on_cluster};
use crate::https::{RequestKind, Server, accounts, tokens, trust};
use crate::read::serve;
use crate::row::{Row, quantile, sorted};
use crate::strangers::target;
use crate::{Arguments, Outcome};

/// Reads of a phase,
const READS: u32 = 1_000;
/// one every
const PACE: Duration = Duration::from_millis(4);
/// Phases without the attack, and as many with it, in turn.
pub(crate) const PHASES: usize = 5;
/// How long an attack goes on before anything is measured, and how long its end is waited for.
pub(crate) const LEAD: Duration = Duration::from_secs(2);
/// Secrets of the reader's namespace, and accounts that read them: few, so that hardly a read waits for a
/// TokenReview.
pub(crate) const SECRETS: usize = 100;
pub(crate) const READERS: usize = 4;

/// Processors: of the server and of who is measured,
pub(crate) const MEASURED: usize = 0;
/// and of everybody else.
pub(crate) const ATTACKING: usize = 1;

/// Large objects of the attacker.
const LARGE_OBJECTS: usize = 40;
/// A secret that they may not read.
const VICTIM: &str = "/v1/namespaces/bench/secrets/secret-0/value";
/// The rows, one for each attack, in their order, and the control.
pub(crate) const ROWS: [&str; 16] = [
    "tenant.neighbour.silent.p99_ratio",
    "tenant.neighbour.half_head.p99_ratio",
    "tenant.neighbour.half_hello.p99_ratio",
    "tenant.neighbour.unread.p99_ratio",
    "tenant.neighbour.junk_tokens.p99_ratio",
    "tenant.neighbour.refused_reads.p99_ratio",
    "tenant.neighbour.long_names.p99_ratio",
    "tenant.neighbour.bodies.p99_ratio",
    "tenant.neighbour.unread_values.p99_ratio",
    "tenant.neighbour.watches.p99_ratio",
    "tenant.neighbour.policies.p99_ratio",
    "tenant.neighbour.keys.p99_ratio",
    "tenant.neighbour.large_objects.p99_ratio",
    "tenant.neighbour.create_and_delete.p99_ratio",
    "tenant.neighbour.many_deletions.p99_ratio",
    CONTROL,
];

/// The control: a thread of another process computes where server and reader run.
const CONTROL: &str = "tenant.neighbour.control.p99_ratio";

/// A thread that computes on the measured processor until it is dropped.
struct BusyThread(Arc<AtomicBool>);

impl BusyThread {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        std::thread::spawn(move || {
            // Not pinned, it shows nothing; the row would say so by a ratio of one.
            let _ = pin(None, MEASURED);
            while !told.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        Self(stop)
    }
}

impl Drop for BusyThread {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Measures the rows that are asked for; the affinity of this thread is as before afterwards.
pub(crate) fn measure(arguments: &Arguments) -> Outcome<Vec<Row>> {
    pinned(ATTACKING, || {
        on_cluster(&arguments.dir, async |cluster, data| {
            rows(cluster, data, arguments).await
        })
    })
}

async fn rows(cluster: &Cluster, data: &Path, arguments: &Arguments) -> Outcome<Vec<Row>> {
    let bench = Bench {
        client: connect(cluster).await?,
    };
    bench.prepare(cluster).await?;
    let (mut process, port) = serve_measured(cluster, data, &["--node-account=node"])?;
    bench.apply("bench", SECRETS, false).await?;
    bench.all_ready(SECRETS).await?;
    accounts(&bench, "reader", READERS).await?;
    let server = Arc::new(Server {
        port,
        config: Arc::new(trust(&bench).await?),
        tokens: tokens(&bench, "reader", READERS, "strongroom.dev").await?,
        secrets: SECRETS,
        path: |secret| format!("/v1/namespaces/bench/secrets/secret-{secret}/value"),
        connections: AtomicUsize::default(),
    });
    let attacker =
        Arc::new(Attacker::prepare(bench.client.clone(), target(&bench, port).await?, VICTIM).await?);
    let mut rows = Vec::new();
    if arguments.wants(&[CONTROL]) {
        let mut ratios = Vec::new();
        for _ in 0..PHASES {
            let alone = phase(&server).await?;
            let busy = BusyThread::start();
            let beside = phase(&server).await?;
            drop(busy);
            ratios.push(beside / alone);
        }
        rows.push(Row::from_samples(CONTROL, "×", &ratios));
    }
    for (row, attack) in ROWS.into_iter().zip(Attack::all(LARGE_OBJECTS)) {
        if !arguments.wants(&[row]) {
            continue;
        }
        let mut ratios = Vec::new();
        for _ in 0..PHASES {
            let alone = phase(&server).await?;
            let attacking = tokio::spawn(Arc::clone(&attacker).attack(attack));
            tokio::time::sleep(LEAD).await;
            let attacked = phase(&server).await?;
            attacking.abort();
            // What it held goes with it.
            let _ = attacking.await;
            attacker.clean_up().await?;
            tokio::time::sleep(LEAD).await;
            ratios.push(attacked / alone);
        }
        if process.ended().is_some() {
            return Err(format!("the process ended: {row}").into());
        }
        rows.push(Row::from_samples(row, "×", &ratios));
    }
    process.stop()?;
    Ok(rows)
}

/// A process on the processor of who is measured: from its start, so that it has as many threads as that is
/// for.
pub(crate) fn serve_measured(
    cluster: &Cluster,
    data: &Path,
    arguments: &[&str],
) -> Outcome<(Strongroom, u16)> {
    pin(None, MEASURED)?;
    let started = serve(cluster, data, arguments);
    pin(None, ATTACKING)?;
    started
}

/// The p99 of reads of one phase, in milliseconds, each from the moment at which it was due.
pub(crate) async fn phase(server: &Arc<Server>) -> Outcome<f64> {
    let server = Arc::clone(server);
    let client = move || {
        pin(None, MEASURED)?;
        run_first()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut sender = runtime.block_on(server.connect())?;
        // The first one asks about the tokens, if need be.
        for principal in 0..READERS {
            runtime.block_on(server.read(&mut sender, principal, 0))?;
        }
        let begin = Instant::now();
        let mut latencies = Vec::new();
        for number in 0..READS {
            let due = begin + PACE * number;
            // The connection has nothing to do meanwhile; the runtime's own timers are a millisecond coarse.
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            runtime.block_on(server.ask(&mut sender, RequestKind::Secret))?;
            latencies.push(due.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(quantile(&sorted(&latencies), 0.99))
    };
    // A thread of its own, that goes: where it may run is not given to whoever comes next.
    tokio::task::spawn_blocking(|| std::thread::spawn(client).join())
        .await?
        .map_err(|_| "who is measured panicked")?
}
