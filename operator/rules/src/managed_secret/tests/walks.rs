//! Properties of the whole walk: a small world in which each step is carried out.

use std::collections::BTreeMap;

use proptest::prelude::*;

use strongroom_crds::condition::Reason;

use super::*;
use crate::native_secret::edits::DriftedKey;
use crate::native_secret::owners::Part;

/// Carries a step out in the facts, as the store and the API server would.
fn carry_out(facts: &mut SecretFacts, step: &SecretStep) {
    let imported = |facts: &SecretFacts| {
        matches!(
            &facts.wanted,
            Ok(DesiredState {
                source: ValueSource::Import { .. },
                ..
            })
        )
    };
    match step {
        SecretStep::Nothing => {}
        SecretStep::BindNamespace | SecretStep::AcceptNamespace => {
            facts.namespace.binding = NamespaceBinding::Bound
        }
        SecretStep::BindObject => live(facts).owner = Owner::ThisObject,
        SecretStep::CreateSecret(first) => {
            let labels = wanted(facts).labels.clone();
            let description = wanted(facts).description.clone();
            let retained = wanted(facts).retain;
            facts.stored = StoredSecretState::Live(StoredSecret {
                labels,
                description,
                retained,
                materialized: None,
                ..secret()
            });
            let same = imported(facts)
                && facts.wanted.as_ref().unwrap().native.as_ref().is_some_and(|native| {
                    matches!(&facts.wanted, Ok(DesiredState { source: ValueSource::Import { secret }, .. }) if *secret == native.name)
                });
            if let NativeSecretState::Present(native) = &mut facts.native {
                native.recorded = *first == FirstVersionSource::Readopted || same;
            }
        }
        SecretStep::UpdateKey => live(facts).other_key = false,
        SecretStep::UpdateMetadata => {
            live(facts).labels = wanted(facts).labels.clone();
            live(facts).description = wanted(facts).description.clone();
            live(facts).retained = wanted(facts).retain;
        }
        SecretStep::EnsureVersion(why) => {
            live(facts).differences = Differences::default();
            if let NativeSecretState::Present(native) = &mut facts.native {
                native.drift = Some(Drift::Content);
                native.recorded |= *why == VersionReason::Imported;
            }
            match why {
                VersionReason::Certificate(_) => facts.certificate = None,
                VersionReason::SpecChanged | VersionReason::Imported => {}
            }
        }
        SecretStep::Rotate(RotationStep::Promote(trigger)) => {
            live(facts).differences = Differences::default();
            if let NativeSecretState::Present(native) = &mut facts.native {
                native.drift = Some(Drift::Content);
            }
            match trigger {
                RotationTrigger::Due { .. } => facts.rotation = scheduled(1_000),
                RotationTrigger::Asked(_) => facts.object.rotate_now = RotateNow::Nothing,
            }
        }
        SecretStep::TakeSealed => {
            assert_eq!(wanted(facts).source, ValueSource::Sealed { taken: false });
            wanted(facts).source = ValueSource::Sealed { taken: true };
        }
        SecretStep::Restore => facts.stored = StoredSecretState::Live(live(facts).clone()),
        SecretStep::Purge => facts.stored = StoredSecretState::Absent,
        SecretStep::Native(step) => match step {
            NativeStep::Create => {
                // A create on a taken name fails and makes the Secret known; a free name is ours.
                let name = wanted_name(facts);
                assert!(
                    !matches!(facts.native, NativeSecretState::Present(_)),
                    "a create over a known Secret"
                );
                record(
                    facts,
                    NativeSecretRef {
                        name,
                        uid: uid("created"),
                    },
                );
                facts.native = NativeSecretState::Present(ObservedNativeSecret {
                    uid: uid("created"),
                    ..native()
                });
            }
            NativeStep::Adopt { uid } => {
                let name = wanted_name(facts);
                let uid = uid.clone();
                record(facts, NativeSecretRef { name, uid });
            }
            NativeStep::Apply { uid } => {
                assert_ours(facts, uid, "an apply to what is not ours");
                present(facts).drift = None;
            }
            NativeStep::Replace { uid } => {
                assert_ours(facts, uid, "a delete of what is not ours");
                assert!(present(facts).marked, "a replacement of what we never wrote");
                let name = live(facts).materialized.clone().unwrap().name;
                live(facts).materialized = Some(NativeSecretRef {
                    name,
                    uid: super::uid("made again"),
                });
                facts.native = NativeSecretState::Present(ObservedNativeSecret {
                    uid: super::uid("made again"),
                    ..native()
                });
            }
            NativeStep::Hold { uid } => {
                assert_ours(facts, uid, "a mark on what is not ours");
                present(facts).held = true;
            }
            NativeStep::Remove { uid, .. } => {
                let secret = live(facts);
                let is = |native: &Option<NativeSecretRef>| {
                    native.as_ref().is_some_and(|native| native.uid == *uid)
                };
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

/// The name that the native Secret is to have.
fn wanted_name(facts: &mut SecretFacts) -> String {
    wanted(facts).native.as_ref().unwrap().name.clone()
}

fn assert_ours(facts: &mut SecretFacts, uid: &Uid, what: &str) {
    let ours = live(facts).materialized.as_ref();
    assert_eq!(ours.map(|ours| &ours.uid), Some(uid), "{what}");
}

/// The native Secret of this name is ours from now on; another one that was, goes.
fn record(facts: &mut SecretFacts, native: NativeSecretRef) {
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
    ) -> ObservedNativeSecret {
        ObservedNativeSecret {
            drift: match drift { 0 => None, 1 => Some(Drift::Content), _ => Some(Drift::Replace) },
            marked, recorded, immutable,
            terminating: (terminating == 0).then(|| vec!["example.com/hold".to_owned()]),
            holder: (held_by > 0 && !ours).then(|| Holder { name: "other".to_owned(), gives_up: held_by > 1, exchange: held_by > 2 }),
            mutated: if repair == 1 { vec![DriftedKey { part: Part::Data, name: "extra".to_owned() }] } else { Vec::new() },
            repair_from: (repair > 0).then(|| at(repair - 2)),
            ..ObservedNativeSecret::new(uid(if ours { "native" } else { "foreign" }))
        }
    }
}

prop_compose! {
    fn any_stored()(
        state in 0..4, owner in 0..5, labelled: bool, missing: bool, broken in 0..8, materialized in 0..3, former in 0..6,
    ) -> StoredSecretState {
        let secret = StoredSecret {
            owner: match owner { 4 => Owner::Nobody, 0 => Owner::Rival("other".to_owned()), 1 => Owner::GoneObject, _ => Owner::ThisObject },
            description: if labelled { "for the shop".to_owned() } else { String::new() },
            labels: if labelled { BTreeMap::from([("a".to_owned(), "b".to_owned())]) } else { BTreeMap::new() },
            differences: Differences { missing: if missing { vec!["new".to_owned()] } else { vec![] }, ..Differences::default() },
            unrenderable: (broken == 0).then(|| InvalidSpec { reason: Reason::SourceInvalid, field: "spec".to_owned(), problem: "broken".to_owned() }),
            materialized: match materialized {
                0 => None,
                1 => secret().materialized,
                _ => Some(NativeSecretRef { name: "before".to_owned(), uid: uid("native") }),
            },
            former: (former == 0).then(|| NativeSecretRef { name: "former".to_owned(), uid: uid("former") }),
            ..secret()
        };
        match state { 0 => StoredSecretState::Absent, 1 => StoredSecretState::InRecoveryWindow { secret, until: at(9) }, _ => StoredSecretState::Live(secret) }
    }
}

prop_compose! {
    fn any_plain()(
        stored in any_stored(), native in any_native(), looked in 0..3, source in 0..7, wants_native: bool, suspend in 0..8,
        binding in 0..5, accepts: bool, recorded in 0..5, asks in 0..8, import in 0..3, rotation in 0..4,
    ) -> SecretFacts {
        let mut facts = new();
        facts.stored = stored;
        facts.native = match looked { 0 => NativeSecretState::Absent, 1 => NativeSecretState::Unread, _ => NativeSecretState::Present(native) };
        let wanted = facts.wanted.as_mut().unwrap();
        wanted.source = match source {
            0 => ValueSource::Import { secret: "db".to_owned() },
            1 => ValueSource::Import { secret: "old".to_owned() },
            4 => ValueSource::External { wait: wants_native },
            5 | 6 => ValueSource::Sealed { taken: source == 5 },
            _ => ValueSource::Generate,
        };
        wanted.not_rotatable = (source != 2).then_some(RotationRefusal::OnlyLiterals);
        if let Some(native) = &mut wanted.native { native.immutable = suspend % 2 == 0; }
        if !wants_native { wanted.native = None; }
        wanted.suspend = suspend == 0;
        wanted.retain = suspend > 5;
        facts.namespace.binding = match binding {
            0 => NamespaceBinding::Unbound,
            1 => NamespaceBinding::Recreated { recorded: uid("older") },
            _ => NamespaceBinding::Bound,
        };
        if accepts { facts.namespace.accepts = Some(uid("older")); }
        facts.object.recorded = match recorded { 0 => RecordedSecretId::Unknown("lost".to_owned()), 1 => RecordedSecretId::Known, _ => RecordedSecretId::Nothing };
        match asks {
            0 => facts.object.restore = Some("abc".to_owned()),
            1 => facts.object.purge = Some("abc".to_owned()),
            2 => facts.object.readopt = Some("lost".to_owned()),
            3 => facts.object.purge = Some("lost".to_owned()),
            4 => facts.object.rotate_now = RotateNow::Asked("please".to_owned()),
            _ => {}
        }
        facts.import = match import {
            0 => ImportState::Absent,
            1 => ImportState::Present { refusal: Some("its type".to_owned()) },
            _ => ImportState::Present { refusal: None },
        };
        facts.rotation = match rotation { 0 => scheduled(-1), 1 => scheduled(60), _ => Coverage::None };
        // A create on an unread name either succeeds or makes it known; here it succeeds, so only consistent
        // worlds are kept.
        if let (StoredSecretState::Absent | StoredSecretState::InRecoveryWindow { .. }, NativeSecretState::Unread) = (&facts.stored, &facts.native) {
            facts.native = NativeSecretState::Absent;
        }
        facts
    }
}

prop_compose! {
    fn any_facts()(facts in any_plain(), state in 0..8, other_key: bool, held: bool) -> SecretFacts {
        let mut facts = facts;
        let state = match state {
            0 => Some(KeyState::Absent),
            1 => Some(KeyState::Enabled),
            2 => Some(KeyState::ObjectMissing),
            3 => Some(KeyState::Disabled),
            4 => Some(KeyState::PendingDeletion(at(9))),
            _ => None,
        };
        wanted(&mut facts).key = state.map(|state| DesiredKey { name: "pay".to_owned(), state });
        if let StoredSecretState::Live(secret) = &mut facts.stored { secret.other_key = other_key; }
        if let NativeSecretState::Present(native) = &mut facts.native { native.held = held; }
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
            if next.step == SecretStep::Nothing {
                prop_assert_ne!(&next.verdict, &SecretVerdict::Working);
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
            StoredSecretState::Live(secret) => (secret.materialized.clone(), secret.former.clone()),
            _ => (None, None),
        };
        match plan(&facts, at(0)).step {
            SecretStep::Native(NativeStep::Apply { uid } | NativeStep::Replace { uid }) => {
                prop_assert_eq!(Some(uid), ours.map(|ours| ours.uid));
            }
            SecretStep::Native(NativeStep::Remove { uid, .. }) => {
                prop_assert!(ours.into_iter().chain(former).any(|recorded| recorded.uid == uid));
            }
            SecretStep::Native(NativeStep::Create) => prop_assert!(!matches!(facts.native, NativeSecretState::Present(_))),
            _ => {}
        }
    }

    #[test]
    fn under_a_key_that_refuses_nothing_is_made_read_or_written(facts in any_facts()) {
        let refuses = matches!(
            facts.wanted.as_ref().unwrap().key,
            Some(DesiredKey { state: KeyState::Absent | KeyState::Disabled | KeyState::PendingDeletion(_), .. })
        );
        let plan = plan(&facts, at(0));
        let changes = matches!(
            plan.step,
            SecretStep::CreateSecret(FirstVersionSource::Generated | FirstVersionSource::Imported | FirstVersionSource::Sealed) | SecretStep::EnsureVersion(_) | SecretStep::Rotate(_) | SecretStep::TakeSealed | SecretStep::UpdateKey
                | SecretStep::Native(NativeStep::Create | NativeStep::Apply { .. } | NativeStep::Replace { .. } | NativeStep::Adopt { .. })
        );
        prop_assert!(!(refuses && changes), "{:?}", plan);
        prop_assert!(!(refuses && matches!(plan.verdict, SecretVerdict::Ready { .. })), "{:?}", plan);
        prop_assert!(refuses || !matches!(plan.step, SecretStep::Native(NativeStep::Hold { .. })), "{:?}", plan);
    }

    #[test]
    fn what_is_not_rotatable_is_not_rotated(facts in any_facts()) {
        let mut facts = facts;
        wanted(&mut facts).not_rotatable = Some(RotationRefusal::OnlyLiterals);
        let step = plan(&facts, at(0)).step;
        prop_assert!(!matches!(step, SecretStep::Rotate(_)), "{:?}", step);
    }

    #[test]
    fn a_lost_secret_is_never_replaced_unasked(facts in any_facts()) {
        let mut facts = facts;
        facts.object.recorded = RecordedSecretId::Unknown("lost".to_owned());
        facts.object.readopt = None;
        facts.object.purge = None;
        facts.stored = StoredSecretState::Absent;
        let step = plan(&facts, at(0)).step;
        prop_assert!(matches!(step, SecretStep::Nothing | SecretStep::AcceptNamespace), "{:?}", step);
    }
}
