//! When a `ManagedSecret` that is gone counts as deleted. Pure: the caller has compared the store with a complete list of objects, and
//! carries out the answer.
//!
//! There are no finalizers, so a deletion is seen only as an absence, and an absence can have other causes: a lost CRD, a list that is not
//! complete, a cluster restored from an old state. Hence the rules: absences are collected for [`COLLECT`], and much at once waits for a
//! person.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::uid::Uid;

/// How long absences are collected before they are judged together.
pub const COLLECT: SignedDuration = SignedDuration::from_secs(30);
/// How many at once go without confirmation.
pub const UNASKED: usize = 20;
/// From this many secrets on, a namespace that loses more than half of them waits for confirmation.
pub const SMALL_NAMESPACE: usize = 4;

/// Everything one judgement sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The CRD of `ManagedSecret`.
    pub crd: Crd,
    /// Live secrets whose object is missing from a complete list that is newer than its disappearance.
    pub missing: Vec<Missing>,
    /// How many live secrets with an object each namespace has, the missing ones included.
    pub population: BTreeMap<String, usize>,
    /// The batch id that a person confirmed, if any.
    pub confirmed: Option<String>,
}

/// The state of the CRD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crd {
    /// It is there.
    Present,
    /// It does not exist.
    Missing,
    /// It is being deleted, and takes its objects along.
    Terminating,
}

/// A live secret without its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Id of the secret, in hex.
    pub secret: String,
    /// Its namespace.
    pub namespace: String,
    /// Name of the missing object.
    pub object: String,
    /// UID of the missing object.
    pub uid: Uid,
    /// When it was first seen to be missing.
    pub since: Timestamp,
    /// What became of the namespace.
    pub home: Home,
    /// The object may have gone with an earlier CRD of the same name: nobody can tell that it was deleted itself.
    pub crd_replaced: bool,
}

/// What became of the namespace of a missing object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// It is there.
    Standing,
    /// It is being deleted.
    Terminating,
    /// It is gone, or another one has its name.
    Gone,
}

/// What to do about the absences.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Plan {
    /// Secrets, by id, whose recovery window opens now.
    pub delete: Vec<String>,
    /// What waits for a person.
    pub ask: Option<Batch>,
    /// When to judge again although nothing changed.
    pub wake: Option<Timestamp>,
}

/// Deletions that wait for confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its id: 16 hex digits of SHA-256 over the ids of the secrets. A batch that grows needs a new confirmation.
    pub id: String,
    /// The ids of the secrets, sorted.
    pub secrets: BTreeSet<String>,
}

impl Batch {
    /// The batch of these secrets.
    pub fn new(secrets: BTreeSet<String>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"strongroom deletions v1");
        for secret in &secrets {
            hash.update(secret.as_bytes());
            hash.update([0]);
        }
        let digest = hash.finalize();
        let id = data_encoding::HEXLOWER.encode(digest.get(..8).unwrap_or_default());
        Self { id, secrets }
    }
}

/// Judges the absences.
pub fn plan(facts: &Facts, now: Timestamp) -> Plan {
    match facts.crd {
        Crd::Missing | Crd::Terminating => return Plan::default(),
        Crd::Present => {}
    }
    let counting: Vec<&Missing> = facts
        .missing
        .iter()
        .filter(|missing| missing.home != Home::Terminating)
        .collect();
    let Some(first) = counting.iter().map(|missing| missing.since).min() else {
        return Plan::default();
    };
    let judged = first.checked_add(COLLECT).unwrap_or(Timestamp::MAX);
    if now < judged {
        return Plan {
            wake: Some(judged),
            ..Plan::default()
        };
    }
    let secrets: BTreeSet<String> = counting.iter().map(|missing| missing.secret.clone()).collect();
    if !needs_confirmation(&counting, &facts.population) {
        return Plan {
            delete: secrets.into_iter().collect(),
            ..Plan::default()
        };
    }
    let batch = Batch::new(secrets);
    if facts.confirmed.as_ref() == Some(&batch.id) {
        Plan {
            delete: batch.secrets.into_iter().collect(),
            ..Plan::default()
        }
    } else {
        Plan {
            ask: Some(batch),
            ..Plan::default()
        }
    }
}

/// More than [`UNASKED`] in all; or more than half of a standing namespace that has at least [`SMALL_NAMESPACE`]; or any that an earlier CRD
/// may have taken along. Of a namespace that is gone itself nothing runs any more, so there is no half of it to protect.
fn needs_confirmation(missing: &[&Missing], population: &BTreeMap<String, usize>) -> bool {
    if missing.len() > UNASKED || missing.iter().any(|missing| missing.crd_replaced) {
        return true;
    }
    let mut lost: BTreeMap<&str, usize> = BTreeMap::new();
    for missing in missing.iter().filter(|missing| missing.home == Home::Standing) {
        *lost.entry(&missing.namespace).or_default() += 1;
    }
    lost.iter().any(|(namespace, lost)| {
        let all = population.get(*namespace).copied().unwrap_or(*lost);
        all >= SMALL_NAMESPACE && lost * 2 > all
    })
}

#[cfg(test)]
mod tests;
