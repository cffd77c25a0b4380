//! The node plugin: secrets as files in the memory of pods, updated within a tenth of a second, and available
//! while the control plane is not.
//!
//! ```text
//! kubelet ─▶ csi ─▶ plugin ─▶ stream ─▶ gateway
//!                      ├─▶ plan (pure) ─▶ atomic_write ─▶ the volume's tmpfs
//!                      ├─▶ mount, state, memory_quota
//!                      ├─▶ notice: tells a pod that asks for it that its volume has changed
//!                      ├─▶ agent: the volume's socket, where the pod wants one
//!                      └─▶ offline: what is served while there is no gateway
//! ```
//!
//! Must never put a value or a token anywhere but into a volume's tmpfs and this process's memory, and must
//! not know the store.

pub mod agent;
pub mod atomic_write;
pub mod csi;
pub mod fault;
pub mod lock;
pub mod memory_quota;
pub mod metrics;
pub mod mount;
pub mod notice;
pub mod offline;
pub mod plugin;
pub mod pod;
pub mod proto;
pub mod run;
pub mod settings;
pub mod state;
pub mod stream;
pub mod volumes;
