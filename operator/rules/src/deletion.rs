//! When a `ManagedSecret` that is gone counts as deleted. Pure: the caller has compared the store with a
//! complete list of objects, and carries out the answer.
//!
//! There are no finalizers, so a deletion is seen only as an absence, and an absence can have other causes: a
//! lost CRD, a list that is not complete, a cluster restored from an old state. Hence the rules. Each object
//! has to be away for [`GRACE_PERIOD`], whatever happens to others. A namespace that loses much at once waits
//! for a person, and no other namespace waits with it, unless many lose something at once.

mod losses;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

pub use self::losses::{Loss, Losses, PersistedLoss, Wait};
use crate::uid::Uid;

/// How long an object has to be away before it counts as deleted.
pub const GRACE_PERIOD: SignedDuration = SignedDuration::from_secs(30);
/// How many a namespace loses at once without confirmation.
pub const MAX_UNCONFIRMED: usize = 20;
/// From this many secrets on, a namespace that loses more than half of them waits for confirmation.
pub const SMALL_NAMESPACE: usize = 4;
/// How many namespaces are many. So many that each lose much at once, or that together lose more than
/// [`MAX_UNCONFIRMED`] at once, are a loss of the cluster: all that lose something then wait.
pub const MANY_NAMESPACES: usize = 4;

/// Everything one judgement sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionFacts {
    /// The CRD of `ManagedSecret`.
    pub crd: CrdState,
    /// Live secrets whose object is missing from a complete list that is newer than its disappearance.
    pub missing: Vec<MissingObject>,
    /// Ids of the live secrets whose object is there, by namespace.
    pub present: BTreeMap<String, BTreeSet<String>>,
    /// The batch ids that a person confirmed.
    pub confirmed: BTreeSet<String>,
}

/// Whether the CRD exists: without it no object does, and none of them was deleted by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrdState {
    /// It exists, and nobody deletes it.
    Present,
    /// It does not exist.
    Missing,
    /// It is being deleted, and takes its objects along.
    Terminating,
}

/// A live secret without its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingObject {
    /// Id of the secret, in hex.
    pub secret: String,
    /// Name of its namespace.
    pub namespace: String,
    /// Name of the missing object.
    pub object: String,
    /// `metadata.uid` of that object.
    pub uid: Uid,
    /// When it was first seen to be missing.
    pub since: Timestamp,
    /// What became of the namespace.
    pub home: NamespaceState,
    /// The object may have gone with an earlier CRD of the same name: nobody can tell that it was deleted
    /// itself.
    pub crd_replaced: bool,
    /// A recovery window follows. False where the namespace keeps none: then there is nothing that a person
    /// could still save by not confirming.
    pub recoverable: bool,
}

impl MissingObject {
    /// When its own half minute is over.
    fn due(&self) -> Timestamp {
        self.since.checked_add(GRACE_PERIOD).unwrap_or(Timestamp::MAX)
    }

    /// Whether a person may have to confirm it.
    fn counts(&self) -> bool {
        self.recoverable || self.crd_replaced
    }
}

/// What became of the namespace of a missing object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceState {
    /// It exists, and nobody deletes it.
    Active,
    /// It is being deleted.
    Terminating,
    /// It is gone, or another one has its name.
    Gone,
}

/// What to do about the absences. What waits for a person stands in [`Losses::batches`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeletionPlan {
    /// Secrets, by id, that go now.
    pub delete: BTreeSet<String>,
    /// When to judge again although nothing changed.
    pub wake: Option<Timestamp>,
}

/// Deletions that wait for one confirmation: those of a namespace, or of all namespaces that lost something
/// at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its id. It says where and when the first one went, so that it stays when one more goes.
    pub id: String,
    /// What waits, by namespace. A confirmation covers what is listed here, and nothing else.
    pub namespaces: BTreeMap<String, WaitingDeletions>,
}

impl Batch {
    /// How many wait.
    pub fn count(&self) -> usize {
        self.namespaces
            .values()
            .map(|waiting| waiting.secrets.len())
            .sum()
    }
}

