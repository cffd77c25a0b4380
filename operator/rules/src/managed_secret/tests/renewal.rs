//! When certificates are renewed, and what is said of them.

use jiff::SignedDuration;
use proptest::prelude::*;
use strongroom_crds::condition::ConditionStatus;

use super::*;
use crate::managed_secret::certificate_condition::certificate_condition;
use crate::managed_secret::renewal::*;

const DAY: i64 = 86_400;

fn days(days: i64) -> Timestamp {
    at(days * DAY)
}

fn length(days: i64) -> SignedDuration {
    SignedDuration::from_secs(days * DAY)
}

/// Valid for 90 days, made while this process ran, signed by itself.
fn certificate() -> CertificateFacts {
    CertificateFacts {
        key: "tls.crt".to_owned(),
        made: days(0),
        not_after: days(90),
        policy: RenewalPolicy::Third,
        signature: Signature::Own { old_roots: None },
        valid_for: length(90),
        rotated: days(0),
        started: days(-1),
    }
}

fn current(ends: i64, follows: bool) -> Signature {
    Signature::Current {
        authority: "ca".to_owned(),
        ends: days(ends),
        follows,
    }
}

fn former(follows: RootsStatus, trusted: bool, leaves: u32) -> Signature {
    Signature::Former {
        authority: "ca".to_owned(),
        since: days(10),
        follows,
        trusted,
        leaves,
    }
}

fn next(certificate: &CertificateFacts, now: Timestamp) -> Renewal {
    certificate.renewal(&uid("object"), now)
}

#[test]
fn a_certificate_is_renewed_a_third_of_its_life_before_its_end_or_as_its_source_says() {
    let due = Renewal::Due(CertificateChange::Renew);
    for (policy, now, expected) in [
        (RenewalPolicy::Third, days(59), Renewal::At(days(60))),
        (RenewalPolicy::Third, days(60), due.clone()),
        (RenewalPolicy::Third, days(91), due.clone()),
        (RenewalPolicy::Before(length(10)), days(79), Renewal::At(days(80))),
        (RenewalPolicy::Before(length(10)), days(80), due.clone()),
        // More than the certificate lives: it was cut. It is not renewed again and again.
        (RenewalPolicy::Before(length(90)), days(1), Renewal::At(days(60))),
        (RenewalPolicy::Never, days(89), Renewal::Never),
        (RenewalPolicy::Never, days(91), Renewal::Never),
        (RenewalPolicy::Immutable, days(91), Renewal::Never),
    ] {
        let certificate = CertificateFacts {
            policy,
            ..certificate()
        };
        assert_eq!(next(&certificate, now), expected, "{policy:?} at {now}");
    }
}

#[test]
fn a_certificate_that_ends_with_its_authority_waits_for_that() {
    let by = |ends| CertificateFacts {
        signature: current(ends, true),
        ..certificate()
    };
    assert_eq!(next(&by(90), days(80)), Renewal::AfterAuthority);
    assert_eq!(next(&by(3650), days(80)), Renewal::Due(CertificateChange::Renew));
    let unknown = CertificateFacts {
        signature: Signature::Unknown {
            authority: "ca".to_owned(),
        },
        ..certificate()
    };
    assert_eq!(next(&unknown, days(80)), Renewal::Unknown);
}

#[test]
fn leaves_of_a_new_key_first_trust_it_and_are_then_signed_anew_one_after_the_other() {
    let leaf = |signature| CertificateFacts {
        signature,
        ..certificate()
    };
    let follow = Renewal::Due(CertificateChange::FollowAuthority);
    assert_eq!(next(&leaf(current(3650, false)), days(10)), follow);
    assert_eq!(
        next(&leaf(former(RootsStatus::NotYet, false, 1)), days(10)),
        follow
    );
    // Not all trust the new key: ten minutes at most.
    let waits = leaf(former(RootsStatus::Yes, false, 1));
    let signed = days(10) + SignedDuration::from_mins(10);
    assert_eq!(next(&waits, days(10)), Renewal::SignedAnewAt(signed));
    assert_eq!(next(&waits, signed), Renewal::Due(CertificateChange::SignAnew));
    // All do.
    let alone = leaf(former(RootsStatus::Yes, true, 1));
    assert_eq!(next(&alone, days(10)), Renewal::Due(CertificateChange::SignAnew));
    let many = leaf(former(RootsStatus::Yes, true, 1_000));
    let times: Vec<_> = (0..50)
        .map(
            |number| match many.renewal(&uid(&format!("uid-{number}")), days(10)) {
                Renewal::SignedAnewAt(at) => at,
                other => panic!("{other:?}"),
            },
        )
        .collect();
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*last <= days(10) + SignedDuration::from_secs(5 * 999), "{last}");
    assert!(
        last.duration_since(*first) > SignedDuration::from_mins(40),
        "{first} {last}"
    );
    // Others watch it: they are told, and nothing is done.
    let watched = CertificateFacts {
        policy: RenewalPolicy::Never,
        ..alone
    };
    assert_eq!(next(&watched, days(11)), Renewal::Never);
}

