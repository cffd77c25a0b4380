//! What each object declares, taken in with whoever wrote it. A change is on record when it is first seen
//! (`DeclareObject`), whatever comes of it; so is the end of an object (`WithdrawObject`); and what is done
//! in the store because of a declaration names the same author.
//!
//! Who it was, the webhook said before the object was there ([`crate::attestation`]); the store joins the
//! two. A change that came past the webhook says so, and is counted. What happens by itself, such as a
//! rotation that is due, is nobody's.

mod events;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use strongroom_model::name::{ExternalId, NamespaceName};
use strongroom_store::audit::Requester;
use strongroom_store::vault::{DeclarationOutcome, DeclaredObject};
use tokio::sync::Notify;

use self::events::WatchEvent;
pub(crate) use self::events::{begin, run, saw_namespaces};
use super::Ctx;
use super::cached_object::CachedObject;
use super::metrics::Metrics;
use crate::attestation::PendingAttestations;
use crate::store_handle::StoreFailure;

/// Most objects that are gone of which it is remembered who deleted them, until what follows is done.
const MAX_WITHDRAWN: usize = 4_096;

/// What is known of declarations beside what the store keeps.
#[derive(Debug)]
pub(crate) struct Declarations {
    pending: PendingAttestations,
    /// What of each object was taken in and brought about, both shortened. Losing it means only to ask the
    /// store again.
    settled: Mutex<HashMap<u128, u128>>,
    withdrawn: Mutex<Withdrawn>,
    /// Woken whenever one fewer is under way.
    withdrawal: Notify,
    /// UIDs of the namespaces that carry something of ours.
    namespaces: Mutex<HashSet<String>>,
    event: UnboundedSender<WatchEvent>,
    receiver: Mutex<Option<UnboundedReceiver<WatchEvent>>>,
}

/// Who deleted what, and in which order.
#[derive(Debug, Default)]
struct Withdrawn {
    by: HashMap<String, Option<Requester>>,
    order: VecDeque<String>,
    /// UIDs of objects whose end was seen and is not on record yet.
    under_way: HashSet<String>,
}

/// What an object declares, taken in.
#[derive(Debug)]
pub(crate) struct Authorship {
    object: u128,
    digest: u128,
    /// Who wrote it; none where nobody knows, or where all that it asks for was done: what happens now is not
    /// because of it.
    requester: Option<Requester>,
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
            withdrawn: Mutex::default(),
            withdrawal: Notify::new(),
            namespaces: Mutex::default(),
            event,
            receiver: Mutex::new(Some(receiver)),
        }
    }

    /// Everything that the object asks for was done.
    pub(crate) fn settle(&self, authorship: &Authorship) {
        self.settled.lock().insert(authorship.object, authorship.digest);
    }

    /// An object is gone.
    pub(crate) fn gone<K: Resource>(&self, kind: &'static str, kept: &CachedObject<K>) {
        let uid = kept.uid().unwrap_or_default();
        self.settled.lock().remove(&short(uid.as_bytes()));
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
    fn tell(&self, event: WatchEvent) {
        let _ = self.event.unbounded_send(event);
    }

    /// Who deleted the object with this UID, as far as it is known; what was seen of that is on record first.
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

    /// The end of the object is on record, or cannot be.
    fn ended(&self, uid: &str) {
        if self.withdrawn.lock().under_way.remove(uid) {
            self.withdrawal.notify_waiters();
        }
    }

    fn is_withdrawn(&self, uid: &str) -> bool {
        self.withdrawn.lock().by.contains_key(uid)
    }

    fn withdraw(&self, uid: &str, requester: Option<Requester>) {
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
    fn taken(&self, metrics: &Metrics, kind: &'static str, taken: &DeclarationOutcome) {
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
}

/// Takes in what an object declares, before anything is done because of it.
///
/// # Errors
/// The store's.
pub(crate) async fn take<K: Resource>(
    ctx: &Ctx,
    kind: &'static str,
    kept: &CachedObject<K>,
) -> Result<Authorship, StoreFailure> {
    let (uid, digest) = (kept.uid().unwrap_or_default(), kept.declared());
    let mut authorship = Authorship {
        object: short(uid.as_bytes()),
        digest: short(digest.bytes()),
        requester: None,
    };
    let declarations = &ctx.declarations;
    let is_settled = declarations.settled.lock().get(&authorship.object) == Some(&authorship.digest);
    // What was seen before it went comes to nothing any more.
    if is_settled || declarations.is_withdrawn(&uid) {
        return Ok(authorship);
    }
    let created = kept
        .creation_timestamp()
        .map_or_else(Timestamp::now, |time| time.0);
    let taken = ctx
        .store
        .take_declaration(object(kind, kept)?, created, digest)
        .await?;
    declarations.taken(&ctx.metrics, kind, &taken);
    authorship.requester = taken.requester;
    Ok(authorship)
}

fn object<K: Resource>(kind: &str, kept: &CachedObject<K>) -> Result<DeclaredObject, StoreFailure> {
    Ok(DeclaredObject {
        kind: kind.to_owned(),
        namespace: NamespaceName::new(&kept.namespace().unwrap_or_default())?,
        name: kept.name_any(),
        uid: ExternalId::new(&kept.uid().unwrap_or_default())?,
    })
}

/// Short for what is compared in memory alone.
fn short(bytes: &[u8]) -> u128 {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest
        .first_chunk::<16>()
        .map_or(0, |first| u128::from_be_bytes(*first))
}
