//! The control plane.

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the process that runs it comes next")
)]
mod admin;
#[expect(dead_code, reason = "the process that runs it comes next")]
#[cfg_attr(
    not(test),
    expect(unused_imports, reason = "the process that runs it comes next")
)]
mod audit;
mod cmd;
#[expect(dead_code, reason = "the process that runs them comes next")]
mod controllers;
#[cfg(test)]
mod fixture;
#[expect(dead_code, reason = "the process that runs it comes next")]
mod seal;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A client without a provider panics. Only a second call fails.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cmd::run()
}