#[test]
fn a_former_root_goes_when_nobody_needs_it() {
    let authority = |needed_by: &[&str]| CertificateFacts {
        signature: Signature::Own {
            old_roots: Some(OldRoots {
                since: days(10),
                needed_by: needed_by.iter().map(|name| (*name).to_owned()).collect(),
            }),
        },
        ..certificate()
    };
    let minute = days(10) + SignedDuration::from_mins(1);
    let drop = Renewal::Due(CertificateChange::DropOldRoots);
    assert_eq!(next(&authority(&["web"]), days(50)), Renewal::At(days(60)));
    assert_eq!(next(&authority(&[]), days(10)), Renewal::At(days(60)));
    assert_eq!(authority(&[]).wake(&uid("object"), days(10)), Some(minute));
    assert_eq!(next(&authority(&[]), minute), drop);
    let immutable = CertificateFacts {
        policy: RenewalPolicy::Immutable,
        ..authority(&[])
    };
    assert_eq!(next(&immutable, minute), Renewal::Never);
}

proptest! {
    #[test]
    fn what_was_due_before_the_process_began_is_spread_and_never_late(
        life in 10_i64..400 * DAY, over in 0.667_f64..1.0, name in "[a-z]{8}",
    ) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "of a test")]
        let begun = (life as f64 * over) as i64;
        let certificate = CertificateFacts {
            not_after: at(life),
            started: at(begun),
            ..certificate()
        };
        let left = certificate.not_after.duration_since(at(begun));
        prop_assume!(left > SignedDuration::ZERO);
        let renewed = match certificate.renewal(&uid(&name), at(begun)) {
            Renewal::At(time) => time,
            Renewal::Due(CertificateChange::Renew) => at(begun),
            other => panic!("{other:?}"),
        };
        let calm = SignedDuration::from_hours(1);
        prop_assert!(renewed < certificate.not_after);
        let waited = renewed.duration_since(at(begun));
        if left > calm * 2 {
            prop_assert!(waited >= calm);
            prop_assert!(waited <= calm + certificate.life() / 10);
        } else {
            prop_assert!(waited <= certificate.life() / 10);
        }
        // What is due while the process runs is not late at all.
        let later = CertificateFacts { started: at(0), ..certificate };
        prop_assert_eq!(later.renewal(&uid(&name), at(begun)), Renewal::Due(CertificateChange::Renew));
    }
}

