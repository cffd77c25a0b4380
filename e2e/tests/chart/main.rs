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
use support::Fixture;

/// What helm does with the release and these arguments.
fn helm(f: &Fixture, arguments: &[&str], values: &[&str]) -> Output {
    let mut helm = Command::new(Programs::helm().unwrap());
    helm.args(arguments).args(["--namespace", "strongroom"]);
    helm.env("KUBECONFIG", f.cluster.kubeconfig());
    for value in values {
        helm.args(["--set", value]);
    }
    helm.output().unwrap()
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
