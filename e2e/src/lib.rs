//! The local cluster, and the proof of each promise.
//!
//! Kubernetes' own programs run on this machine: etcd, kube-apiserver and kube-controller-manager, built once from Go modules.
//! Everything they make is in one folder, and [`Cluster::down`] leaves nothing behind, also after the starter was killed.
//! Tests share one cluster and use one namespace each.

mod certificates;
mod cluster;
mod error;
mod process;
mod programs;
mod strongroom;

pub use cluster::Cluster;
pub use error::ClusterError;
pub use programs::{Program, Programs};
pub use strongroom::Strongroom;
