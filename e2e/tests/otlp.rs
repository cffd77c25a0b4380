//! The promise: audit records reach an OpenTelemetry Collector, each of them, also those that were made while
//! it was away.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use strongroom_api::audit::Chain;
use strongroom_e2e::{Programs, Strongroom};
use support::{Fixture, eventually, free_port, generated};

/// A collector, killed when dropped.
struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Collector {
    /// One that writes what it receives into `log`, after what is there.
    fn start(log: &Path, port: u16) -> Self {
        let config = format!(
            "yaml:{{receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:{port}\"}}}}}}}}, \
             exporters: {{debug: {{verbosity: detailed}}}}, \
             service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{logs: {{receivers: [otlp], exporters: [debug]}}}}}}}}"
        );
        let out = File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new(Programs::collector().unwrap())
            .args(["--config", &config])
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self(child)
    }
}

/// The numbers of the records of a chain that the collector has.
fn has(log: &PathBuf, chain: &str) -> BTreeSet<u64> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let start = format!("Body: Str({{\"chain\":\"{chain}\",\"sequence\":");
    let number = |part: &str| part.split(',').next().unwrap().parse().unwrap();
    text.split(&start).skip(1).map(number).collect()
}

/// The numbers of the records that there are.
fn all(f: &Fixture, chain: Chain) -> BTreeSet<u64> {
    let records = f.records(&[]).into_iter();
    let of_chain = records.filter(|record| record.chain == chain);
    of_chain.map(|record| record.sequence).collect()
}

#[test]
fn each_record_reaches_the_collector_also_after_it_was_away() {
    let f = Fixture::new();
    let port = free_port();
    let log = f.keep.path().join("collector.log");
    let first = Collector::start(&log, port);
    let sink = format!("--audit-sink=otlp+http://127.0.0.1:{port}");
    let mut strongroom = Strongroom::start_with(&f.cluster, &f.data(), &[&sink]).unwrap();
    let made = |names: &[&str]| {
        for name in names {
            f.apply(&generated(name));
            f.wait_ready(name, "True", "Ready");
        }
    };
    let arrives = |chain: Chain| {
        let expected = all(&f, chain);
        assert!(!expected.is_empty());
        let chain = match chain {
            Chain::Changes => "changes",
            Chain::Reads => "reads",
        };
        eventually(&format!("the records of {chain} at the collector"), || {
            expected.is_subset(&has(&log, chain)).then_some(())
        });
        expected
    };
    made(&["a", "b"]);
    arrives(Chain::Changes);
    let text = std::fs::read_to_string(&log).unwrap();
    for part in [
        "service.name: Str(strongroom)",
        "strongroom.action: Str(CreateSecret)",
        "strongroom.secret: Str(a)",
        "SeverityText: INFO",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // While it is away nobody waits for it, and nothing is lost, also over a restart of ours.
    drop(first);
    made(&["c"]);
    strongroom.stop().unwrap();
    let _strongroom = Strongroom::start_with(&f.cluster, &f.data(), &[&sink]).unwrap();
    made(&["d"]);
    let _second = Collector::start(&log, port);
    let changes = arrives(Chain::Changes);
    arrives(Chain::Reads);
    assert!(changes.len() > 8, "{changes:?}");
}
