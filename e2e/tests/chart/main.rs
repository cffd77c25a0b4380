//! The promise: the chart installs what the process needs and no more, and writing a custom resource gives
//! nobody more than RBAC gave.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod gateways;
mod install;
mod node;
mod rights;
#[path = "../support/mod.rs"]
mod support;
mod values;

use std::process::{Command, Output};

use strongroom_e2e::Programs;
use support::{ALL_NAMESPACES, Fixture};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/strongroom");

/// What helm does with the release and these arguments.
fn helm(f: Option<&Fixture>, arguments: &[&str], values: &[&str]) -> Output {
    let mut helm = Command::new(Programs::helm().unwrap());
    helm.args(arguments).args(["--namespace", "strongroom"]);
    helm.envs(f.map(|f| ("KUBECONFIG", f.cluster.kubeconfig())));
    for value in values {
        helm.args(["--set", value]);
    }
    helm.output().unwrap()
}

/// The chart, rendered with these values, and with rights on the Secrets of the whole cluster unless they say
/// less.
fn render(values: &[&str]) -> Result<String, String> {
    template(&[], &[&[ALL_NAMESPACES], values].concat())
}

/// The chart, rendered with these arguments and values, and nothing else.
fn template(arguments: &[&str], values: &[&str]) -> Result<String, String> {
    let output = helm(
        None,
        &[&["template", "strongroom", CHART], arguments].concat(),
        values,
    );
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

fn kinds(rendered: &str, kind: &str) -> usize {
    rendered
        .lines()
        .filter(|line| *line == format!("kind: {kind}"))
        .count()
}

/// The documents of a rendered chart of this kind and name.
fn document(rendered: &str, kind: &str, name: &str) -> serde_json::Value {
    let found = rendered.split("\n---").find(|document| {
        let is = |line: String| document.lines().any(|it| it == line);
        is(format!("kind: {kind}")) && is(format!("  name: {name}"))
    });
    assert!(found.is_some(), "no {kind} {name}");
    serde_saphyr::from_str(found.unwrap()).unwrap()
}
