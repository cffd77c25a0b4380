//! What is known of declarations beside what the store keeps.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use strongroom_model::name::{ExternalId, NamespaceName};
use strongroom_rules::declaration::Digest;
use strongroom_store::audit::Requester;
use strongroom_store::vault::{DeclarationOutcome, DeclaredObject};
use tokio::sync::Notify;

use crate::attestation::PendingAttestations;
use crate::controllers::cached_object::CachedObject;
use crate::controllers::metrics::Metrics;
use crate::store_handle::StoreFailure;

/// Most objects that are gone of which it is remembered who deleted them, until what follows is done.
const MAX_WITHDRAWN: usize = 4_096;

/// What a watch says.
#[derive(Debug)]
pub(super) enum WatchEvent {
    /// An object is gone, and declared this last, where that was seen.
    Gone(DeclaredObject, Option<Digest>),
    /// Objects with these UIDs are all that there are of a kind.
    Listed(&'static str, HashSet<String>),
    /// A Namespace is there that was made at this time, and carries this of ours.
    Namespace(DeclaredObject, Timestamp, Digest),
}

/// What is known of declarations beside what the store keeps.
#[derive(Debug)]
pub(crate) struct Declarations {
    pending: PendingAttestations,
    /// Digests of what each object declared, and of what was carried out, both shortened. If they are lost,
    /// the store is asked again.
    pub(super) settled: Mutex<HashMap<u128, u128>>,
    /// When what each object declares, shortened, was taken in as news; until it is asked for, or all that it
    /// asks for was done.
    news: Mutex<HashMap<u128, Timestamp>>,
    withdrawn: Mutex<WithdrawnObjects>,
    /// Woken whenever one fewer is under way.
    withdrawal: Notify,
    /// UIDs of the namespaces that carry something of ours.
    pub(super) namespaces: Mutex<HashSet<String>>,
    event: UnboundedSender<WatchEvent>,
    pub(super) receiver: Mutex<Option<UnboundedReceiver<WatchEvent>>>,
}

/// Who deleted what, and in which order.
#[derive(Debug, Default)]
struct WithdrawnObjects {
    by: HashMap<String, Option<Requester>>,
    order: VecDeque<String>,
    /// UIDs of objects whose end was seen and is not audited yet.
    under_way: HashSet<String>,
    /// Kinds, by UID, of the objects of which the store keeps who deleted them.
    kept: HashMap<String, &'static str>,
}

/// What an object declares, taken in.
#[derive(Debug)]
pub(crate) struct Authorship {
    pub(super) object: u128,
    pub(super) digest: u128,
    /// Who wrote it; none where nobody knows, or where all that it asks for was done: what happens now is not
    /// because of it.
    pub(super) requester: Option<Requester>,
    /// All that it asks for was done before.
    pub(super) settled: bool,
}

impl Default for Declarations {
    fn default() -> Self {
        Self::new(PendingAttestations::default())
    }
}

impl Declarations {
    pub(crate) fn new(pending: PendingAttestations) -> Self {
        let (event, receiver) = unbounded();
        Self {
            pending,
            settled: Mutex::default(),
            news: Mutex::default(),
            withdrawn: Mutex::default(),
            withdrawal: Notify::new(),
            namespaces: Mutex::default(),
            event,
            receiver: Mutex::new(Some(receiver)),
        }
    }

    /// Everything that the object asks for was done.
    pub(crate) fn settle(&self, authorship: &Authorship) {
        self.news.lock().remove(&authorship.object);
        self.settled.lock().insert(authorship.object, authorship.digest);
    }

    /// Somebody wrote the object by this time.
    pub(super) fn note_news(&self, authorship: &Authorship, now: Timestamp) {
        self.news.lock().insert(authorship.object, now);
    }

    /// When somebody wrote the object with this UID, as far as this process saw it. It is told once.
    pub(crate) fn take_news(&self, uid: &str) -> Option<Timestamp> {
        self.news.lock().remove(&short(uid.as_bytes()))
    }