#[test]
fn an_upgrade_spreads_what_is_due_over_a_tenth_of_its_life() {
    let overdue = CertificateFacts {
        started: days(70),
        ..certificate()
    };
    let mut tenths = [0; 9];
    for number in 0..900 {
        match overdue.renewal(&uid(&format!("uid-{number}")), days(70)) {
            Renewal::At(time) => {
                let hours = time.duration_since(days(70)).as_hours() - 1;
                tenths[usize::try_from(hours / 24).unwrap()] += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(tenths.iter().all(|count| (60..140).contains(count)), "{tenths:?}");
}

fn holding(certificate: CertificateFacts) -> SecretFacts {
    with(settled(), |facts| facts.certificate = Some(certificate))
}

#[test]
fn a_renewal_is_a_version_and_the_earlier_of_it_and_the_schedule_counts() {
    let renewal = SecretStep::EnsureVersion(VersionReason::Certificate(CertificateChange::Renew));
    let facts = holding(certificate());
    assert_eq!(plan(&facts, days(59)).step, SecretStep::Nothing);
    assert_eq!(plan(&facts, days(59)).wake, Some(days(60)));
    assert_eq!(plan(&facts, days(60)).step, renewal);
    let late = with(facts.clone(), |facts| facts.rotation = scheduled(80 * DAY));
    assert_eq!(plan(&late, days(59)).wake, Some(days(60)));
    assert_eq!(plan(&late, days(60)).step, renewal);
    let early = with(facts, |facts| facts.rotation = scheduled(50 * DAY));
    assert_eq!(plan(&early, days(49)).wake, Some(days(50)));
    assert!(matches!(
        plan(&early, days(50)).step,
        SecretStep::Rotate(RotationStep::Promote(RotationTrigger::Due { .. }))
    ));
}

#[test]
fn nothing_is_ready_over_a_certificate_that_has_ended() {
    let watched = holding(CertificateFacts {
        policy: RenewalPolicy::Never,
        ..certificate()
    });
    assert!(matches!(
        plan(&watched, days(89)).verdict,
        SecretVerdict::Ready { .. }
    ));
    assert_eq!(plan(&watched, days(89)).wake, Some(days(90)));
    let ended = |facts: &SecretFacts| match plan(facts, days(90)).verdict {
        SecretVerdict::Blocked(SecretBlocker::CertificateExpired { suspended, .. }) => Some(suspended),
        _ => None,
    };
    assert_eq!(ended(&watched), Some(false));
    let suspended = with(holding(certificate()), |facts| wanted(facts).suspend = true);
    assert_eq!(ended(&suspended), Some(true));
    assert_eq!(
        plan(&suspended, days(89)).verdict,
        SecretVerdict::Suspended { stored: true }
    );
    // What renews by itself does.
    assert_eq!(ended(&holding(certificate())), None);
}

#[test]
fn the_condition_names_what_is_wrong_and_what_to_do() {
    let never = CertificateFacts {
        policy: RenewalPolicy::Never,
        ..certificate()
    };
    let signed = |signature| CertificateFacts {
        signature,
        ..certificate()
    };
    let cut = CertificateFacts {
        valid_for: length(3650),
        ..signed(current(90, true))
    };
    let monthly = scheduled(120 * DAY);
    let table = [
        (
            certificate(),
            Coverage::None,
            1,
            "True",
            "CertificateCurrent",
            "it is renewed at",
        ),
        (
            never.clone(),
            Coverage::None,
            1,
            "True",
            "CertificateCurrent",
            "`renewBefore` is `never`",
        ),
        (
            never.clone(),
            Coverage::None,
            75,
            "False",
            "CertificateExpiring",
            "strongroom.dev/rotate-now",
        ),
        (
            never.clone(),
            Coverage::None,
            90,
            "False",
            "CertificateExpired",
            "strongroom.dev/rotate-now",
        ),
        (
            certificate(),
            Coverage::None,
            75,
            "False",
            "CertificateExpiring",
            "condition Ready",
        ),
        (
            cut,
            Coverage::None,
            1,
            "True",
            "ValidityCut",
            "ManagedSecret `ca`, ends then",
        ),
        (
            signed(former(RootsStatus::Yes, false, 1)),
            Coverage::None,
            10,
            "False",
            "AuthorityChanged",
            "reissued at",
        ),
        (
            signed(Signature::Other {
                authority: "new".to_owned(),
            }),
            Coverage::None,
            10,
            "False",
            "AuthorityChanged",
            "not signed by ManagedSecret `new`",
        ),
        (
            certificate(),
            monthly.clone(),
            1,
            "True",
            "CertificateCurrent",
            "RotationSchedule `monthly`",
        ),
        (
            never,
            monthly,
            1,
            "False",
            "ScheduleTooLong",
            "shorten the schedule",
        ),
        (
            signed(Signature::Own {
                old_roots: Some(OldRoots {
                    since: days(1),
                    needed_by: vec!["web".to_owned()],
                }),
            }),
            Coverage::None,
            1,
            "True",
            "CertificateCurrent",
            "it waits for `web`",
        ),
    ];
    for (certificate, schedule, day, status, reason, part) in table {
        let condition = certificate_condition(&certificate, &uid("object"), &schedule, Some(1), days(day));
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            (status, reason),
            "{condition:?}"
        );
        assert!(condition.message.contains(part), "{}", condition.message);
        assert_ne!(status, ConditionStatus::Unknown.as_str());
    }
}
