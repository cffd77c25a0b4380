//! What helm makes of the chart, without a cluster.

use std::process::Command;

use strongroom_e2e::Programs;

use super::ALL_NAMESPACES;

/// The folder of the chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/strongroom");

/// The kinds that it brings.
pub const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/strongroom/files/crds");

/// The chart with these values, and with rights on the Secrets of the whole cluster unless they say less; or
/// why helm refuses them.
pub fn render(values: &[&str]) -> Result<String, String> {
    template(CHART, &[], &[&[ALL_NAMESPACES], values].concat())
}

/// These templates of a chart, as [`render`] makes them.
pub fn templates(chart: &str, names: &[&str], values: &[&str]) -> String {
    let shown: Vec<_> = names
        .iter()
        .map(|name| format!("--show-only=templates/{name}.yaml"))
        .collect();
    let shown: Vec<_> = shown.iter().map(String::as_str).collect();
    template(chart, &shown, &[&[ALL_NAMESPACES], values].concat()).unwrap()
}

/// A chart with these arguments of helm and these values, and nothing else; or why helm refuses them.
pub fn template(chart: &str, arguments: &[&str], values: &[&str]) -> Result<String, String> {
    let mut helm = Command::new(Programs::helm().unwrap());
    helm.args(["template", "strongroom", chart, "--namespace", "strongroom"])
        .args(arguments);
    for value in values {
        helm.args(["--set", value]);
    }
    let output = helm.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}
