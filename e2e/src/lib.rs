//! The local cluster, and the proof of each promise.
//!
//! Kubernetes' own programs run on this machine: etcd, kube-apiserver and kube-controller-manager, built once
//! from Go modules. Everything they make is in one folder, and [`Cluster::down`] leaves nothing behind, also
//! after the starter was killed. Each test file starts a cluster of its own in a folder of its own.

pub mod attacks;
mod certificates;
mod cluster;
mod error;
mod gateway_peer;
mod port;
mod process;
mod programs;
mod simulated_node;
mod strongroom;

pub use cluster::{Cluster, Size};
pub use error::ClusterError;
pub use gateway_peer::{GatewayPeer, GatewayReplay, ListenOptions, PeerObservations, PutVersion};
pub use port::free_port;
pub use programs::{Program, Programs};
pub use simulated_node::simulate_node;
pub use strongroom::Strongroom;
