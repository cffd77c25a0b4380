//! What the tests of the rules start from: an object that is new, one that is as wanted, and changes to them.

mod blocks;
mod renewal;
mod steps;
mod walks;

use std::collections::BTreeMap;

use super::facts::*;
use super::plan::*;
use super::verdict::*;
use crate::generate::Differences;
use crate::native_secret::Drift;
use crate::rotation_schedule::{Coverage, Covering, Refusal};
use crate::uid::Uid;
use jiff::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_000_000 + seconds, 0).unwrap()
}

fn uid(text: &str) -> Uid {
    Uid::new(text)
}

/// A new object that wants generated keys and a native Secret, in a namespace that the store knows.
fn new() -> Facts {
    Facts {
        object: Object {
            name: "db".to_owned(),
            uid: uid("object"),
            leaving: false,
            recorded: Recorded::Nothing,
            restore: None,
            purge: None,
            readopt: None,
            rotate_now: RotateNow::Nothing,
        },
        wanted: Ok(Wanted {
            required_key: None,
            store_name: "db".to_owned(),
            source: Source::Generate,
            key: None,
            native: Some(WantedNative {
                name: "db".to_owned(),
                immutable: false,
            }),
            not_rotatable: None,
            labels: BTreeMap::new(),
            description: String::new(),
            suspend: false,
        }),
        namespace: Namespace {
            uid: uid("ns"),
            terminating: false,
            accepts: None,
            binding: NamespaceBinding::Bound,
        },
        stored: Stored::Absent,
        native: Native::Unread,
        import: Import::Unread,
        rotation: Coverage::None,
        certificate: None,
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
        materialized: Some(Materialized {
            name: "db".to_owned(),
            uid: uid("native"),
        }),
        former: None,
    }
}

fn native() -> NativeSecret {
    NativeSecret {
        marked: true,
        ..NativeSecret::new(uid("native"))
    }
}

/// An object that is as wanted.
fn settled() -> Facts {
    Facts {
        stored: Stored::Live(secret()),
        native: Native::Present(native()),
        ..new()
    }
}

fn with(base: Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = base;
    change(&mut facts);
    facts
}

fn wanted(facts: &mut Facts) -> &mut Wanted {
    facts.wanted.as_mut().unwrap()
}

fn live(facts: &mut Facts) -> &mut StoredSecret {
    match &mut facts.stored {
        Stored::Live(secret) | Stored::InRecoveryWindow { secret, .. } => secret,
        Stored::Absent => panic!("nothing is stored"),
    }
}

fn present(facts: &mut Facts) -> &mut NativeSecret {
    match &mut facts.native {
        Native::Present(native) => native,
        Native::Absent | Native::Unread => panic!("no native Secret"),
    }
}

fn under(facts: &mut Facts, state: KeyState) {
    wanted(facts).key = Some(WantedKey {
        name: "pay".to_owned(),
        state,
    });
}

fn import(facts: &mut Facts, name: &str) {
    wanted(facts).source = Source::Import {
        secret: name.to_owned(),
    };
    wanted(facts).not_rotatable = Some(Refusal::Imported);
}

fn missing(facts: &mut Facts) {
    live(facts).differences.missing.push("new".to_owned());
}

fn scheduled(seconds: i64) -> Coverage {
    Coverage::One(Covering {
        name: "monthly".to_owned(),
        uid: uid("schedule"),
        suspended: false,
        refusal: None,
        due: Ok(Some(at(seconds))),
    })
}
