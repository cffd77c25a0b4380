//! A sink that nobody answers for holds the log back to its bound, and no further; once it is back, reads go
//! on.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::{Json, Router};
use strongroom_model::id::SecretId;
use strongroom_process::MetricRegistry;
use strongroom_store::audit::{self, RetentionLimits, WhenFull};
use strongroom_store::vault::{GetValue, RecordCheckpoint};
use strongroom_testing::store::{Fixture, NOW, meta};
use strongroom_testing::wait::{until, within};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::audit::{AuditExporter, AuditMetrics};

const MIB: u64 = 1 << 20;

/// A store whose log is kept while its records are delivered.
struct Scene {
    fixture: Fixture,
    secret: SecretId,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    registry: MetricRegistry,
}

impl Scene {
    fn new(audit: RetentionLimits, destination: &str) -> Self {
        let fixture = Fixture::with_audit_limits(audit);
        let secret = fixture.secret("db");
        let mut registry = MetricRegistry::default();
        let metrics = AuditMetrics::register(&mut registry);
        let (stop, stopped) = watch::channel(false);
        let destination: Destination = destination.parse().unwrap();
        let retention = AuditRetention {
            store: fixture.store.clone(),
            destinations: vec![destination.clone()],
            now: || NOW,
            metrics: metrics.log(),
            held: HeldHours::default(),
        };
        let exporter = AuditExporter {
            store: fixture.store.clone(),
            destination,
            now: || NOW,
            metrics: metrics.sink("test"),
        };
        let tasks = vec![
            tokio::spawn(retention.run(stopped.clone())),
            tokio::spawn(exporter.run(stopped)),
        ];
        Self {
            fixture,
            secret,
            stop,
            tasks,
            registry,
        }
    }

    fn read(&self) -> Result<(), StoreError> {
        let get = GetValue {
            detail: "d".repeat(256),
            ..GetValue::current(self.secret)
        };
        self.fixture.store.value(&get, &meta()).map(drop)
    }

    /// As the process does each second.
    fn checkpoint(&self) {
        self.fixture.store.run(RecordCheckpoint, meta()).unwrap();
    }

    /// What Prometheus reads.
    fn number(&self, name: &str) -> u64 {
        let text = self.registry.text().unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Ends all, and looks at what is left.
    async fn verified(self) -> audit::VerifyReport {
        self.stop.send_replace(true);
        for task in self.tasks {
            within(task).await.unwrap();
        }
        let key = self.fixture.store.audit_public_key();
        let (dir, _keep) = self.fixture.close();
        let report = audit::verify(&dir, &key).unwrap();
        assert!(report.is_sound(), "{report}");
        report
    }
}

/// An address of this host that nobody listens at.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Takes whatever comes.
async fn take_lines(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 1 << 16];
        while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    }
}

async fn take_posts(listener: TcpListener) {
    // It takes the whole body: a server that answers before that, and hangs up, is a sink that failed.
    let app = Router::new()
        .fallback(|_: Bytes| async { Json(serde_json::json!({})) })
        .layer(DefaultBodyLimit::disable());
    axum::serve(listener, app).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sink_blocks_nobody_until_the_bound_and_reads_go_on_once_it_is_back() {
    for scheme in ["syslog+tcp", "otlp+http"] {
        let address = nobody().await;
        let limits = RetentionLimits::new(None, Some(MIB), Some(2 * MIB), WhenFull::Stop).unwrap();
        let scene = Scene::new(limits, &format!("{scheme}://{address}"));
        let mut read = 0;
        let refused = loop {
            match scene.read() {
                Ok(()) => read += 1,
                Err(error) => break error,
            }
            if read % 500 == 0 {
                scene.checkpoint();
                tokio::task::yield_now().await;
            }
            assert!(read < 20_000, "the bound was never reached");
        };
        assert_eq!(refused.code(), "AuditUnavailable");
        assert!(read > 3_000, "{read} reads");
        until("the retention task to say so", || scene.number("audit_full") == 1).await;
        let said = scene.read().unwrap_err().to_string();
        for part in ["its bound of 2Mi", scheme, &address.to_string(), "--audit-bound"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(scene.number("audit_bound_bytes"), 2 * MIB);
        assert_eq!(
            scene.number("audit_read_bytes_cut_total"),
            0,
            "what was not taken went"
        );
        // Changes go on.
        scene.checkpoint();
        until("an attempt to deliver", || {
            let text = scene.registry.text().unwrap();
            text.contains("audit_sink_failures_total{sink=\"test\"}")
        })
        .await;

        let listener = TcpListener::bind(address).await.unwrap();
        let server = match scheme {
            "syslog+tcp" => tokio::spawn(take_lines(listener)),
            _ => tokio::spawn(take_posts(listener)),
        };
        until("reads to go on", || scene.read().is_ok()).await;
        until("the retention task to say so", || scene.number("audit_full") == 0).await;
        until("the log to be within what is kept", || {
            scene.number("audit_read_bytes_cut_total") > MIB / 2
        })
        .await;
        let report = scene.verified().await;
        server.abort();
        let cut = report.truncation.unwrap().cut;
        assert!(cut.reads.sequence > 1_000, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_sink_has_makes_room_at_the_bound_where_that_is_chosen() {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("audit.json");
    let year = Duration::from_secs(365 * 86_400);
    let limits = RetentionLimits::new(Some(year), None, Some(2 * MIB), WhenFull::DropExported).unwrap();
    let scene = Scene::new(limits, &format!("file:{}", path.display()));
    let mut read = 0;
    // More than twice of what there is room for.
    while read < 10_000 {
        if scene.read().is_ok() {
            read += 1;
        } else {
            until("the sink to take what there is", || scene.read().is_ok()).await;
        }
        if read % 100 == 0 {
            scene.checkpoint();
            tokio::task::yield_now().await;
        }
    }
    until("the oldest to go", || {
        scene.number("audit_read_bytes_cut_total") > 2 * MIB
    })
    .await;
    let report = scene.verified().await;
    let cut = report.truncation.unwrap().cut;
    // What went is in the file, but for marks, which are no records of anything.
    let text = std::fs::read_to_string(&path).unwrap();
    let number = |line: &str| {
        let rest = line.strip_prefix("{\"chain\":\"reads\",\"sequence\":")?;
        rest.split(',').next()?.parse::<u64>().ok()
    };
    let told: BTreeSet<u64> = text.lines().filter_map(number).collect();
    assert!(told.range(..=cut.reads.sequence).count() > 4_000, "{report}");
    assert!(
        told.contains(&(cut.reads.sequence - 1)),
        "the last before the mark at the end: {report}"
    );
}
