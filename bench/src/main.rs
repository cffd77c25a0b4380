//! `make bench`: what the project promises in numbers, each measured beside a baseline in the same run.
//!
//! A row's value is the median of its repetitions, and the spread stands beside it. A ratio is the value by
//! the baseline's: where the unit is a rate more is better, where it is a time less is.

mod affinity;
mod audit;
mod bare_redb;
mod cluster;
mod cold;
mod https;
mod isolation;
mod memory;
mod neighbours;
mod nodes;
mod plugin;
mod pods;
mod policy;
mod product;
mod put;
mod read;
mod row;
mod store;
mod strangers;
mod swaps;
mod vs_apiserver;

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use clap::Parser;
use regex::Regex;

use crate::row::Row;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Measures, prints a table, and writes target/bench/results.jsonl
#[derive(Debug, Parser)]
struct Arguments {
    /// Only rows whose whole name this regular expression matches
    #[arg(long, env = "ROWS", default_value = ".*", value_parser = whole)]
    rows: Regex,
    /// Where the stores lie that are measured, and the results: on a real disk
    #[arg(long, default_value = "target/bench")]
    dir: std::path::PathBuf,
    /// How many ManagedSecrets the cluster rows use
    #[arg(long, env = "OBJECTS", default_value_t = 10_000)]
    objects: usize,
}

/// An expression that has to match all of a name.
fn whole(text: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{text})$"))
}

impl Arguments {
    /// Whether one of these rows is asked for: what only others need is left out.
    fn wants(&self, rows: &[&str]) -> bool {
        rows.iter().any(|name| self.rows.is_match(name))
    }
}

/// What is measured together, because it shares a set-up: its rows, and how.
struct Group {
    rows: &'static [&'static str],
    measure: fn(&Arguments) -> Outcome<Vec<Row>>,
}

const GROUPS: [Group; 16] = [
    Group {
        rows: &["store.put.single", "store.put.group64"],
        measure: |arguments| store::put(&arguments.dir),
    },
    Group {
        rows: &["store.get.1k", "store.get.1k.crypto"],
        measure: |arguments| store::read(&arguments.dir),
    },
    Group {
        rows: &["store.open"],
        measure: |arguments| store::open(&arguments.dir),
    },
    Group {
        rows: &["audit.record_bytes", "audit.change_bytes", "audit.verify"],
        measure: |arguments| audit::measure(&arguments.dir),
    },
    Group {
        rows: &[
            "policy.compile.10_ms",
            "policy.compile.1k_ms",
            "policy.compile.10k_ms",
            "policy.decide.10_us",
            "policy.decide.1k_us",
            "policy.decide.10k_us",
            "policy.decide.wild_10k_us",
            "policy.decide.worst_us",
        ],
        measure: |_| policy::measure(),
    },
    Group {
        rows: &["product.create.quota64"],
        measure: |arguments| product::quota(&arguments.dir),
    },
    Group {
        rows: &["product.matrix_us"],
        measure: |_| product::matrix(),
    },
    Group {
        rows: &[
            "reconcile.10k.seconds",
            "reconcile.10k.rss_mb",
            "reconcile.10k.idle_cpu_percent",
            "native.update.p50_ms",
            "native.update.p99_ms",
        ],
        measure: cluster::measure,
    },
    Group {
        rows: &[
            "put.https.single",
            "put.https.single.alone",
            "put.https.group64",
            "put.https.group64.vs_store",
            "put.https.group64.p50_ms",
            "put.https.group64.p99_ms",
        ],
        measure: |arguments| put::measure(&arguments.dir),
    },
    Group {
        rows: &[
            "push.nodes1000.seconds",
            "push.nodes1000.rss_mb",
            "push.nodes1000.tokenreviews_s",
            "push.nodes1000.connect_s",
            "push.nodes1000.reconnect_s",
        ],
        measure: |arguments| nodes::measure(&arguments.dir),
    },
    Group {
        rows: &["gateway.strangers.rss_mb"],
        measure: |arguments| strangers::measure(&arguments.dir),
    },
    Group {
        rows: &neighbours::ROWS,
        measure: neighbours::measure,
    },
    Group {
        rows: &isolation::ROWS,
        measure: isolation::measure,
    },
    Group {
        rows: &[
            "publish.warm.p50_ms",
            "publish.warm.p99_ms",
            "publish.cold.p50_ms",
            "publish.cold.p99_ms",
            "publish.again.p50_ms",
            "publish.again.p99_ms",
            "node.volumes0.rss_mb",
            "node.volumes100.rss_mb",
            "node.volumes1000.rss_mb",
            "node.volumes100.idle_cpu_percent",
            "node.volumes1000.idle_cpu_percent",
        ],
        measure: |_| plugin::measure(),
    },
    Group {
        rows: &[
            "push.file.p50_ms",
            "push.file.p99_ms",
            "push.native_secret.p50_s",
            "push.file.two_nodes.p50_ms",
            "push.file.two_nodes.p99_ms",
            "pod.start.volume_s",
            "pod.start.burst40_s",
        ],
        measure: |arguments| pods::measure(|rows| arguments.wants(rows)),
    },
    Group {
        rows: &[
            "memory.rest_mb",
            "memory.load_mb",
            "read.saturation",
            "read.cpu_us",
            "read.1k.p50_ms",
            "read.1k.p99_ms",
            "read.1k.p999_ms",
            "read.10k.p50_ms",
            "read.10k.p99_ms",
            "read.10k.p999_ms",
            "read.10k.own_processor.p50_ms",
            "read.10k.own_processor.p99_ms",
            "read.10k.own_processor.p999_ms",
            "read.10k.own_processor.client_p99_ms",
            "read.cold_connection_ms",
            "read.cold_token_ms",
            "read.cold_policy_ms",
            "policy.change.p50_ms",
            "policy.change.p99_ms",
            "read.vs_apiserver",
            "read.vs_apiserver.p50_ms",
            "read.vs_apiserver.p99_ms",
            "read.vs_apiserver.cpu_s_1k",
            "read.vs_apiserver.rss_mb",
        ],
        measure: |arguments| read::measure(arguments),
    },
];

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.dir)?;
    let path = arguments.dir.join("results.jsonl");
    let mut results = File::create(&path)?;
    let mut out = std::io::stdout();
    let mut found = false;
    for group in GROUPS {
        if !arguments.wants(group.rows) {
            continue;
        }
        for row in (group.measure)(&arguments)? {
            if arguments.wants(&[row.name]) {
                found = true;
                writeln!(out, "{}", row.line())?;
                out.flush()?;
                writeln!(results, "{}", serde_json::to_string(&row)?)?;
            }
        }
    }
    if !found {
        let names: Vec<_> = GROUPS.iter().flat_map(|group| group.rows).copied().collect();
        return Err(format!(
            "no row matches `{}`; there are {}",
            arguments.rows,
            names.join(", ")
        )
        .into());
    }
    writeln!(out, "written to {}", path.display())?;
    Ok(())
}

/// An empty folder for one measurement.
fn fresh(dir: &Path, name: &str) -> Outcome<tempfile::TempDir> {
    Ok(tempfile::Builder::new().prefix(name).tempdir_in(dir)?)
}
