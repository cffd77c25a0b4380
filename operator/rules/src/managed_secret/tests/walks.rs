//! Properties of the whole walk: a small world in which each step is carried out.

use std::collections::BTreeMap;

use proptest::prelude::*;

use strongroom_crds::condition::Reason;

use super::*;
use crate::native_secret::edits::Key;
use crate::native_secret::owners::Part;

/// Carries a step out in the facts, as the store and the API server would.
fn carry_out(facts: &mut Facts, step: &Step) {
    let imported = |facts: &Facts| {
        matches!(
            &facts.wanted,
            Ok(Wanted {
                source: Source::Import { .. },
                ..
            })
        )
    };
    match step {
        Step::Nothing => {}
        Step::BindNamespace | Step::AcceptNamespace => facts.namespace.binding = NamespaceBinding::Bound,
        Step::BindObject => live(facts).owner = Owner::ThisObject,
        Step::CreateSecret(first) => {
            let labels = wanted(facts).labels.clone();
            let description = wanted(facts).description.clone();
            facts.stored = Stored::Live(StoredSecret {
                labels,
                description,
                materialized: None,
                ..secret()
            });
            let same = imported(facts)
                && facts.wanted.as_ref().unwrap().native.as_ref().is_some_and(|native| {
                    matches!(&facts.wanted, Ok(Wanted { source: Source::Import { secret }, .. }) if *secret == native.name)
                });
            if let Native::Present(native) = &mut facts.native {
                native.recorded = *first == First::Readopted || same;
            }
        }
        Step::UpdateKey => live(facts).other_key = false,
        Step::UpdateMetadata => {
            live(facts).labels = wanted(facts).labels.clone();
            live(facts).description = wanted(facts).description.clone();
        }
        Step::EnsureVersion(why) => {
            live(facts).differences = Differences::default();
            if let Native::Present(native) = &mut facts.native {
                native.drift = Some(Drift::Content);
                native.recorded |= *why == Why::Imported;
            }
            match why {
                Why::Due { .. } => facts.rotation = scheduled(1_000),
                Why::Asked(_) => facts.object.rotate_now = RotateNow::Nothing,
                Why::Certificate(_) => facts.certificate = None,
                Why::SpecChanged | Why::Imported => {}
            }
        }
        Step::TakeSealed => {
            assert_eq!(wanted(facts).source, Source::Sealed { taken: false });
            wanted(facts).source = Source::Sealed { taken: true };
        }
        Step::Restore => facts.stored = Stored::Live(live(facts).clone()),
        Step::Purge => facts.stored = Stored::Absent,
        Step::Native(step) => match step {
            NativeStep::Create => {
                // A create on a taken name fails and makes the Secret known; a free name is ours.
                let name = facts
                    .wanted
                    .as_ref()
                    .unwrap()
                    .native
                    .as_ref()
                    .unwrap()
                    .name
                    .clone();
                assert!(
                    !matches!(facts.native, Native::Present(_)),
                    "a create over a known Secret"
                );
                record(
                    facts,
                    Materialized {
                        name,
                        uid: uid("created"),
                    },
                );
                facts.native = Native::Present(NativeSecret {
                    uid: uid("created"),
                    ..native()
                });
            }
            NativeStep::Adopt { uid } => {
                let name = facts
                    .wanted
                    .as_ref()
                    .unwrap()
                    .native
                    .as_ref()
                    .unwrap()
                    .name
                    .clone();
                let uid = uid.clone();
                record(facts, Materialized { name, uid });
            }
            NativeStep::Apply { uid } => {
                assert_eq!(
                    live(facts).materialized.as_ref().map(|ours| &ours.uid),
                    Some(uid),
                    "an apply to what is not ours"
                );
                present(facts).drift = None;
            }
            NativeStep::Replace { uid } => {
                assert_eq!(
                    live(facts).materialized.as_ref().map(|ours| &ours.uid),
                    Some(uid),
                    "a delete of what is not ours"
                );
                assert!(present(facts).marked, "a replacement of what we never wrote");
                let name = live(facts).materialized.clone().unwrap().name;
                live(facts).materialized = Some(Materialized {
                    name,
                    uid: super::uid("made again"),
                });
                facts.native = Native::Present(NativeSecret {
                    uid: super::uid("made again"),
                    ..native()
                });
            }
            NativeStep::Hold { uid } => {
                assert_eq!(
                    live(facts).materialized.as_ref().map(|ours| &ours.uid),
                    Some(uid),
                    "a mark on what is not ours"
                );
                present(facts).held = true;
            }
            NativeStep::Remove { uid, .. } => {
                let secret = live(facts);
                let is =
                    |native: &Option<Materialized>| native.as_ref().is_some_and(|native| native.uid == *uid);
                assert!(
                    is(&secret.materialized) || is(&secret.former),
                    "a delete of what is not ours"
                );
                if is(&secret.former) {
                    secret.former = None;
                } else {
                    secret.materialized = None;
                }
            }
        },
    }
}