    /// An object is gone.
    pub(crate) fn gone<K: Resource>(&self, kind: &'static str, kept: &CachedObject<K>) {
        let uid = kept.uid().unwrap_or_default();
        let short_uid = short(uid.as_bytes());
        self.settled.lock().remove(&short_uid);
        self.news.lock().remove(&short_uid);
        if let Ok(object) = object(kind, kept) {
            self.withdrawn.lock().under_way.insert(uid);
            self.tell(WatchEvent::Gone(object, Some(kept.declared())));
        }
    }

    /// Objects with these UIDs are all that there are of a kind.
    pub(crate) fn listed(&self, kind: &'static str, there: HashSet<String>) {
        self.tell(WatchEvent::Listed(kind, there));
    }

    /// Nobody listens any more where the process ends.
    pub(super) fn tell(&self, event: WatchEvent) {
        let _ = self.event.unbounded_send(event);
    }

    /// Who deleted the object with this UID, as far as this process saw it; what was seen of that is audited
    /// first. What an earlier one saw, [`super::deleted_by`] asks the store for.
    pub(crate) async fn deleted_by(&self, uid: &str) -> Option<Requester> {
        loop {
            let mut woken = pin!(self.withdrawal.notified());
            woken.as_mut().enable();
            {
                let withdrawn = self.withdrawn.lock();
                if !withdrawn.under_way.contains(uid) {
                    return withdrawn.by.get(uid).cloned().flatten();
                }
            }
            woken.await;
        }
    }

    /// The end of the object is audited, or cannot be.
    pub(super) fn ended(&self, uid: &str) {
        if self.withdrawn.lock().under_way.remove(uid) {
            self.withdrawal.notify_waiters();
        }
    }

    /// The store keeps who deleted this object of a kind.
    pub(super) fn keeps(&self, kind: &'static str, uid: String) {
        self.withdrawn.lock().kept.insert(uid, kind);
    }

    /// UIDs of the objects of a kind of which the store keeps who deleted them.
    pub(crate) fn kept_of(&self, kind: &str) -> Vec<String> {
        let withdrawn = self.withdrawn.lock();
        let of_kind = withdrawn.kept.iter().filter(|(_, of)| **of == kind);
        of_kind.map(|(uid, _)| uid.clone()).collect()
    }

    /// The store does not keep that any more.
    pub(super) fn forgot(&self, uids: &[String]) {
        let mut withdrawn = self.withdrawn.lock();
        for uid in uids {
            withdrawn.kept.remove(uid);
        }
    }

    pub(super) fn is_withdrawn(&self, uid: &str) -> bool {
        self.withdrawn.lock().by.contains_key(uid)
    }

    pub(super) fn withdraw(&self, uid: &str, requester: Option<Requester>) {
        let mut withdrawn = self.withdrawn.lock();
        if withdrawn.by.insert(uid.to_owned(), requester).is_none() {
            withdrawn.order.push_back(uid.to_owned());
        }
        if withdrawn.order.len() > MAX_WITHDRAWN
            && let Some(oldest) = withdrawn.order.pop_front()
        {
            withdrawn.by.remove(&oldest);
        }
    }

    /// The store has taken it in, or that it is gone.
    pub(super) fn taken(&self, metrics: &Metrics, kind: &'static str, taken: &DeclarationOutcome) {
        if let Some(id) = taken.joined {
            self.pending.joined(id);
        }
        if taken.changed && taken.requester == Some(Requester::Unattested) {
            metrics.unattested(kind);
        }
    }
}

impl Authorship {
    /// Who wrote it.
    pub(crate) const fn requester(&self) -> &Option<Requester> {
        &self.requester
    }

    /// Whether all that the object asks for was done before.
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled
    }
}

/// The object as the store knows it.
pub(super) fn object<K: Resource>(
    kind: &str,
    kept: &CachedObject<K>,
) -> Result<DeclaredObject, StoreFailure> {
    // An object of the cluster stands under its own name, as a Namespace does.
    let namespace = kept.namespace().unwrap_or_else(|| kept.name_any());
    Ok(DeclaredObject {
        kind: kind.to_owned(),
        namespace: NamespaceName::new(&namespace)?,
        name: kept.name_any(),
        uid: ExternalId::new(&kept.uid().unwrap_or_default())?,
    })
}

/// Short for what is compared in memory alone.
pub(super) fn short(bytes: &[u8]) -> u128 {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest
        .first_chunk::<16>()
        .map_or(0, |first| u128::from_be_bytes(*first))
}
