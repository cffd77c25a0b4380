use proptest::prelude::*;

use super::*;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn at(days: i64) -> Timestamp {
    Timestamp::from_second(1_795_465_320 + days * 86_400).unwrap()
}

fn declaration(uid: &str) -> Declaration {
    Declaration {
        uid: Uid::new(uid),
        window_days: 30,
        loss_accepted: false,
    }
}

/// A key that is as wanted.
fn settled() -> KeyFacts {
    KeyFacts {
        leaving: false,
        wanted: DesiredKeyState {
            enabled: true,
            rotate_every: None,
            declaration: declaration("object"),
        },
        namespace: Namespace {
            uid: Uid::new("ns"),
            terminating: false,
            accepts: None,
            binding: NamespaceBinding::Bound,
        },
        stored: Some(StoredKey {
            state: KeyState::Enabled,
            rotated: at(0),
            declaration: Some(declaration("object")),
        }),
    }
}

fn with(change: impl FnOnce(&mut KeyFacts)) -> KeyFacts {
    let mut facts = settled();
    change(&mut facts);
    facts
}

fn stored(facts: &mut KeyFacts) -> &mut StoredKey {
    facts.stored.as_mut().unwrap()
}

#[test]
fn each_state_has_its_one_next_step() {
    let recreated = || NamespaceBinding::Recreated {
        recorded: Uid::new("older"),
    };
    let table = [
        ("as wanted", settled(), KeyStep::Nothing),
        (
            "leaving",
            with(|f| (f.leaving, f.stored) = (true, None)),
            KeyStep::Nothing,
        ),
        (
            "unknown namespace",
            with(|f| f.namespace.binding = NamespaceBinding::Unbound),
            KeyStep::BindNamespace,
        ),
        (
            "namespace made again",
            with(|f| f.namespace.binding = recreated()),
            KeyStep::Nothing,
        ),
        (
            "namespace accepted",
            with(|f| {
                f.namespace.binding = recreated();
                f.namespace.accepts = Some(Uid::new("older"));
            }),
            KeyStep::AcceptNamespace,
        ),
        (
            "terminating",
            with(|f| (f.namespace.terminating, f.stored) = (true, None)),
            KeyStep::Nothing,
        ),
        ("new", with(|f| f.stored = None), KeyStep::Create),
        (
            "destroyed",
            with(|f| stored(f).state = KeyState::Destroyed),
            KeyStep::Create,
        ),
        (
            "declared by nobody",
            with(|f| stored(f).declaration = None),
            KeyStep::Declare,
        ),
        (
            "declared by an older object",
            with(|f| stored(f).declaration = Some(declaration("older"))),
            KeyStep::Declare,
        ),
        (
            "consent to a loss",
            with(|f| f.wanted.declaration.loss_accepted = true),
            KeyStep::Declare,
        ),
        ("to disable", with(|f| f.wanted.enabled = false), KeyStep::Disable),
        (
            "to enable",
            with(|f| stored(f).state = KeyState::Disabled),
            KeyStep::Enable,
        ),
        (
            "to keep",
            with(|f| stored(f).state = KeyState::PendingDeletion { until: at(101) }),
            KeyStep::CancelDeletion,
        ),
        (
            "too late to keep",
            with(|f| stored(f).state = KeyState::PendingDeletion { until: at(99) }),
            KeyStep::Nothing,
        ),
        (
            "to rotate",
            with(|f| f.wanted.rotate_every = Some(DAY * 100)),
            KeyStep::Rotate,
        ),
        (
            "to rotate tomorrow",
            with(|f| f.wanted.rotate_every = Some(DAY * 101)),
            KeyStep::Nothing,
        ),
        (
            "not to rotate while disabled",
            with(|f| {
                (f.wanted.rotate_every, f.wanted.enabled) = (Some(DAY * 100), false);
                stored(f).state = KeyState::Disabled;
            }),
            KeyStep::Nothing,
        ),
    ];
    for (what, facts, step) in table {
        assert_eq!(plan(&facts, at(100)).step, step, "{what}");
    }
}