/// The native Secret of this name is ours from now on; another one that was, goes.
fn record(facts: &mut Facts, native: Materialized) {
    let secret = live(facts);
    let before = secret.materialized.replace(native);
    if let Some(before) = before.filter(|before| {
        secret
            .materialized
            .as_ref()
            .is_some_and(|now| now.name != before.name)
    }) {
        secret.former = Some(before);
    }
}

prop_compose! {
    fn any_native()(
        ours: bool, drift in 0..3, marked: bool, recorded: bool, immutable: bool, terminating in 0..8, held_by in 0..4, repair in 0..4_i64,
    ) -> NativeSecret {
        NativeSecret {
            drift: match drift { 0 => None, 1 => Some(Drift::Content), _ => Some(Drift::Replace) },
            marked, recorded, immutable,
            terminating: (terminating == 0).then(|| vec!["example.com/hold".to_owned()]),
            holder: (held_by > 0 && !ours).then(|| Holder { name: "other".to_owned(), gives_up: held_by > 1, exchange: held_by > 2 }),
            mutated: if repair == 1 { vec![Key { part: Part::Data, name: "extra".to_owned() }] } else { Vec::new() },
            repair_from: (repair > 0).then(|| at(repair - 2)),
            ..NativeSecret::new(uid(if ours { "native" } else { "foreign" }))
        }
    }
}

prop_compose! {
    fn any_stored()(
        state in 0..4, owner in 0..5, labelled: bool, missing: bool, broken in 0..8, materialized in 0..3, former in 0..6,
    ) -> Stored {
        let secret = StoredSecret {
            owner: match owner { 4 => Owner::Nobody, 0 => Owner::Rival("other".to_owned()), 1 => Owner::GoneObject, _ => Owner::ThisObject },
            description: if labelled { "for the shop".to_owned() } else { String::new() },
            labels: if labelled { BTreeMap::from([("a".to_owned(), "b".to_owned())]) } else { BTreeMap::new() },
            differences: Differences { missing: if missing { vec!["new".to_owned()] } else { vec![] }, ..Differences::default() },
            unrenderable: (broken == 0).then(|| InvalidSpec { reason: Reason::SourceInvalid, field: "spec".to_owned(), problem: "broken".to_owned() }),
            materialized: match materialized {
                0 => None,
                1 => secret().materialized,
                _ => Some(Materialized { name: "before".to_owned(), uid: uid("native") }),
            },
            former: (former == 0).then(|| Materialized { name: "former".to_owned(), uid: uid("former") }),
            ..secret()
        };
        match state { 0 => Stored::Absent, 1 => Stored::InRecoveryWindow { secret, until: at(9) }, _ => Stored::Live(secret) }
    }
}

prop_compose! {
    fn any_plain()(
        stored in any_stored(), native in any_native(), looked in 0..3, source in 0..7, wants_native: bool, suspend in 0..8,
        binding in 0..5, accepts: bool, recorded in 0..5, asks in 0..8, import in 0..3, rotation in 0..4,
    ) -> Facts {
        let mut facts = new();
        facts.stored = stored;
        facts.native = match looked { 0 => Native::Absent, 1 => Native::Unread, _ => Native::Present(native) };
        let wanted = facts.wanted.as_mut().unwrap();
        wanted.source = match source {
            0 => Source::Import { secret: "db".to_owned() },
            1 => Source::Import { secret: "old".to_owned() },
            4 => Source::External { wait: wants_native },
            5 | 6 => Source::Sealed { taken: source == 5 },
            _ => Source::Generate,
        };
        wanted.not_rotatable = (source != 2).then_some(Refusal::OnlyLiterals);
        if let Some(native) = &mut wanted.native { native.immutable = suspend % 2 == 0; }
        if !wants_native { wanted.native = None; }
        wanted.suspend = suspend == 0;
        facts.namespace.binding = match binding {
            0 => NamespaceBinding::Unbound,
            1 => NamespaceBinding::Recreated { recorded: uid("older") },
            _ => NamespaceBinding::Bound,
        };
        if accepts { facts.namespace.accepts = Some(uid("older")); }
        facts.object.recorded = match recorded { 0 => Recorded::Unknown("lost".to_owned()), 1 => Recorded::Known, _ => Recorded::Nothing };
        match asks {
            0 => facts.object.restore = Some("abc".to_owned()),
            1 => facts.object.purge = Some("abc".to_owned()),
            2 => facts.object.readopt = Some("lost".to_owned()),
            3 => facts.object.purge = Some("lost".to_owned()),
            4 => facts.object.rotate_now = RotateNow::Asked("please".to_owned()),
            _ => {}
        }
        facts.import = match import {
            0 => Import::Absent,
            1 => Import::Present { refusal: Some("its type".to_owned()) },
            _ => Import::Present { refusal: None },
        };
        facts.rotation = match rotation { 0 => scheduled(-1), 1 => scheduled(60), _ => Coverage::None };
        // A create on an unread name either succeeds or makes it known; here it succeeds, so only consistent worlds are kept.
        if let (Stored::Absent | Stored::InRecoveryWindow { .. }, Native::Unread) = (&facts.stored, &facts.native) {
            facts.native = Native::Absent;
        }
        facts
    }
}

