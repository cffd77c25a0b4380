//! What a volume shows now, for whoever asks at its socket. Values are held here for as long as they are shown: that is what a pod asks for
//! by its attribute, and a value that several volumes show is in memory once.

use std::sync::{Arc, Mutex, PoisonError};

use strongroom_api::stream::Delivered;
use strongroom_render::attributes::WantedSecret;

/// The shelf of one volume.
#[derive(Debug)]
pub struct Shelf {
    /// The pod's namespace.
    pub(super) namespace: String,
    /// What the volume wants.
    pub(super) wanted: Vec<WantedSecret>,
    holds: Mutex<Holds>,
}

/// What is on it.
#[derive(Clone, Debug, Default)]
pub(super) enum Holds {
    /// Nothing yet: the plugin was replaced, and the volume's secrets are still to come.
    #[default]
    Nothing,
    /// What the files are made of, in the order of `wanted`.
    Values(Arc<[Arc<Delivered>]>),
    /// The files are gone with the access.
    Revoked,
}

impl Shelf {
    /// An empty one.
    #[must_use]
    pub fn new(namespace: String, wanted: Vec<WantedSecret>) -> Self {
        Self {
            namespace,
            wanted,
            holds: Mutex::default(),
        }
    }

    /// The files are made of these now.
    pub fn show(&self, values: impl IntoIterator<Item = Arc<Delivered>>) {
        self.put(Holds::Values(values.into_iter().collect()));
    }

    /// The files go.
    pub fn revoke(&self) {
        self.put(Holds::Revoked);
    }

    fn put(&self, holds: Holds) {
        *self.holds.lock().unwrap_or_else(PoisonError::into_inner) = holds;
    }

    pub(super) fn holds(&self) -> Holds {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
