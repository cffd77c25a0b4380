//! What a program says of itself, on its port of health and metrics.

use std::process::Command;

use strongroom_e2e::Strongroom;

/// That port, as the program's log names it last.
pub fn metrics_port(log: &str) -> Option<u16> {
    let line = log
        .lines()
        .rfind(|line| line.contains("serving health and metrics"))?;
    let (_, behind) = line.split_once("127.0.0.1:")?;
    behind.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The metrics of whoever listens at a port.
pub fn metrics_at(port: u16) -> String {
    let output = Command::new("curl")
        .args(["-sS", &format!("http://127.0.0.1:{port}/metrics")])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The metrics of a process.
pub fn metrics(process: &Strongroom) -> String {
    let metrics = metrics_at(metrics_port(&process.log()).unwrap());
    assert!(metrics.contains("strongroom_"), "{metrics}");
    metrics
}