prop_compose! {
    fn any_facts()(facts in any_plain(), state in 0..8, other_key: bool, held: bool) -> Facts {
        let mut facts = facts;
        let state = match state {
            0 => Some(KeyState::Absent),
            1 => Some(KeyState::Enabled),
            2 => Some(KeyState::ObjectMissing),
            3 => Some(KeyState::Disabled),
            4 => Some(KeyState::PendingDeletion(at(9))),
            _ => None,
        };
        wanted(&mut facts).key = state.map(|state| WantedKey { name: "pay".to_owned(), state });
        if let Stored::Live(secret) = &mut facts.stored { secret.other_key = other_key; }
        if let Native::Present(native) = &mut facts.native { native.held = held; }
        facts
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_walk_ends_and_stays_ended(facts in any_facts()) {
        let mut facts = facts;
        let mut steps = Vec::new();
        loop {
            let next = plan(&facts, at(0));
            if next.step == Step::Nothing {
                prop_assert_ne!(&next.verdict, &Verdict::Working);
                prop_assert_eq!(plan(&facts, at(0)), next);
                break;
            }
            carry_out(&mut facts, &next.step);
            steps.push(next.step);
            prop_assert!(steps.len() <= 12, "no end: {:?}", steps);
        }
    }

    #[test]
    fn nothing_of_others_is_written(facts in any_facts()) {
        let (ours, former) = match &facts.stored {
            Stored::Live(secret) => (secret.materialized.clone(), secret.former.clone()),
            _ => (None, None),
        };
        match plan(&facts, at(0)).step {
            Step::Native(NativeStep::Apply { uid } | NativeStep::Replace { uid }) => {
                prop_assert_eq!(Some(uid), ours.map(|ours| ours.uid));
            }
            Step::Native(NativeStep::Remove { uid, .. }) => {
                prop_assert!(ours.into_iter().chain(former).any(|recorded| recorded.uid == uid));
            }
            Step::Native(NativeStep::Create) => prop_assert!(!matches!(facts.native, Native::Present(_))),
            _ => {}
        }
    }

    #[test]
    fn under_a_key_that_refuses_nothing_is_made_read_or_written(facts in any_facts()) {
        let refuses = matches!(
            facts.wanted.as_ref().unwrap().key,
            Some(WantedKey { state: KeyState::Absent | KeyState::Disabled | KeyState::PendingDeletion(_), .. })
        );
        let plan = plan(&facts, at(0));
        let changes = matches!(
            plan.step,
            Step::CreateSecret(First::Generated | First::Imported | First::Sealed) | Step::EnsureVersion(_) | Step::TakeSealed | Step::UpdateKey
                | Step::Native(NativeStep::Create | NativeStep::Apply { .. } | NativeStep::Replace { .. } | NativeStep::Adopt { .. })
        );
        prop_assert!(!(refuses && changes), "{:?}", plan);
        prop_assert!(!(refuses && matches!(plan.verdict, Verdict::Ready { .. })), "{:?}", plan);
        prop_assert!(refuses || !matches!(plan.step, Step::Native(NativeStep::Hold { .. })), "{:?}", plan);
    }

    #[test]
    fn what_is_not_rotatable_is_not_rotated(facts in any_facts()) {
        let mut facts = facts;
        wanted(&mut facts).not_rotatable = Some(Refusal::OnlyLiterals);
        let step = plan(&facts, at(0)).step;
        prop_assert!(!matches!(step, Step::EnsureVersion(Why::Due { .. } | Why::Asked(_))), "{:?}", step);
    }

    #[test]
    fn a_lost_secret_is_never_replaced_unasked(facts in any_facts()) {
        let mut facts = facts;
        facts.object.recorded = Recorded::Unknown("lost".to_owned());
        facts.object.readopt = None;
        facts.object.purge = None;
        facts.stored = Stored::Absent;
        let step = plan(&facts, at(0)).step;
        prop_assert!(matches!(step, Step::Nothing | Step::AcceptNamespace), "{:?}", step);
    }
}
