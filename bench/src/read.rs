//! Rows of the API: GetSecretValue over HTTPS, each read authenticated, decided and audited, against the same
//! server's health; and the memory that this takes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::thread::sched_getaffinity;
use strongroom_e2e::{Cluster, Program, Strongroom};

use crate::cluster::{Bench, busy, connect, on_cluster};
use crate::https::{Pacing, RequestKind, Server, TIME, accounts, rate, tokens, trust};
use crate::row::{Row, quantile};
use crate::{Arguments, Outcome, affinity, cold, memory, vs_apiserver};

/// ServiceAccounts that read.
pub(crate) const PRINCIPALS: usize = 1_000;

/// All rows: they share the secrets and the tokens.
pub(crate) fn measure(arguments: &Arguments) -> Outcome<Vec<Row>> {
    on_cluster(&arguments.dir, async |cluster, data| {
        rows(arguments, cluster, data).await
    })
}

async fn rows(arguments: &Arguments, cluster: &Cluster, data: &Path) -> Outcome<Vec<Row>> {
    let objects = arguments.objects;
    let client = connect(cluster).await?;
    let bench = Bench { client };
    bench.prepare(cluster).await?;
    let (mut process, port) = serve(cluster, data, &["--read-rate=0"])?;
    let nothing = memory::at_rest(process.pid()).await?;
    bench.apply("bench", objects, false).await?;
    bench.all_ready(objects).await?;
    accounts(&bench, "reader", PRINCIPALS).await?;
    let mut rows = Vec::new();
    // The Events of a start follow at their own pace, and take the API server's time and ours.
    bench.events_delivered().await?;
    if arguments.wants(&["memory.rest_mb"]) {
        let rest = memory::at_rest(process.pid()).await?;
        rows.push(
            Row::from_samples("memory.rest_mb", "MB", &rest)
                .against("the same process before there was a secret", &nothing),
        );
    }
    let server = Arc::new(Server {
        port,
        config: Arc::new(trust(&bench).await?),
        tokens: tokens(&bench, "reader", PRINCIPALS, "strongroom.dev").await?,
        secrets: objects,
        path: |secret| format!("/v1/namespaces/bench/secrets/secret-{secret}/value"),
        connections: std::sync::atomic::AtomicUsize::default(),
    });
    // Who reads for the first time is counted in the secret's status: thousands of writes, once.
    server.closed(RequestKind::Secret, TIME).await?;
    bench.settled().await?;
    let mut measured = None;
    let compares = arguments.wants(&vs_apiserver::ROWS);
    if arguments.wants(&["read.saturation", "read.cpu_us"]) {
        rows.extend(saturation(&server, process.pid()).await?);
    }
    if compares || arguments.wants(&["memory.load_mb"]) {
        // Once round: every token is known then, as in a cluster that has been up for longer than ten
        // seconds.
        server.closed(RequestKind::Secret, TIME).await?;
        let pid = process.pid();
        let (ours, load) = memory::during(pid, vs_apiserver::measure_server(&server, &[pid])).await?;
        let load = Row::from_samples("memory.load_mb", "MB", &load);
        rows.push(load.against("the same process before there was a secret", &nothing));
        measured = Some(ours);
    }
    for (rate, names) in OPEN {
        if arguments.wants(&names.map(|(name, _)| name)) {
            rows.extend(open(&server, rate, &names, Pacing::Yield).await?.0);
        }
    }
    if arguments.wants(&["read.cold_connection_ms"]) {
        rows.push(cold::connection(&server).await?);
    }
    if arguments.wants(&["read.cold_token_ms"]) {
        rows.push(cold::token(&server, &bench).await?);
    }
    if arguments.wants(&["read.cold_policy_ms"]) {
        rows.push(cold::policy(&server, &bench).await?);
    }
    if arguments.wants(&["policy.change.p50_ms", "policy.change.p99_ms"]) {
        rows.extend(cold::policy_changes(&server, &bench).await?);
    }
    // Last: it fills the API server with as many Secrets.
    if let Some(ours) = measured.filter(|_| compares) {
        rows.extend(vs_apiserver::rows(cluster, &bench, &ours, objects).await?);
    }
    process.stop()?;
    if arguments.wants(&OWN_PROCESSOR.map(|(name, _)| name)) {
        rows.extend(on_its_own_processor((cluster, data, &bench), &server).await?);
    }
    Ok(rows)
}

/// How often health and reads are measured in turn, so that what else the machine does meets both alike,
const ROUNDS: usize = 5;
/// and how long each: as long as an answer about a token counts. Reads come after as long a lead.
const ROUND: Duration = Duration::from_secs(10);

/// As many reads as are answered, and what each costs the process of processor time, user and system, against
/// the health.
async fn saturation(server: &Arc<Server>, pid: u32) -> Outcome<Vec<Row>> {
    let (mut reads, mut health) = (Round::default(), Round::default());
    for _ in 0..ROUNDS {
        health.add(server, RequestKind::Health, pid).await?;
        server.closed(RequestKind::Secret, ROUND).await?;
        reads.add(server, RequestKind::Secret, pid).await?;
    }
    Ok(vec![
        Row::from_samples("read.saturation", "/s", &reads.rates)
            .against("the same server's health over TLS", &health.rates),
        Row::from_samples("read.cpu_us", "µs", &reads.processor)
            .against("the same server's health over TLS", &health.processor),
    ])
}

