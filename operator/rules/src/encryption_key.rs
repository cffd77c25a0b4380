//! Decides the next step for one `EncryptionKey`, and its conditions, from the facts about it. It must not
//! read a clock, the cluster or the store.

mod verdict;

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use strongroom_model::KeyState;

pub use self::verdict::{KeyBlocker, KeyVerdict};
use crate::object::{Namespace, NamespaceBinding};
use crate::uid::Uid;

/// Everything one decision sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// The object carries a deletion timestamp: somebody's finalizer holds it.
    pub leaving: bool,
    /// What the object asks for.
    pub wanted: DesiredKeyState,
    /// The namespace that the object is in, by the API server and the store.
    pub namespace: Namespace,
    /// The key of this name in the store.
    pub stored: Option<StoredKey>,
}

/// The spec, and what else the object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredKeyState {
    /// Whether the key works.
    pub enabled: bool,
    /// Time from one version to the next.
    pub rotate_every: Option<SignedDuration>,
    /// What the store has to know of the object, so that it can tell later what its absence means.
    pub declaration: Declaration,
}

/// What an object says about its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// `metadata.uid`.
    pub uid: Uid,
    /// Days between the deletion of the object and the destruction of the key.
    pub window_days: u32,
    /// Annotation `strongroom.dev/confirm-data-loss`: the key goes although secrets depend on it.
    pub loss_accepted: bool,
}

/// A key as the store describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Whether it can be used.
    pub state: KeyState<Timestamp>,
    /// When its primary version was made.
    pub rotated: Timestamp,
    /// What declared it last.
    pub declaration: Option<Declaration>,
}

/// What is to be done next, and what there is to say if that is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlan {
    /// The one next step.
    pub step: KeyStep,
    /// How the object stands.
    pub verdict: KeyVerdict,
    /// When the key gets its next version.
    pub next_rotation: Option<Timestamp>,
    /// When to look again although nothing changed.
    pub wake: Option<Timestamp>,
}

/// The next change of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStep {
    /// Nothing is to be done now.
    Nothing,
    /// Record the namespace's UID.
    BindNamespace,
    /// Give what is stored under the namespace's name to the new one.
    AcceptNamespace,
    /// Make the key.
    Create,
    /// Record what the object says.
    Declare,
    /// Keep a key that was to be destroyed.
    CancelDeletion,
    /// Let the key work.
    Enable,
    /// Let the key refuse.
    Disable,
    /// Give the key a new version.
    Rotate,
}

/// The next step for one `EncryptionKey`.
#[must_use]
pub fn plan(facts: &KeyFacts, now: Timestamp) -> KeyPlan {
    let next_rotation = next_rotation(facts);
    let (step, verdict) = match decide(facts, next_rotation, now) {
        Ok(step) => (step, KeyVerdict::Working),
        Err(verdict) => (KeyStep::Nothing, verdict),
    };
    let wake = match &verdict {
        KeyVerdict::Blocked(block) => block.recheck().and_then(|after| now.checked_add(after).ok()),
        KeyVerdict::Ready { enabled: true } => next_rotation,
        KeyVerdict::Ready { enabled: false } | KeyVerdict::Working | KeyVerdict::Leaving => None,
    };
    KeyPlan {
        step,
        verdict,
        next_rotation,
        wake,
    }
}

/// A key counts from its last version; one that is not there yet has none.
fn next_rotation(facts: &KeyFacts) -> Option<Timestamp> {
    let every = facts.wanted.rotate_every.filter(|_| facts.wanted.enabled)?;
    facts.stored.as_ref()?.rotated.checked_add(every).ok()
}

/// A step to take, or else how things stand.
fn decide(facts: &KeyFacts, next_rotation: Option<Timestamp>, now: Timestamp) -> Result<KeyStep, KeyVerdict> {
    if facts.leaving {
        return Err(KeyVerdict::Leaving);
    }
    if facts.namespace.terminating {
        return Err(KeyVerdict::Blocked(KeyBlocker::NamespaceTerminating));
    }
    match &facts.namespace.binding {
        NamespaceBinding::Bound => {}
        NamespaceBinding::Unbound => return Ok(KeyStep::BindNamespace),
        NamespaceBinding::Recreated { recorded } if facts.namespace.accepts.as_ref() == Some(recorded) => {
            return Ok(KeyStep::AcceptNamespace);
        }
        NamespaceBinding::Recreated { recorded } => {
            return Err(KeyVerdict::Blocked(KeyBlocker::NamespaceRecreated {
                recorded: recorded.clone(),
            }));
        }
    }
    let Some(stored) = &facts.stored else {
        return Ok(KeyStep::Create);
    };
    match stored.state {
        KeyState::Destroyed => return Ok(KeyStep::Create),
        // The window is over, and the key as good as gone; the name is free when it is.
        KeyState::PendingDeletion { until } if now > until => {
            return Err(KeyVerdict::Blocked(KeyBlocker::Ending { until }));
        }
        // The object is there, so nobody wants the key destroyed.
        KeyState::PendingDeletion { .. } => return Ok(KeyStep::CancelDeletion),
        KeyState::Enabled | KeyState::Disabled => {}
    }
    if stored.declaration.as_ref() != Some(&facts.wanted.declaration) {
        return Ok(KeyStep::Declare);
    }
    match (stored.state, facts.wanted.enabled) {
        (KeyState::Enabled, false) => return Ok(KeyStep::Disable),
        (KeyState::Disabled, true) => return Ok(KeyStep::Enable),
        _ => {}
    }
    if next_rotation.is_some_and(|at| at <= now) {
        return Ok(KeyStep::Rotate);
    }
    Err(KeyVerdict::Ready {
        enabled: facts.wanted.enabled,
    })
}

/// Whether the absence of a key's object, long enough and proven, means that its destruction is scheduled:
/// only where nothing is lost by it, or a person accepted that while the object was last seen.
#[must_use]
pub const fn goes_with_its_object(dependents: u64, loss_accepted: bool) -> bool {
    dependents == 0 || loss_accepted
}
