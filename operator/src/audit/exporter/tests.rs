//! Records on their way to a file, and to a real syslog server that goes away and comes back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value as Json;
use strongroom_store::audit::{ExportProgress, RetentionLimits, WhenFull};
use strongroom_store::vault::RecordCheckpoint;
use strongroom_testing::store::{Fixture, NOW, meta};
use strongroom_testing::wait::until;

use super::*;
use crate::audit::testing::{RunningExporter, audit_line, objects, read};

fn reads(path: &Path) -> Vec<u64> {
    let objects = objects(path);
    let reads = objects.iter().filter(|line| line["chain"] == "reads");
    reads.map(|line| line["sequence"].as_u64().unwrap()).collect()
}

#[test]
fn whoever_asks_for_time_gets_it_within_a_bound() {
    let seconds = Duration::from_secs;
    for (failures, asked, pause) in [
        (1, None, 2),
        (2, None, 4),
        (6, None, 60),
        (u32::MAX, None, 60),
        (1, Some(1), 2),
        (1, Some(20), 20),
        (6, Some(120), 120),
        (1, Some(u64::MAX), 300),
    ] {
        assert_eq!(
            pause_after(failures, asked.map(seconds)),
            seconds(pause),
            "{failures} {asked:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_gets_each_record_once_also_after_a_restart() {
    let fixture = Fixture::new();
    let secret = fixture.secret("db");
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("audit.json");
    let destination = format!("file:{}", path.display());
    read(&fixture, secret, 10);
    let exporter = RunningExporter::named(&fixture, &destination);
    until("ten reads", || reads(&path).len() == 10).await;
    exporter.stop().await;
    read(&fixture, secret, 5);
    let exporter = RunningExporter::named(&fixture, &destination);
    until("five more", || reads(&path).len() == 15).await;
    exporter.stop().await;
    let numbers = reads(&path);
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    let changes: Vec<Json> = objects(&path)
        .into_iter()
        .filter(|line| line["chain"] == "changes")
        .collect();
    assert!(changes.iter().any(|line| line["action"] == "CreateSecret"));
    assert!(changes.iter().all(|line| line["action"] != "Checkpoint"));
}

/// rsyslog (Debian's package), with a certificate of its own.
struct Server {
    keep: tempfile::TempDir,
    process: Option<Child>,
    port: u16,
}

impl Server {
    async fn start() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path();
        let (chain, key, bundle) = crate::gateway::test_pem(jiff::Timestamp::now());
        std::fs::write(dir.join("chain.pem"), chain).unwrap();
        std::fs::write(dir.join("key.pem"), key).unwrap();
        std::fs::write(dir.join("ca.pem"), bundle).unwrap();
        let mut server = Self {
            keep,
            process: None,
            port: 0,
        };
        server.run().await;
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.keep.path().join(name)
    }

    /// Starts it on its port, or on any where it has none yet.
    async fn run(&mut self) {
        let dir = self.keep.path().display();
        let config = format!(
            r#"global(workDirectory="{dir}" maxMessageSize="64k" defaultNetstreamDriver="ossl"
                defaultNetstreamDriverCAFile="{dir}/ca.pem" defaultNetstreamDriverCertFile="{dir}/chain.pem"
                defaultNetstreamDriverKeyFile="{dir}/key.pem")
            module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
            template(name="text" type="string" string="%msg%\n")
            input(type="imtcp" address="127.0.0.1" port="{}" listenPortFileName="{dir}/port")
            action(type="omfile" file="{dir}/out" template="text" asyncWriting="off" flushOnTXEnd="on")
            "#,
            self.port
        );
        std::fs::write(self.path("conf"), config).unwrap();
        // What a killed one left.
        for left in ["port", "pid"] {
            let _ = std::fs::remove_file(self.path(left));
        }
        let program = ["/usr/sbin/rsyslogd", "/sbin/rsyslogd"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("install rsyslog and rsyslog-openssl first");
        let process = Command::new(program)
            .args(["-n", "-f"])
            .arg(self.path("conf"))
            .arg("-i")
            .arg(self.path("pid"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        let file = self.path("port");
        // It says its port only where it chose it.
        let chosen = || {
            let text = std::fs::read_to_string(&file).ok()?;
            text.trim().parse::<u16>().ok()
        };
        let known = self.port;
        let port = || chosen().or((known != 0).then_some(known));
        until("rsyslog to listen", || {
            port().is_some_and(|port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
        })
        .await;
        self.port = port().unwrap();
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_syslog_server_that_goes_away_gets_what_it_missed_in_order() {
    let fixture = Fixture::new();
    let secret = fixture.secret("db");
    let mut server = Server::start().await;
    let out = server.path("out");
    let destination = format!(
        "syslog+tls://localhost:{}?ca={}",
        server.port,
        server.path("ca.pem").display()
    );
    let exporter = RunningExporter::named(&fixture, &destination);
    read(&fixture, secret, 20);
    until("the first reads", || reads(&out).len() >= 20).await;
    server.kill();
    read(&fixture, secret, 2_000);
    server.run().await;
    read(&fixture, secret, 20);
    let all = || reads(&out).into_iter().collect::<BTreeSet<u64>>().len();
    until("what was missed", || all() >= 2_040).await;
    exporter.stop().await;
    let mut numbers = reads(&out);
    // A page that was half on its way comes whole again.
    numbers.dedup();
    let mut last = 0;
    let mut again = 0;
    for number in numbers {
        if number <= last {
            again += 1;
        }
        last = number;
    }
    assert!(again <= 1, "the order was broken {again} times");
    let created = objects(&out)
        .into_iter()
        .find(|line| line["action"] == "CreateSecret");
    assert_eq!(created.unwrap()["secret"], "db");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_is_of_others_gets_nothing() {
    let fixture = Fixture::new();
    let secret = fixture.secret("db");
    read(&fixture, secret, 3);
    let server = Server::start().await;
    let (_, _, others) = crate::gateway::test_pem(jiff::Timestamp::now());
    let foreign = server.path("foreign.pem");
    std::fs::write(&foreign, others).unwrap();
    let destination: Destination = format!("syslog+tls://localhost:{}?ca={}", server.port, foreign.display())
        .parse()
        .unwrap();
    let line = audit_line(
        r#"{"chain":"changes","sequence":7,"time":"2026-11-23T20:22:00Z","principal":"system","action":"x","decision":"allowed","outcome":"success"}"#,
    );
    let batch = Batch {
        lines: &[line],
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let refused = destination.sink().deliver(batch).await.unwrap_err();
    let of_the_certificate = match &refused {
        SinkError::Io(error) => {
            error.to_string().contains("certificate") || error.kind() == std::io::ErrorKind::InvalidData
        }
        SinkError::Answered { .. } | SinkError::Events(_) => false,
    };
    assert!(of_the_certificate, "{refused}");
    assert_eq!(reads(&server.path("out")), Vec::<u64>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_was_away_for_too_long_is_told_what_it_lacks() {
    const MIB: u64 = 1 << 20;
    let limits = RetentionLimits::new(None, Some(MIB), Some(2 * MIB), WhenFull::Roll).unwrap();
    let fixture = Fixture::with_audit_limits(limits);
    let secret = fixture.secret("db");
    let away = [ExportProgress {
        reader: "the sink `away`".to_owned(),
        changes: 0,
        reads: 0,
    }];
    for _ in 0..100 {
        read(&fixture, secret, 100);
        fixture.store.run(RecordCheckpoint, meta()).unwrap();
        fixture.store.retain(&away, NOW, Duration::ZERO).unwrap();
    }
    let cut = fixture.store.audit_cut().unwrap();
    assert!(cut.reads > 1_000, "{cut:?}");
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("audit.json");
    let running = RunningExporter::named(&fixture, &format!("file:{}", path.display()));
    let last = || reads(&path).last().copied().unwrap_or_default();
    until("it to have the rest", || last() >= 10_000).await;
    running.stop().await;
    let gaps: Vec<String> = objects(&path)
        .iter()
        .filter(|line| line["action"] == "Gap")
        .map(|line| line["detail"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].contains(&format!("reads 1 to {}", cut.reads)), "{gaps:?}");
    assert_eq!(objects(&path)[0]["action"], "Gap");
}