/// Of each round: answers a second, and microseconds of the process's processor time an answer.
#[derive(Default)]
struct Round {
    rates: Vec<f64>,
    processor: Vec<f64>,
}

impl Round {
    async fn add(&mut self, server: &Arc<Server>, kind: RequestKind, pid: u32) -> Outcome<()> {
        let before = busy(pid)?;
        let rate = rate(&server.closed(kind, ROUND).await?, ROUND);
        self.processor
            .push((busy(pid)? - before) * 1e6 / (rate * ROUND.as_secs_f64()));
        self.rates.push(rate);
        Ok(())
    }
}

/// A process whose API is at a port that is known.
pub(crate) fn serve(cluster: &Cluster, data: &Path, arguments: &[&str]) -> Outcome<(Strongroom, u16)> {
    let port = strongroom_e2e::free_port()?;
    let listen = format!("--gateway-listen=127.0.0.1:{port}");
    let arguments = [&[listen.as_str()], arguments].concat();
    Ok((Strongroom::start_with(cluster, data, &arguments)?, port))
}

/// Requests a second, and which part of their latencies a row names.
const OPEN: [(u32, [(&str, f64); 3]); 2] = [
    (
        1_000,
        [
            ("read.1k.p50_ms", 0.5),
            ("read.1k.p99_ms", 0.99),
            ("read.1k.p999_ms", 0.999),
        ],
    ),
    (
        10_000,
        [
            ("read.10k.p50_ms", 0.5),
            ("read.10k.p99_ms", 0.99),
            ("read.10k.p999_ms", 0.999),
        ],
    ),
];

/// The same with a process that has a processor of its own from its start; the client and the control plane
/// have another, and there the client runs first. The last row is the client's own part.
const OWN_PROCESSOR: [(&str, f64); 4] = [
    ("read.10k.own_processor.p50_ms", 0.5),
    ("read.10k.own_processor.p99_ms", 0.99),
    ("read.10k.own_processor.p999_ms", 0.999),
    ("read.10k.own_processor.client_p99_ms", 0.99),
];
/// Processors: of the process,
const OWN: usize = 0;
/// and of everybody else.
const OTHERS: usize = 1;

async fn on_its_own_processor(
    (cluster, data, bench): (&Cluster, &Path, &Bench),
    before: &Arc<Server>,
) -> Outcome<Vec<Row>> {
    let anywhere = sched_getaffinity(None)?;
    let (mut process, port) = affinity::pinned(OWN, || serve(cluster, data, &["--read-rate=0"]))?;
    let server = Arc::new(before.at(port));
    serves(&server).await?;
    // Every token and secret is asked for once.
    server.closed(RequestKind::Secret, TIME).await?;
    bench.settled().await?;
    let mut others: Vec<u32> = [Program::ApiServer, Program::Etcd]
        .into_iter()
        .filter_map(|program| cluster.pid(program))
        .collect();
    others.push(std::process::id());
    for pid in &others {
        affinity::pin_process(*pid, OTHERS)?;
    }
    let [of_reads @ .., (of_client, part)] = OWN_PROCESSOR;
    let measured = open(&server, 10_000, &of_reads, Pacing::Sleep).await;
    for pid in &others {
        affinity::allow(*pid, &anywhere)?;
    }
    process.stop()?;
    let (mut rows, lateness) = measured?;
    rows.push(Row {
        value: quantile(&lateness, part),
        ..Row::from_samples(of_client, "ms", &lateness)
    });
    Ok(rows)
}

/// Waits until a process that was just started answers with a secret.
async fn serves(server: &Server) -> Outcome<()> {
    let start = Instant::now();
    loop {
        let answered = async {
            server
                .ask(&mut server.connect().await?, RequestKind::Secret)
                .await
        };
        match answered.await {
            Err(error) if start.elapsed() > 2 * TIME => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Ok(()) => return Ok(()),
        }
    }
}

/// The rows, and by how much the client was late with what it asked for, sorted milliseconds.
async fn open(
    server: &Arc<Server>,
    rate: u32,
    names: &[(&'static str, f64)],
    pacing: Pacing,
) -> Outcome<(Vec<Row>, Vec<f64>)> {
    let reads = server.open(rate, RequestKind::Secret, pacing).await?;
    let health = server.open(rate, RequestKind::Health, pacing).await?.latencies;
    let row = |(name, part): &(&'static str, f64)| {
        Row {
            value: quantile(&reads.latencies, *part),
            ..Row::from_samples(name, "ms", &reads.latencies)
        }
        .against(
            "the same server's health at the same rate",
            &[quantile(&health, *part)],
        )
    };
    Ok((names.iter().map(row).collect(), reads.lateness))
}