#[test]
fn it_wakes_for_the_next_version_and_says_when() {
    let plan_of = |facts: &KeyFacts| {
        let plan = plan(facts, at(3));
        (plan.next_rotation, plan.wake)
    };
    assert_eq!(plan_of(&settled()), (None, None));
    let rotating = with(|f| f.wanted.rotate_every = Some(DAY * 7));
    assert_eq!(plan_of(&rotating), (Some(at(7)), Some(at(7))));
    let disabled = with(|f| {
        (f.wanted.rotate_every, f.wanted.enabled) = (Some(DAY * 7), false);
        stored(f).state = KeyState::Disabled;
    });
    assert_eq!(plan_of(&disabled), (None, None));
    let ending = with(|f| stored(f).state = KeyState::PendingDeletion { until: at(2) });
    assert_eq!(
        plan(&ending, at(3)).wake,
        at(3).checked_add(SignedDuration::from_mins(1)).ok()
    );
}

#[test]
fn a_key_goes_with_its_object_only_where_nothing_is_lost_unasked() {
    assert!(goes_with_its_object(0, false));
    assert!(goes_with_its_object(1, true));
    assert!(!goes_with_its_object(1, false));
}

#[test]
fn what_is_said_fits_the_state() {
    let say = |facts: &KeyFacts| {
        let standing = plan(facts, at(3)).verdict.ready_summary(2)?;
        Some((standing.ready.as_str(), standing.reason.as_str()))
    };
    assert_eq!(say(&settled()), Some(("True", "Ready")));
    let disabled = with(|f| {
        f.wanted.enabled = false;
        stored(f).state = KeyState::Disabled;
    });
    assert_eq!(say(&disabled), Some(("True", "KeyDisabled")));
    let ending = with(|f| stored(f).state = KeyState::PendingDeletion { until: at(2) });
    assert_eq!(say(&ending), Some(("False", "KeyNotReady")));
    assert_eq!(say(&with(|f| f.leaving = true)), None);
}

proptest! {
    #[test]
    fn every_walk_ends(state in 0..5, enabled: bool, declared in 0..3, rotates: bool, bound: bool) {
        let mut facts = with(|f| {
            f.wanted.enabled = enabled;
            f.wanted.rotate_every = rotates.then_some(DAY * 7);
            if !bound { f.namespace.binding = NamespaceBinding::Unbound; }
            match state {
                0 => f.stored = None,
                1 => stored(f).state = KeyState::Disabled,
                2 => stored(f).state = KeyState::PendingDeletion { until: at(200) },
                3 => stored(f).state = KeyState::Destroyed,
                _ => {}
            }
            if let Some(stored) = &mut f.stored {
                stored.declaration = match declared { 0 => None, 1 => Some(declaration("older")), _ => Some(declaration("object")) };
            }
        });
        for _ in 0..8 {
            let step = plan(&facts, at(100)).step;
            match step {
                KeyStep::Nothing => break,
                KeyStep::BindNamespace | KeyStep::AcceptNamespace => facts.namespace.binding = NamespaceBinding::Bound,
                KeyStep::Create => {
                    facts.stored = Some(StoredKey { state: KeyState::Enabled, rotated: at(100), declaration: None });
                }
                KeyStep::Declare => stored(&mut facts).declaration = Some(declaration("object")),
                KeyStep::CancelDeletion | KeyStep::Enable => stored(&mut facts).state = KeyState::Enabled,
                KeyStep::Disable => stored(&mut facts).state = KeyState::Disabled,
                KeyStep::Rotate => stored(&mut facts).rotated = at(100),
            }
        }
        let plan = plan(&facts, at(100));
        prop_assert_eq!(plan.step, KeyStep::Nothing);
        prop_assert_eq!(plan.verdict, KeyVerdict::Ready { enabled });
        let expected = if enabled { KeyState::Enabled } else { KeyState::Disabled };
        prop_assert_eq!(facts.stored.unwrap().state, expected);
    }
}
