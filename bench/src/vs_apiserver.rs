//! The same reads of the API server itself: `GET` of a native Secret with as many bytes, by the same accounts
//! and the same client, over TLS, with RBAC and an audit log of metadata in a file.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use strongroom_e2e::{Cluster, Program};

use crate::Outcome;
use crate::cluster::{Bench, busy, resident};
use crate::https::{RequestKind, Server, TIME, rate, tokens};
use crate::read::PRINCIPALS;
use crate::row::{Row, quantile};

/// What the baseline is called.
const NAME: &str = "the API server's GET of a Secret, with etcd";

/// The names by which `ROWS` selects them.
pub(crate) const ROWS: [&str; 5] = [
    "read.vs_apiserver",
    "read.vs_apiserver.p50_ms",
    "read.vs_apiserver.p99_ms",
    "read.vs_apiserver.cpu_s_1k",
    "read.vs_apiserver.rss_mb",
];

/// What a server did in the time of a row.
pub(crate) struct ServerMeasurement {
    /// Of each read, in milliseconds, sorted.
    pub(crate) latencies: Vec<f64>,
    /// Seconds of processor time a thousand reads.
    cpu: f64,
    /// Megabytes that its processes have resident.
    memory: f64,
}

/// As fast as it answers, with what that costs its processes.
pub(crate) async fn measure_server(server: &Arc<Server>, pids: &[u32]) -> Outcome<ServerMeasurement> {
    let busy = || pids.iter().map(|pid| busy(*pid)).sum::<Outcome<f64>>();
    let before = busy()?;
    let latencies = server.closed(RequestKind::Secret, TIME).await?;
    let thousands = rate(&latencies, TIME) * TIME.as_secs_f64() / 1000.0;
    Ok(ServerMeasurement {
        cpu: (busy()? - before) / thousands,
        memory: pids.iter().map(|pid| resident(*pid)).sum::<Outcome<f64>>()?,
        latencies,
    })
}

/// Ours against the API server's.
pub(crate) async fn rows(
    cluster: &Cluster,
    bench: &Bench,
    ours: &ServerMeasurement,
    secrets: usize,
) -> Outcome<Vec<Row>> {
    native(bench, secrets).await?;
    for arguments in [
        ["role", "native-readers", "--verb=get", "--resource=secrets"],
        [
            "rolebinding",
            "native-readers",
            "--role=native-readers",
            "--group=system:serviceaccounts:bench",
        ],
    ] {
        let made = cluster.kubectl(&[&["-n", "bench", "create"], &arguments[..]].concat())?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into_owned().into());
        }
    }
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let mut roots = RootCertStore::empty();
    for certificate in config.root_cert.unwrap_or_default() {
        roots.add(CertificateDer::from(certificate))?;
    }
    let server = Arc::new(Server {
        port: config.cluster_url.port_u16().ok_or("no port")?,
        config: Arc::new(
            ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth(),
        ),
        tokens: tokens(bench, "reader", PRINCIPALS, "https://kubernetes.default.svc").await?,
        secrets,
        path: |secret| format!("/api/v1/namespaces/bench/secrets/secret-{secret}"),
        connections: std::sync::atomic::AtomicUsize::default(),
    });
    let pids = [Program::ApiServer, Program::Etcd].map(|program| {
        cluster
            .pid(program)
            .ok_or("a program of the cluster is not there")
    });
    let [api_server, etcd] = pids;
    let pids = [api_server?, etcd?];
    // Once round, as for ours.
    server.closed(RequestKind::Secret, TIME).await?;
    let theirs = measure_server(&server, &pids).await?;
    let row = |name, unit, figure: fn(&ServerMeasurement) -> f64| {
        Row::from_samples(name, unit, &[figure(ours)]).against(NAME, &[figure(&theirs)])
    };
    Ok(vec![
        row("read.vs_apiserver", "/s", |measured| {
            rate(&measured.latencies, TIME)
        }),
        row("read.vs_apiserver.p50_ms", "ms", |measured| {
            quantile(&measured.latencies, 0.5)
        }),
        row("read.vs_apiserver.p99_ms", "ms", |measured| {
            quantile(&measured.latencies, 0.99)
        }),
        row("read.vs_apiserver.cpu_s_1k", "s", |measured| measured.cpu),
        row("read.vs_apiserver.rss_mb", "MB", |measured| measured.memory),
    ])
}

/// As many native Secrets, with as many bytes.
async fn native(bench: &Bench, secrets: usize) -> Outcome<()> {
    let api: Api<Secret> = Api::namespaced(bench.client.clone(), "bench");
    let made = stream::iter(0..secrets).map(|number| {
        let api = api.clone();
        async move {
            let mut secret = Secret::default();
            secret.metadata.name = Some(format!("secret-{number}"));
            let value = ByteString(vec![b'x'; 32]);
            secret.data = Some([("password".to_owned(), value)].into());
            api.create(&PostParams::default(), &secret).await
        }
    });
    made.buffer_unordered(32).try_collect::<Vec<_>>().await?;
    Ok(())
}
