//! The control plane.

mod admin;
mod anchor;
mod attestation;
mod audit;
mod bootstrap;
mod cluster_keys;
mod cmd;
mod consumers;
mod controllers;
mod declared;
mod external;
#[cfg(test)]
mod fixture;
mod gateway;
mod kube_error;
mod kube_watch;
mod lease;
mod own_secret;
mod policies;
mod roots;
mod seal;
mod serve;
mod steadiness;
mod terms;
mod under_way;
mod webhook;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A client without a provider panics. Only a second call fails.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cmd::run()
}
