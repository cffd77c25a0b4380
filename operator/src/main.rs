//! The control plane.

mod admin;
mod anchor;
mod attestation;
mod audit;
mod backup;
mod bootstrap;
mod claim_index;
mod clock_guard;
mod cluster_keys;
mod cmd;
mod consumers;
mod controllers;
mod delivery_policy;
mod external_manifest;
mod external_sources;
mod gateway;
mod kube;
mod large_objects;
mod lease;
mod own_secret;
mod policies;
mod products;
mod rotation;
mod seal;
mod secret_labels;
mod serve;
mod store_handle;
mod storeless;
mod trust_anchors;
mod webhook;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A client without a provider panics. Only a second call fails.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cmd::run()
}
