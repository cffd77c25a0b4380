//! What the native Secret needs: one of our own is created, repaired, replaced or removed, and what somebody
//! else has is left alone.

use jiff::Timestamp;

use super::{NativeStep, SecretStep, Stop, readopts};
use crate::managed_secret::facts::{
    DesiredState, Holder, NativeSecretRef, NativeSecretState, ObservedNativeSecret, SecretFacts,
    StoredSecret, StoredSecretState,
};
use crate::managed_secret::verdict::SecretBlocker;
use crate::native_secret::owners::Part;
use crate::native_secret::{Drift, ImmutableField};

/// The immutable native Secret whose value a new version would change: it keeps the value that it holds.
pub fn immutable_native(facts: &SecretFacts) -> Option<&str> {
    let (Ok(wanted), StoredSecretState::Live(secret), NativeSecretState::Present(found)) =
        (&facts.wanted, &facts.stored, &facts.native)
    else {
        return None;
    };
    let (target, ours) = (wanted.native.as_ref()?, secret.materialized.as_ref()?);
    let keeps = target.immutable && found.immutable && target.name == ours.name && ours.uid == found.uid;
    keeps.then_some(ours.name.as_str())
}

pub(super) fn native(
    facts: &SecretFacts,
    wanted: &DesiredState,
    secret: &StoredSecret,
    now: Timestamp,
) -> Result<(), Stop> {
    let ours = secret.materialized.as_ref();
    // A finished rename: the new Secret is recorded, and the old one is deleted.
    if let Some(former) = &secret.former
        && ours.is_none_or(|ours| ours.uid != former.uid)
    {
        return Err(remove(former).into());
    }
    let Some(target) = &wanted.native else {
        return ours.map_or(Ok(()), |old| Err(remove(old).into()));
    };
    let found = match &facts.native {
        NativeSecretState::Present(found) => found,
        // A rename writes the new one before the old one goes.
        NativeSecretState::Absent | NativeSecretState::Unread => {
            return Err(SecretStep::Native(NativeStep::Create).into());
        }
    };
    if let Some(finalizers) = &found.terminating {
        return Err(SecretBlocker::NativeTerminating {
            name: target.name.clone(),
            finalizers: finalizers.clone(),
        }
        .into());
    }
    let of_this_name = ours.filter(|ours| ours.name == target.name);
    if of_this_name.is_some_and(|ours| ours.uid == found.uid) {
        return owned(found, &target.name, now);
    }
    // Its content is in the store because somebody asked for that, or our create succeeded and the record of
    // it was lost.
    let taken_over = of_this_name.is_none() && (found.recorded || readopts(facts));
    let created = found.drift.is_none() && found.marked;
    if taken_over || created {
        return Err(SecretStep::Native(NativeStep::Adopt {
            uid: found.uid.clone(),
        })
        .into());
    }
    match (&found.holder, ours) {
        // Each of several objects waits for another one's name: it takes one that lets go.
        (Some(Holder { exchange: true, .. }), Some(old)) if old.name != target.name => {
            Err(remove(old).into())
        }
        (holder, _) => Err(SecretBlocker::TargetNotOwned {
            name: target.name.clone(),
            holder: holder.clone(),
        }
        .into()),
    }
}

fn remove(native: &NativeSecretRef) -> SecretStep {
    SecretStep::Native(NativeStep::Remove {
        name: native.name.clone(),
        uid: native.uid.clone(),
    })
}

/// What a Secret of ours still needs. What others change is put back, later each time while they insist.
fn owned(found: &ObservedNativeSecret, name: &str, now: Timestamp) -> Result<(), Stop> {
    let Some(drift) = found.drift else {
        return Ok(());
    };
    if let Some(until) = found.repair_from.filter(|until| *until > now) {
        let name = name.to_owned();
        if !found.edits.is_empty() {
            let edits = found.edits.clone();
            return Err(SecretBlocker::NativeContested { name, edits, until }.into());
        }
        if !found.mutated.is_empty() {
            let keys = found.mutated.clone();
            return Err(SecretBlocker::NativeMutated { name, keys, until }.into());
        }
    }
    let uid = found.uid.clone();
    Err(match drift {
        Drift::Content => SecretStep::Native(NativeStep::Apply { uid }).into(),
        Drift::Replace if found.marked && keeps_data(found) => SecretBlocker::ImmutableContent {
            name: name.to_owned(),
        }
        .into(),
        Drift::Replace if found.marked => SecretStep::Native(NativeStep::Replace { uid }).into(),
        // We never wrote it: it was taken over, or somebody replaced it.
        Drift::Replace => SecretBlocker::ReplacementUnasked {
            name: name.to_owned(),
            fixed: found.fixed.clone(),
        }
        .into(),
    })
}

/// Whether this Secret of ours keeps its data: it is immutable, stays so, and it is not others who changed
/// them. So it is whatever brings the new ones.
fn keeps_data(found: &ObservedNativeSecret) -> bool {
    let by_others = !found.mutated.is_empty() || found.edits.iter().any(|edit| edit.key.part == Part::Data);
    found.fixed.contains(&ImmutableField::Data)
        && !found.fixed.contains(&ImmutableField::Immutable)
        && !by_others
}
