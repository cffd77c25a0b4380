//! What a volume shows now, for requests at its socket. Values are held here for as long as they are shown: a
//! pod asks for that with its attribute, and a value that several volumes show is in memory only once.

use std::sync::Arc;

use parking_lot::Mutex;
use strongroom_api::stream::DeliveredValue;
use strongroom_render::attributes::RequestedSecret;

/// What one volume shows.
#[derive(Debug)]
pub struct VolumeSnapshot {
    /// The pod's namespace.
    pub(super) namespace: String,
    /// What its pod named, in that order.
    pub(super) wanted: Vec<RequestedSecret>,
    contents: Mutex<SnapshotContents>,
}

/// What its socket can answer with.
#[derive(Clone, Debug, Default)]
pub(super) enum SnapshotContents {
    /// Nothing yet: the plugin was replaced, and the volume's secrets are still to come.
    #[default]
    Nothing,
    /// What the files are made of, in the order of `wanted`.
    Values(Arc<[Arc<DeliveredValue>]>),
    /// The files are gone with the access.
    Revoked,
}

impl VolumeSnapshot {
    /// An empty one.
    #[must_use]
    pub fn new(namespace: String, wanted: Vec<RequestedSecret>) -> Self {
        Self {
            namespace,
            wanted,
            contents: Mutex::default(),
        }
    }

    /// The files are made of these now.
    pub fn show(&self, values: impl IntoIterator<Item = Arc<DeliveredValue>>) {
        self.put(SnapshotContents::Values(values.into_iter().collect()));
    }

    /// The files go.
    pub fn revoke(&self) {
        self.put(SnapshotContents::Revoked);
    }

    fn put(&self, contents: SnapshotContents) {
        *self.contents.lock() = contents;
    }

    pub(super) fn contents(&self) -> SnapshotContents {
        self.contents.lock().clone()
    }
}
