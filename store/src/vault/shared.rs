//! Everything that the writer and the readers of an open store share.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use strongroom_model::id::KeyId;
use strongroom_model::time::Timestamp;

use super::anchor::{Anchor, StrictAnchor};
use super::caches::Caches;
use super::directory::StoreDirectory;
use super::group_stats::GroupStats;
use crate::audit::{AuditUnavailable, Durability, Entry, ReadChain, ReadHead, Recorder};
use crate::crypto::Keyring;
use crate::engine::Engine;
use crate::format::StoreState;

/// What the writer publishes after each commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishedState {
    pub(super) state: StoreState,
    /// The read chain as the last mutation record saw it.
    pub(super) reads: ReadHead,
}

/// Everything that the writer and the readers share.
pub(super) struct Shared {
    pub(super) engine: Box<dyn Engine>,
    pub(super) keyring: Arc<Keyring>,
    /// When the root key was last replaced.
    pub(super) rekeyed: Option<Timestamp>,
    pub(super) record: Recorder,
    pub(super) epoch: u64,
    pub(super) caches: Caches,
    pub(super) published: Mutex<PublishedState>,
    pub(super) changed: Condvar,
    pub(super) strict_anchor: Option<StrictAnchor>,
    /// When each customer's key was last used, by this process.
    pub(super) uses: Mutex<BTreeMap<KeyId, Timestamp>>,
    pub(super) stats: GroupStats,
    /// INVARIANT: one at a time looks at the old end of the audit and cuts it.
    pub(super) retaining: Mutex<()>,
    /// Held for the life of the store where it lies in a directory.
    pub(super) directory: Option<StoreDirectory>,
}

impl Shared {
    /// A customer's key was used.
    pub(super) fn used(&self, key: KeyId, now: Timestamp) {
        let mut uses = self.uses.lock();
        let last = uses.entry(key).or_insert(now);
        *last = now.max(*last);
    }

    /// Puts an entry into the read chain, unless the audit has reached its bound.
    pub(super) fn append_audit(&self, entry: &Entry, durability: Durability) -> Result<(), AuditUnavailable> {
        self.record.append(entry, durability, || {
            self.caches.bound.admit(self.reads().bytes())
        })
    }

    /// The read chain.
    pub(super) fn reads(&self) -> &dyn ReadChain {
        self.record.chain()
    }

    /// The anchor of a state.
    pub(super) fn anchor(&self, state: &StoreState) -> Anchor {
        let store = self.keyring.store();
        Anchor {
            store,
            counter: state.counter,
            mac: self.keyring.anchor_mac(state.counter, &state.digest),
        }
    }
}
