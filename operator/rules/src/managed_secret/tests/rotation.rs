//! What keeps an object from rotating, and what it says.

use super::*;

#[test]
fn a_rotation_says_why_it_does_not_happen() {
    let imported = |f: &mut SecretFacts| import(f, "old");
    let literal = |f: &mut SecretFacts| wanted(f).not_rotatable = Some(RotationRefusal::OnlyLiterals);
    let suspended = |f: &mut SecretFacts| {
        if let Coverage::One(covering) = &mut f.rotation {
            covering.suspended = true;
        }
    };
    let due = || with(settled(), |f| f.rotation = scheduled(0));
    for facts in [with(due(), imported), with(due(), literal)] {
        let plan = plan(&facts, at(0));
        assert_eq!(plan.step, SecretStep::Nothing);
        assert!(
            matches!(plan.rotation, RotationState::Impossible(_)),
            "{:?}",
            plan.rotation
        );
    }
    let plan_of = |facts: SecretFacts| plan(&facts, at(0)).rotation;
    assert_eq!(
        plan_of(with(due(), suspended)),
        RotationState::Suspended {
            schedule: "monthly".to_owned()
        }
    );
    let conflict = RotationState::Conflict(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(
        plan_of(with(due(), |f| f.rotation =
            Coverage::Conflict(vec!["a".to_owned(), "b".to_owned()]))),
        conflict
    );
    assert_eq!(conflict.to_string().matches('`').count(), 6);
    let later = plan(&with(settled(), |f| f.rotation = scheduled(70)), at(0));
    assert_eq!(later.wake, Some(at(70)));
    assert_eq!(later.rotation.next(), Some(at(70)));
}

#[test]
fn a_rotation_that_is_asked_for_is_refused_as_one_that_is_due() {
    let asked = || {
        with(settled(), |f| {
            f.object.rotate_now = RotateNow::Asked("please".to_owned());
            f.rotation = scheduled(60);
        })
    };
    let covering = |f: &mut SecretFacts, change: &dyn Fn(&mut CoveringSchedule)| match &mut f.rotation {
        Coverage::One(covering) => change(covering),
        Coverage::None | Coverage::Conflict(_) => unreachable!(),
    };
    let wrong = RotationRefusal::UnknownKey {
        schedule: "monthly".to_owned(),
        key: "passwrd".to_owned(),
        made: vec!["password".to_owned()],
    };
    let immutable = RotationRefusal::Immutable { asker: None };
    let by_whom = |asker: &str| {
        RotationState::Impossible(RotationRefusal::Immutable {
            asker: Some(asker.to_owned()),
        })
    };
    for (facts, expected) in [
        (
            with(asked(), |f| covering(f, &|c| c.suspended = true)),
            RotationState::Suspended {
                schedule: "monthly".to_owned(),
            },
        ),
        (
            with(asked(), |f| covering(f, &|c| c.refusal = Some(wrong.clone()))),
            RotationState::Impossible(wrong.clone()),
        ),
        (
            with(asked(), |f| wanted(f).not_rotatable = Some(immutable.clone())),
            by_whom("the annotation `strongroom.dev/rotate-now`"),
        ),
        (
            with(settled(), |f| {
                wanted(f).not_rotatable = Some(immutable.clone());
                f.rotation = scheduled(-1);
            }),
            by_whom("RotationSchedule `monthly`"),
        ),
    ] {
        let plan = plan(&facts, at(0));
        assert_eq!((plan.step, plan.rotation), (SecretStep::Nothing, expected));
    }
    // A schedule whose time means nothing does not keep a person from rotating now.
    let odd = with(asked(), |f| covering(f, &|c| c.due = Err("no zone".to_owned())));
    assert_eq!(
        plan(&odd, at(0)).step,
        SecretStep::Rotate(RotationStep::Promote(RotationTrigger::Asked("please".to_owned())))
    );
}

#[test]
fn a_blocked_object_does_not_rotate() {
    let facts = with(settled(), |f| {
        present(f).uid = uid("foreign");
        present(f).marked = false;
        f.rotation = scheduled(-60);
    });
    let plan = plan(&facts, at(0));
    assert_eq!(plan.step, SecretStep::Nothing);
    assert!(matches!(plan.rotation, RotationState::Due(_)));
}
