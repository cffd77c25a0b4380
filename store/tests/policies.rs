//! Access policies in force: the next process knows what the last one knew of them, and a start that changes
//! nothing writes nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use strongroom_store::audit::Action;
use strongroom_store::vault::*;
use support::*;

fn policy(name: &str, generation: i64) -> EnforcedPolicy {
    EnforcedPolicy {
        uid: format!("uid-of-{name}").parse().unwrap(),
        namespace: "shop".parse().unwrap(),
        name: name.to_owned(),
        generation,
        statements: format!("generation {generation} of {name}").into_bytes(),
    }
}

fn keep(f: &Fixture, policy: EnforcedPolicy) {
    f.store.run(EnforcePolicy(policy), meta()).unwrap();
}

fn kept(f: &Fixture) -> Vec<EnforcedPolicy> {
    let mut kept = f.store.policies().unwrap();
    assert_eq!(kept.unreadable, 0);
    kept.policies.sort_by(|one, other| one.name.cmp(&other.name));
    kept.policies
}

#[test]
fn what_is_in_force_outlives_the_process_and_a_backup() {
    let f = Fixture::new();
    for policy in [policy("a", 1), policy("b", 7), policy("a", 2), policy("gone", 1)] {
        keep(&f, policy);
    }
    f.store.run(RemovePolicy(policy("gone", 1).uid), meta()).unwrap();
    let stream = backup_of(&f.store);
    let f = f.reopen();
    assert_eq!(kept(&f), [policy("a", 2), policy("b", 7)]);

    let place = f.keep.path().join("restored");
    restore_into(&place, &stream, true).unwrap();
    let restored = try_open(&place, AnchorRule::Accept).unwrap();
    assert_eq!(restored.policies().unwrap(), f.store.policies().unwrap());
    restored.close();
    let (_keep, dir) = f.close();
    let report = check(&dir, Some(&root(&dir))).unwrap();
    assert!(report.is_sound() && report.policies == 2, "{report}");
}

#[test]
fn the_same_again_writes_nothing_and_every_change_is_on_record() {
    let f = Fixture::new();
    keep(&f, policy("a", 1));
    let before = f.store.anchor().counter;
    keep(&f, policy("a", 1));
    f.store.run(RemovePolicy(policy("b", 1).uid), meta()).unwrap();
    assert_eq!(f.store.anchor().counter, before);
    // The same number with other statements: the objects came out of a backup of theirs.
    let other = EnforcedPolicy {
        statements: b"other".to_vec(),
        ..policy("a", 1)
    };
    keep(&f, other.clone());
    assert_eq!(kept(&f), [other]);
    f.store.run(RemovePolicy(policy("a", 1).uid), meta()).unwrap();
    assert_eq!(kept(&f), []);
    let told: Vec<(Action, String)> = f
        .store
        .mutations_after(0, 100)
        .unwrap()
        .into_iter()
        .map(|(_, entry)| (entry.action, entry.detail))
        .filter(|(action, _)| matches!(action, Action::EnforcePolicy | Action::RemovePolicy))
        .collect();
    let of_one = "generation 1 of policy a".to_owned();
    assert_eq!(
        told,
        [
            (Action::EnforcePolicy, of_one.clone()),
            (Action::EnforcePolicy, of_one.clone()),
            (Action::RemovePolicy, of_one),
        ]
    );
}

#[test]
fn a_request_that_comes_again_late_brings_nothing_back() {
    let f = Fixture::new();
    let late = meta();
    f.store.run(EnforcePolicy(policy("a", 1)), late.clone()).unwrap();
    keep(&f, policy("a", 2));
    f.store.run(EnforcePolicy(policy("a", 1)), late).unwrap();
    assert_eq!(kept(&f), [policy("a", 2)]);
    let late = meta();
    f.store
        .run(RemovePolicy(policy("a", 2).uid), late.clone())
        .unwrap();
    keep(&f, policy("a", 3));
    f.store.run(RemovePolicy(policy("a", 3).uid), late).unwrap();
    assert_eq!(kept(&f), [policy("a", 3)]);
}

#[test]
fn what_is_too_long_is_refused() {
    let f = Fixture::new();
    for too_long in [
        EnforcedPolicy {
            statements: vec![b'x'; EnforcedPolicy::MAX_STATEMENTS_BYTES + 1],
            ..policy("a", 1)
        },
        EnforcedPolicy {
            name: "x".repeat(254),
            ..policy("a", 1)
        },
    ] {
        assert_eq!(f.refused(EnforcePolicy(too_long)), "MetadataTooLarge");
    }
    let longest = EnforcedPolicy {
        statements: vec![b'x'; EnforcedPolicy::MAX_STATEMENTS_BYTES],
        ..policy("a", 1)
    };
    keep(&f, longest.clone());
    let f = f.reopen();
    assert_eq!(kept(&f), [longest]);
}