/// What of one namespace waits in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingDeletions {
    /// When the first one went.
    pub first: Timestamp,
    /// How many secrets with an object the namespace had then.
    pub there: usize,
    /// The ids of those that wait.
    pub secrets: BTreeSet<String>,
}

/// 16 hex digits of SHA-256 over the place, the first secret that went from it, and when.
fn batch_id(place: &str, first: &MissingObject) -> String {
    let mut hash = Sha256::new();
    hash.update(b"strongroom deletions v2");
    for part in [place, &first.secret, &first.since.as_millisecond().to_string()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    data_encoding::HEXLOWER.encode(digest.get(..8).unwrap_or_default())
}

/// Judges the absences, and takes down what waits.
pub fn plan(facts: &DeletionFacts, losses: &mut Losses, now: Timestamp) -> DeletionPlan {
    match facts.crd {
        CrdState::Missing | CrdState::Terminating => return DeletionPlan::default(),
        CrdState::Present => {}
    }
    losses.observe(
        facts
            .missing
            .iter()
            .filter(|missing| missing.counts())
            .map(|missing| (missing.namespace.as_str(), missing.secret.as_str(), missing.since)),
        &facts.present,
    );
    let judged = || {
        facts
            .missing
            .iter()
            .filter(|missing| missing.home != NamespaceState::Terminating)
    };
    let mut places: BTreeMap<&str, Vec<&MissingObject>> = BTreeMap::new();
    for missing in judged().filter(|missing| missing.counts() && !losses.is_decided(&missing.secret)) {
        places.entry(&missing.namespace).or_default().push(missing);
    }
    for (place, missing) in &places {
        losses.settle(place, missing, facts);
    }
    hold(&places, losses, &facts.confirmed, now);
    let mut delete: BTreeSet<String> = judged()
        .filter(|missing| losses.is_decided(&missing.secret) || !missing.counts() && missing.due() <= now)
        .map(|missing| missing.secret.clone())
        .collect();
    for (place, missing) in &places {
        let due = missing.iter().filter(|missing| missing.due() <= now);
        delete.extend(losses.judge(place, due.copied(), &facts.confirmed));
    }
    losses.close(&facts.missing);
    DeletionPlan {
        delete,
        wake: judged().map(MissingObject::due).filter(|due| *due > now).min(),
    }
}

/// Has the namespaces wait that lost much, or all that lost something where many did.
fn hold(
    places: &BTreeMap<&str, Vec<&MissingObject>>,
    losses: &mut Losses,
    confirmed: &BTreeSet<String>,
    now: Timestamp,
) {
    let free: Vec<(&str, &Vec<&MissingObject>)> = places
        .iter()
        .filter(|(place, _)| !losses.waits(place))
        .map(|(place, missing)| (*place, missing))
        .collect();
    let (much, little): (Vec<_>, Vec<_>) = free.iter().partition(|(place, missing)| {
        losses
            .of_namespace(place)
            .is_some_and(|loss| loss.is_mass_deletion(missing))
    });
    let together: usize = little.iter().map(|(_, missing)| missing.len()).sum();
    let many = much.len() + losses.waiting_since_just_now(now) >= MANY_NAMESPACES
        || little.len() >= MANY_NAMESPACES && together > MAX_UNCONFIRMED;
    if many {
        let first = free
            .iter()
            .flat_map(|(_, missing)| missing.iter())
            .min_by_key(|missing| (missing.since, &missing.secret));
        if let Some(first) = first {
            let batch = losses
                .clusters_batch(confirmed, now)
                .unwrap_or_else(|| batch_id("*", first));
            for (place, _) in free {
                losses.wait(place, batch.clone(), true);
            }
        }
        return;
    }
    for (place, missing) in much {
        if missing.iter().any(|missing| missing.due() <= now)
            && let Some(first) = missing
                .iter()
                .min_by_key(|missing| (missing.since, &missing.secret))
        {
            losses.wait(place, batch_id(place, first), false);
        }
    }
}

#[cfg(test)]
mod tests;
