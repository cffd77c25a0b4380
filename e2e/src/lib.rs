//! The local cluster, and the proof of each promise.
