//! A product's sink that is dead for longer than its bound: nobody notices but the product, and what the sink
//! lacks is in the chain.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strongroom_process::MetricRegistry;
use strongroom_store::audit::{self, Action, Actor, Durability, RetentionLimits, WhenFull};
use strongroom_store::vault::{AuditNote, RecordCheckpoint, StoreError};
use strongroom_testing::store::{Fixture, NOW, meta, meta_by};
use strongroom_testing::wait::{until, within};
use tokio::sync::watch;

use super::*;
use crate::audit::destination::Destination;
use crate::audit::page::page;
use crate::audit::product_sink::with_product_sinks;
use crate::audit::testing::{RunningExporter, objects};
use crate::audit::{AuditMetrics, AuditRetention, HeldHours};

const MIB: u64 = 1 << 20;
const OWN: &str = "aigw!payments";

/// A store, and a product's sink that is a file in a folder that may be missing.
struct Scene {
    fixture: Fixture,
    keep: tempfile::TempDir,
    destination: Destination,
    /// Minutes since [`NOW`].
    minutes: Arc<AtomicU64>,
}

impl Scene {
    fn new(limits: RetentionLimits) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().join("siem/audit.json");
        let sink = format!("siem=file:{},product=aigw,maxLag=5m", path.display());
        let mut destinations = with_product_sinks(Vec::new(), vec![sink.parse().unwrap()]).unwrap();
        Self {
            fixture: Fixture::with_audit_limits(limits),
            keep,
            destination: destinations.pop().unwrap(),
            minutes: Arc::default(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.keep.path().join("siem")
    }

    fn revive(&self) {
        std::fs::create_dir(self.folder()).unwrap();
    }

    /// What is told of it to people.
    fn backlog(&self) -> SinkBacklog {
        self.destination.backlog().get()
    }

    /// What the sink has.
    fn told(&self) -> Vec<serde_json::Value> {
        objects(&self.folder().join("audit.json"))
    }

    /// What it was told to lack.
    fn gaps(&self) -> Vec<String> {
        let told = self.told().into_iter();
        told.filter(|line| line["action"] == "TruncateAudit")
            .map(|line| line["detail"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Runs the exporter once it is known from where on it sends.
    async fn start(&self) -> RunningExporter {
        let minutes = Arc::clone(&self.minutes);
        let running = RunningExporter::start_with_clock(&self.fixture, self.destination.clone(), move || {
            later(&minutes)
        });
        let cursor = self.destination.cursor();
        until("its place to be saved", || {
            self.fixture.store.cursor(cursor).unwrap().is_some()
        })
        .await;
        running
    }

    /// Somebody reads a secret of this name, as the gateway records it.
    fn read(&self, secret: &str, durability: Durability) -> Result<(), StoreError> {
        let note = AuditNote {
            namespace: Some("shop".parse().unwrap()),
            secret: Some(secret.parse().unwrap()),
            detail: "d".repeat(256),
            ..AuditNote::new(Action::GetSecretValue)
        };
        let reader = Actor::Principal("serviceaccount shop/checkout".to_owned());
        let meta = meta_by(reader, later(&self.minutes));
        self.fixture.store.record_request(note, &meta, durability)
    }

    /// The same of several, on disk.
    fn read_all(&self, secrets: &[&str]) {
        for secret in secrets {
            self.read(secret, Durability::Durable).unwrap();
        }
    }

    /// Ends it, and looks at the chains.
    fn verify(self) {
        let meta = meta_by(Actor::System, later(&self.minutes));
        self.fixture.store.run(RecordCheckpoint, meta).unwrap();
        let key = self.fixture.store.audit_public_key();
        let (dir, _keep) = self.fixture.close();
        let report = audit::verify(&dir, &key).unwrap();
        assert!(report.is_sound(), "{report}");
    }
}

fn later(minutes: &AtomicU64) -> Timestamp {
    NOW.plus(Duration::from_secs(60 * minutes.load(Ordering::SeqCst)))
}

/// What Prometheus reads; 0 where it was not counted yet.
fn number(registry: &MetricRegistry, name: &str) -> u64 {
    let text = registry.text().unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

fn failures(running: &RunningExporter) -> u64 {
    number(&running.registry, "audit_sink_failures_total")
}

fn lost(running: &RunningExporter) -> u64 {
    number(&running.registry, "audit_sink_records_lost_total")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gets_the_records_of_its_product_alone_from_its_first_start_on() {
    let scene = Scene::new(RetentionLimits::default());
    scene.revive();
    scene.read_all(&[OWN, OWN]);
    let running = scene.start().await;
    scene.read_all(&["db", OWN, "pg!orders", OWN, "aigw"]);
    until("both", || scene.told().len() == 2).await;
    running.stop().await;
    scene.read_all(&[OWN, "db"]);
    let running = scene.start().await;
    until("the third", || scene.told().len() == 3).await;
    running.stop().await;
    for line in scene.told() {
        assert_eq!(line["secret"], OWN);
    }
    scene.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_too_long_goes_by_and_is_said_in_the_chain_and_in_its_own_stream() {
    let scene = Scene::new(RetentionLimits::default());
    let running = scene.start().await;
    scene.read_all(&[OWN, "db", OWN, OWN]);
    until("an attempt", || failures(&running) > 0).await;
    assert_eq!(lost(&running), 0);
    let waiting = SinkBacklog::Waiting(timestamp(NOW));
    until("it to be said", || scene.backlog() == waiting).await;
    scene.minutes.store(6, Ordering::SeqCst);
    until("them to go by", || lost(&running) == 3).await;
    until("that to be said", || scene.backlog() == SinkBacklog::PassedBy).await;
    // A process that ends before it is said says it the next time.
    running.stop().await;
    let running = scene.start().await;
    until("them to go by again", || lost(&running) == 3).await;
    scene.read_all(&["db", OWN, OWN]);
    scene.revive();
    until("what it lacks", || !scene.gaps().is_empty()).await;
    until("nothing to wait", || scene.backlog() == SinkBacklog::Empty).await;
    running.stop().await;

    let own = |record: &mut strongroom_api::audit::AuditRecord| record.secret.as_deref() == Some(OWN);
    let all = page(&scene.fixture.store, AuditPosition::default(), own).unwrap();
    let numbers: Vec<u64> = all.lines.iter().map(|line| line.record.sequence).collect();
    let told = scene.told();
    let read = told.iter().filter(|line| line["secret"] == OWN);
    let read: Vec<u64> = read.map(|line| line["sequence"].as_u64().unwrap()).collect();
    assert_eq!(read, numbers[3..]);
    let gap = format!(
        "the sink `siem` of product `aigw` lacks 3 records: reads {} to {}",
        numbers[0], numbers[2]
    );
    assert_eq!(scene.gaps(), std::slice::from_ref(&gap));
    // It is that record of the chain.
    let said = told.iter().find(|line| line["detail"] == gap.as_str()).unwrap();
    let number = said["sequence"].as_u64().unwrap();
    let records = scene.fixture.store.mutations_after(number - 1, 1).unwrap();
    assert_eq!((records[0].0, &records[0].1.detail), (number, &gap));
    scene.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_comes_back_is_on_record_all_the_same() {
    let scene = Scene::new(RetentionLimits::default());
    let on_record = || -> Vec<String> {
        let records = scene.fixture.store.mutations_after(0, 1_000).unwrap();
        let records = records.into_iter().map(|(_, record)| record);
        records
            .filter(|record| record.action == Action::TruncateAudit)
            .map(|record| record.detail)
            .collect()
    };
    let running = scene.start().await;
    scene.read_all(&[OWN, "db", OWN]);
    until("an attempt", || failures(&running) > 0).await;
    assert!(on_record().is_empty());
    scene.minutes.store(6, Ordering::SeqCst);
    until("them to go by", || lost(&running) == 2).await;
    until("that to be on record", || on_record().len() == 1).await;
    let own = |record: &mut strongroom_api::audit::AuditRecord| record.secret.as_deref() == Some(OWN);
    let all = page(&scene.fixture.store, AuditPosition::default(), own).unwrap();
    let numbers: Vec<u64> = all.lines.iter().map(|line| line.record.sequence).collect();
    let said = |records: usize, last: u64| {
        let first = numbers[0];
        format!("the sink `siem` of product `aigw` has not taken {records} records: reads {first} to {last}")
    };
    assert_eq!(on_record(), [said(2, numbers[1])]);
    // A day later it has still taken nothing: neither that record nor the next is one that it lacks.
    scene.minutes.store(6 + 24 * 60, Ordering::SeqCst);
    let before = failures(&running);
    scene.read_all(&[OWN]);
    until("another attempt", || failures(&running) > before).await;
    until("it to be on record again", || on_record().len() == 2).await;
    assert_eq!(lost(&running), 2);
    scene.revive();
    until("what it lacks", || !scene.gaps().is_empty()).await;
    running.stop().await;
    let gaps = scene.gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].contains(" lacks 2 records: "), "{gaps:?}");
    scene.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_one_keeps_no_record_and_stops_no_read() {
    let limits = RetentionLimits::new(None, Some(MIB), Some(2 * MIB), WhenFull::DropExported).unwrap();
    let scene = Scene::new(limits);
    let keep = tempfile::tempdir().unwrap();
    let shared = format!("file:{}", keep.path().join("audit.json").display());
    let shared: Destination = shared.parse().unwrap();
    let (stop, stopped) = watch::channel(false);
    let retention = AuditRetention {
        store: scene.fixture.store.clone(),
        destinations: vec![shared.clone(), scene.destination.clone()],
        now: || NOW,
        metrics: AuditMetrics::default().log(),
        held: HeldHours::default(),
    };
    let retention = tokio::spawn(retention.run(stopped));
    let everything = RunningExporter::start(&scene.fixture, shared);
    let own = scene.start().await;
    let mut read = 0;
    // More than twice of what there is room for.
    while read < 10_000 {
        if scene.read(OWN, Durability::Batched).is_ok() {
            read += 1;
        } else {
            until("the oldest to go", || {
                scene.read(OWN, Durability::Batched).is_ok()
            })
            .await;
        }
        if read % 100 == 0 {
            scene.fixture.store.run(RecordCheckpoint, meta()).unwrap();
            tokio::task::yield_now().await;
        }
    }
    until("the log to be within what is kept", || {
        scene.fixture.store.audit_cut().unwrap().reads > 1_000
    })
    .await;
    assert!(failures(&own) > 0);
    // Nothing more is cut while it catches up.
    stop.send_replace(true);
    within(retention).await.unwrap();
    scene.revive();
    until("what it lacks", || !scene.gaps().is_empty()).await;
    for running in [own, everything] {
        running.stop().await;
    }
    let gaps = scene.gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(
        gaps[0].starts_with("the sink `siem` of product `aigw` lacks ")
            && gaps[0].contains(" records, and what was cut before it was counted: "),
        "{gaps:?}"
    );
    assert!(scene.told().len() > 1, "it has what was left");
    scene.verify();
}
