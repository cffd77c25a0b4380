//! Notifies a pod that its volume has changed: one request to the pod's own address, at the port and path of
//! its volumeAttributes.
//!
//! ```text
//! swap ─▶ Notices (one at a time a volume, the last wins) ─▶ gateway: where is the pod? ─▶ post ─▶ metric, gateway (event of the pod)
//! ```
//!
//! It comes after the swap and delays neither that nor its acknowledgement. The request says nothing but that
//! something changed: no body, and the answer is not read beyond its status. The address is the gateway's
//! word alone, which looks it up by the pod's UID before each try. Must not touch a file.

mod post;
mod state;

pub use post::{PostOutcome, Retries, post};
pub use state::Notices;
