//! What a process without a store has: the extension API server and the webhook.

use kube::Client;
use strongroom_process::{Health, Shutdown};

/// What the port of such a process is served with.
pub(crate) struct StorelessContext {
    /// Its own namespace.
    pub(crate) namespace: String,
    pub(crate) client: Client,
    pub(crate) health: Health,
    pub(crate) shutdown: Shutdown,
}
