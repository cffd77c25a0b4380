//! What the tests of the rules start from: an object that is new, one that is as wanted, and changes to them.

mod blocks;
mod claims;
mod renewal;
mod rotation;
mod steps;
mod walks;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::facts::*;
use super::plan::*;
use super::verdict::*;
use crate::generate::Differences;
use crate::native_secret::Drift;
use crate::object::{Namespace, NamespaceBinding};
use crate::rotation::{
    Coverage, CoveringSchedule, RotateNow, RotationRefusal, RotationState, RotationStep, RotationTrigger,
};
use crate::uid::Uid;

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_000_000 + seconds, 0).unwrap()
}

fn uid(text: &str) -> Uid {
    Uid::new(text)
}

/// A new object that wants generated keys and a native Secret, in a namespace that the store knows.
fn new() -> SecretFacts {
    SecretFacts {
        object: ObjectFacts {
            name: "db".to_owned(),
            uid: uid("object"),
            leaving: false,
            recorded: RecordedSecretId::Nothing,
            restore: None,
            purge: None,
            readopt: None,
            rotate_now: RotateNow::Nothing,
        },
        wanted: Ok(DesiredState {
            required_key: None,
            store_name: "db".to_owned(),
            source: ValueSource::Generate,
            key: None,
            native: Some(DesiredNative {
                name: "db".to_owned(),
                immutable: false,
            }),
            not_rotatable: None,
            labels: BTreeMap::new(),
            retain: false,
            description: String::new(),
            suspend: false,
        }),
        namespace: Namespace {
            uid: uid("ns"),
            terminating: false,
            accepts: None,
            binding: NamespaceBinding::Bound,
        },
        stored: StoredSecretState::Absent,
        native: NativeSecretState::Unread,
        import: ImportState::Unread,
        rotation: Coverage::None,
        certificate: None,
        product: None,
    }
}

fn secret() -> StoredSecret {
    StoredSecret {
        id: "abc".to_owned(),
        owner: Owner::ThisObject,
        labels: BTreeMap::new(),
        description: String::new(),
        other_key: false,
        retained: false,
        new_readers: false,
        differences: Differences::default(),
        unrenderable: None,
        materialized: Some(NativeSecretRef {
            name: "db".to_owned(),
            uid: uid("native"),
        }),
        former: None,
    }
}

fn native() -> ObservedNativeSecret {
    ObservedNativeSecret {
        marked: true,
        ..ObservedNativeSecret::new(uid("native"))
    }
}

/// An object that is as wanted.
fn settled() -> SecretFacts {
    SecretFacts {
        stored: StoredSecretState::Live(secret()),
        native: NativeSecretState::Present(native()),
        ..new()
    }
}

fn with(base: SecretFacts, change: impl FnOnce(&mut SecretFacts)) -> SecretFacts {
    let mut facts = base;
    change(&mut facts);
    facts
}

fn wanted(facts: &mut SecretFacts) -> &mut DesiredState {
    facts.wanted.as_mut().unwrap()
}

fn live(facts: &mut SecretFacts) -> &mut StoredSecret {
    match &mut facts.stored {
        StoredSecretState::Live(secret) | StoredSecretState::InRecoveryWindow { secret, .. } => secret,
        StoredSecretState::Absent => panic!("nothing is stored"),
    }
}

fn present(facts: &mut SecretFacts) -> &mut ObservedNativeSecret {
    match &mut facts.native {
        NativeSecretState::Present(native) => native,
        NativeSecretState::Absent | NativeSecretState::Unread => panic!("no native Secret"),
    }
}

fn under(facts: &mut SecretFacts, state: KeyState) {
    wanted(facts).key = Some(DesiredKey {
        name: "pay".to_owned(),
        state,
    });
}

fn import(facts: &mut SecretFacts, name: &str) {
    wanted(facts).source = ValueSource::Import {
        secret: name.to_owned(),
    };
    wanted(facts).not_rotatable = Some(RotationRefusal::Imported);
}

fn missing(facts: &mut SecretFacts) {
    live(facts).differences.missing.push("new".to_owned());
}

fn scheduled(seconds: i64) -> Coverage {
    Coverage::One(CoveringSchedule {
        name: "monthly".to_owned(),
        uid: uid("schedule"),
        suspended: false,
        refusal: None,
        due: Ok(Some(at(seconds))),
    })
}
