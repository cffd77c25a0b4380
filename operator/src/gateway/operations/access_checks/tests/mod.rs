//! What each check comes to, by tables.

mod product;

use strongroom_api::v1::AccessCheckState as State;
use strongroom_rules::policy::MissingPermission;
use strongroom_rules::product::MatrixCell;

use super::*;
use crate::gateway::operation::Operation;
use crate::gateway::operations;

type Change = for<'a> fn(&mut AccessFacts<'a>);

const WINDOW: &str = "2026-12-24T05:00:00Z";

fn account(name: &str) -> Identity {
    Identity::from_username(&format!("system:serviceaccount:shop:{name}"))
}

fn allowed() -> Decision {
    Decision {
        allowed: true,
        statements: Vec::new(),
        missing: Vec::new(),
        rbac: false,
        barred: false,
    }
}

fn lacking(missing: &[(Action, PolicyKind)]) -> Decision {
    let missing = missing.iter();
    Decision {
        allowed: false,
        missing: missing
            .map(|(action, policy)| MissingPermission {
                action: *action,
                policy: *policy,
            })
            .collect(),
        ..allowed()
    }
}

/// A read that nothing stands in the way of.
fn facts<'a>(subject: &'a Identity, decision: &'a Decision) -> AccessFacts<'a> {
    AccessFacts {
        namespace: "shop",
        name: "db-main",
        subject,
        proof: CallerProof::NotShown,
        action: Action::GetSecretValue,
        stage: "Current",
        via: "shared",
        listener: Some(ListenerFacts::Shared),
        now: Timestamp::from_second(1_000_000).unwrap(),
        decision,
        reasons: "the reasons",
        policies: &[],
        denied_by: None,
        secret: Some(ExplainedSecret {
            until: None,
            version: Some("v-1"),
            object: Some("main"),
        }),
        key: KeyUse::Default,
        rates: Some(&[]),
        last_read: None,
        product: None,
        matrix: Ok(()),
        quota: None,
    }
}

/// What a check comes to where the facts are changed so.
fn outcome(check: Name, change: Change) -> (Outcome, Option<String>) {
    let (subject, decision) = (account("app"), allowed());
    let mut facts = facts(&subject, &decision);
    change(&mut facts);
    let mut checks = checks(&facts).into_iter();
    let found = checks.find(|found| found.check == check).unwrap();
    (found.result, found.remedy)
}

fn entry(hosting: Hosting, role: ProductRole) -> MatrixEntry {
    MatrixEntry {
        code: "pg".to_owned(),
        hosting,
        role,
        cell: MatrixCell::Both,
    }
}

#[test]
fn each_check_is_made_once_in_the_order_of_the_list() {
    let (subject, decision) = (account("app"), allowed());
    let checks = checks(&facts(&subject, &decision));
    let names: Vec<Name> = checks.iter().map(|check| check.check).collect();
    assert_eq!(names, Name::ALL);
    for check in checks {
        assert!(check.check.results().contains(&check.result), "{check:?}");
        assert!(
            matches!(check.state, State::Passing | State::Irrelevant) && check.remedy.is_none(),
            "{check:?}"
        );
    }
}

#[test]
fn permission_says_which_half_is_missing_and_applies_it() {
    use Action::{Decrypt, GetSecretValue};
    use PolicyKind::{Either, Identity as OfIdentity, Secret};
    let policies = ["kind: SecretPolicy\n".to_owned()];
    let applies = Some("kubectl apply -f - <<'YAML'\nkind: SecretPolicy\nYAML".to_owned());
    let (subject, jane) = (account("app"), Identity::User("jane".to_owned()));
    for (subject, missing, expected, remedy) in [
        (
            &subject,
            vec![(GetSecretValue, Either)],
            Outcome::PolicyDenied,
            &applies,
        ),
        (
            &subject,
            vec![(GetSecretValue, OfIdentity)],
            Outcome::MissingIdentity,
            &applies,
        ),
        (
            &subject,
            vec![(GetSecretValue, Secret)],
            Outcome::MissingSecret,
            &applies,
        ),
        (
            &subject,
            vec![(GetSecretValue, OfIdentity), (GetSecretValue, Secret)],
            Outcome::PolicyDenied,
            &applies,
        ),
        // For a user the secret policy is the only one.
        (
            &jane,
            vec![(GetSecretValue, Secret)],
            Outcome::PolicyDenied,
            &applies,
        ),
        // The check of the key says it.
        (&subject, vec![(Decrypt, Either)], Outcome::Allowed, &None),
    ] {
        let decision = lacking(&missing);
        let facts = AccessFacts {
            policies: &policies,
            ..facts(subject, &decision)
        };
        let check = permission(&facts);
        assert_eq!((check.result, &check.remedy), (expected, remedy), "{missing:?}");
    }
    let decision = lacking(&[(GetSecretValue, Either), (Decrypt, Either)]);
    let both = facts(&subject, &decision);
    let text = "no policy in namespace `shop` allows secrets:GetSecretValue";
    assert_eq!(permission(&both).detail, text);
}

#[test]
fn permission_says_what_no_policy_mends() {
    let subject = account("app");
    let by_rbac = Decision {
        rbac: true,
        ..allowed()
    };
    let barred = Decision {
        barred: true,
        ..lacking(&[])
    };
    let denied = lacking(&[]);
    assert_eq!(
        permission(&facts(&subject, &by_rbac)).result,
        Outcome::AllowedByRbac
    );
    let check = permission(&facts(&subject, &barred));
    assert_eq!(check.result, Outcome::NotAllowable);
    let check = permission(&facts(&subject, &denied));
    assert_eq!((check.result, check.remedy), (Outcome::DeniedBy, None));
    let shown = AccessFacts {
        denied_by: Some(("shop", "lock")),
        ..facts(&subject, &denied)
    };
    let remedy = permission(&shown).remedy.unwrap();
    assert_eq!(remedy, "kubectl -n shop edit secretpolicy lock");
    let problem = Problem::new(Code::ProductManaged, "it is managed");
    let refused = AccessFacts {
        matrix: Err(&problem),
        ..facts(&subject, &denied)
    };
    let check = permission(&refused);
    assert_eq!(
        (check.result, check.state),
        (Outcome::ProductDecides, State::Irrelevant)
    );
}

#[test]
fn the_secret_is_in_a_state_for_some_operations_and_not_for_others() {
    const RESTORE: &str = "kubectl strongroom -n shop restore db-main";
    let deleted: Change = |facts| {
        facts.secret.as_mut().unwrap().until = Some(WINDOW.to_owned());
    };
    let cases: [(Change, Outcome, Option<&str>); 13] = [
        (|_| {}, Outcome::Normal, None),
        (deleted, Outcome::InRecoveryWindow, Some(RESTORE)),
        (
            |facts| {
                facts.secret.as_mut().unwrap().until = Some(WINDOW.to_owned());
                facts.action = Action::PutSecretValue;
            },
            Outcome::InRecoveryWindow,
            Some(RESTORE),
        ),
        (
            |facts| {
                facts.secret.as_mut().unwrap().until = Some(WINDOW.to_owned());
                facts.action = Action::DescribeSecret;
            },
            Outcome::Normal,
            None,
        ),
        (
            |facts| {
                facts.secret.as_mut().unwrap().until = Some(WINDOW.to_owned());
                facts.action = Action::RestoreSecret;
            },
            Outcome::Restorable,
            None,
        ),
        (
            |facts| facts.action = Action::RestoreSecret,
            Outcome::NothingToRestore,
            Some("kubectl strongroom -n shop describe db-main"),
        ),
        (
            |facts| facts.secret.as_mut().unwrap().version = None,
            Outcome::NoCurrent,
            Some("kubectl -n shop describe managedsecret main"),
        ),
        (
            |facts| {
                facts.secret.as_mut().unwrap().version = None;
                facts.stage = "blue";
            },
            Outcome::NoStage,
            Some("kubectl strongroom -n shop stage db-main blue --to VERSION"),
        ),
        (
            |facts| {
                facts.secret.as_mut().unwrap().version = None;
                facts.action = Action::PutSecretValue;
            },
            Outcome::Normal,
            None,
        ),
        (
            |facts| facts.action = Action::CreateSecret,
            Outcome::NameTaken,
            Some("kubectl strongroom -n shop put db-main"),
        ),
        (
            |facts| {
                facts.action = Action::CreateSecret;
                facts.secret = None;
            },
            Outcome::NameFree,
            None,
        ),
        (
            |facts| facts.secret = None,
            Outcome::Absent,
            Some("kubectl -n shop get managedsecrets"),
        ),
        (
            |facts| {
                facts.secret.as_mut().unwrap().object = None;
                facts.secret.as_mut().unwrap().version = None;
            },
            Outcome::NoCurrent,
            Some("kubectl -n shop describe managedsecret db-main"),
        ),
    ];
    for (number, (change, expected, remedy)) in cases.into_iter().enumerate() {
        let found = outcome(Name::Secret, change);
        assert_eq!(found, (expected, remedy.map(str::to_owned)), "{number}");
    }
}

#[test]
fn the_network_is_proven_by_a_read_that_was_just_made() {
    let cases: [(Change, Outcome); 6] = [
        (|_| {}, Outcome::NeverSeen),
        (
            |facts| facts.last_read = Some(Timestamp::from_second(1_000_000 - 300).unwrap()),
            Outcome::Reachable,
        ),
        (
            |facts| facts.last_read = Some(Timestamp::from_second(1_000_000 - 301).unwrap()),
            Outcome::NeverSeen,
        ),
        // Clocks differ.
        (
            |facts| facts.last_read = Some(Timestamp::from_second(1_000_000 + 9).unwrap()),
            Outcome::Reachable,
        ),
        (|facts| facts.listener = None, Outcome::NoSuchGateway),
        (
            |facts| facts.listener = Some(ListenerFacts::Dedicated(&[])),
            Outcome::OrdinarySecret,
        ),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(outcome(Name::Network, change).0, expected, "{number}");
    }
    let (jane, decision) = (Identity::User("jane".to_owned()), allowed());
    assert_eq!(network(&facts(&jane, &decision)).result, Outcome::OverApiServer);
    let subject = account("app");
    let (own, other) = (codes(["aigw", "pg"]), codes(["aigw", "pgx"]));
    for (hosting, products, expected) in [
        (Hosting::Free, &own, Outcome::FreeOnDedicated),
        (Hosting::Paid, &own, Outcome::NeverSeen),
        (Hosting::Paid, &other, Outcome::OtherGateway),
    ] {
        let entry = entry(hosting, ProductRole::User);
        let facts = AccessFacts {
            product: Some((&entry, "product `pg` owns it")),
            listener: Some(ListenerFacts::Dedicated(products)),
            via: "aigw",
            ..facts(&subject, &decision)
        };
        let check = network(&facts);
        assert_eq!(check.result, expected, "{hosting} {products:?}");
        let elsewhere = check.state == State::Failing;
        assert_eq!(
            check.detail.ends_with("and not at `aigw`"),
            elsewhere,
            "{check:?}"
        );
        let asks_there = "kubectl strongroom -n shop explain secret db-main --via shared";
        assert_eq!(check.remedy.as_deref(), elsewhere.then_some(asks_there));
    }
}

fn codes<const COUNT: usize>(codes: [&str; COUNT]) -> [ProductCode; COUNT] {
    codes.map(|code| code.parse().unwrap())
}

#[test]
fn a_key_is_granted_before_its_state_counts() {
    let until = strongroom_model::time::Timestamp::from_millis(0);
    let subject = account("app");
    let (all, lacks) = (allowed(), lacking(&[(Action::Decrypt, PolicyKind::Either)]));
    let enable = Some("kubectl strongroom -n shop key enable pay".to_owned());
    let apply = Some("kubectl apply -f - <<'YAML'\n\nYAML".to_owned());
    let again = Some("kubectl apply -f ENCRYPTIONKEY".to_owned());
    for (key, decision, expected, remedy) in [
        (KeyUse::Default, &all, Outcome::NoKey, None),
        (KeyUse::Unused, &all, Outcome::KeyUnused, None),
        (
            KeyUse::Missing("pay"),
            &all,
            Outcome::KeyAbsent,
            Some("kubectl -n shop get encryptionkeys".to_owned()),
        ),
        (
            KeyUse::Customer("pay", KeyState::Enabled),
            &all,
            Outcome::KeyUsable,
            None,
        ),
        (
            KeyUse::Customer("pay", KeyState::Disabled),
            &all,
            Outcome::KeyDisabled,
            enable,
        ),
        (
            KeyUse::Customer("pay", KeyState::PendingDeletion { until }),
            &all,
            Outcome::KeyPendingDeletion,
            again,
        ),
        (
            KeyUse::Customer("pay", KeyState::Destroyed),
            &all,
            Outcome::KeyDestroyed,
            None,
        ),
        (
            KeyUse::Customer("pay", KeyState::Enabled),
            &lacks,
            Outcome::KeyNotGranted,
            apply.clone(),
        ),
        (
            KeyUse::Customer("pay", KeyState::Disabled),
            &lacks,
            Outcome::KeyNotGranted,
            apply.clone(),
        ),
        // Whether there is one is told to whom it is granted.
        (
            KeyUse::Missing("pay"),
            &lacks,
            Outcome::KeyNotGranted,
            apply.clone(),
        ),
        (KeyUse::Untold, &lacks, Outcome::KeyNotGranted, apply),
        (KeyUse::Untold, &all, Outcome::KeyNotGranted, None),
    ] {
        let facts = AccessFacts {
            key,
            ..facts(&subject, decision)
        };
        let check = super::key(&facts);
        assert_eq!((check.result, check.remedy), (expected, remedy), "{key:?}");
    }
}

#[test]
fn a_rate_is_used_up_where_one_of_its_buckets_is_empty() {
    let level = |scope, left| RateLevel {
        scope,
        left,
        rate: 450,
    };
    let (own, namespace) = (LimitScope::Principal, LimitScope::Namespace);
    let all = LimitScope::Everybody;
    let (subject, decision) = (account("app"), allowed());
    for (levels, expected) in [
        (Some(vec![]), Outcome::Unlimited),
        (Some(vec![level(own, 449), level(namespace, 1)]), Outcome::Left),
        (Some(vec![level(own, 0), level(namespace, 1)]), Outcome::Throttled),
        (Some(vec![level(own, 9), level(namespace, 0)]), Outcome::Throttled),
        (Some(vec![level(own, 9), level(all, 1)]), Outcome::Left),
        (Some(vec![level(all, 0)]), Outcome::Throttled),
        (None, Outcome::NotVisible),
    ] {
        let facts = AccessFacts {
            rates: levels.as_deref(),
            ..facts(&subject, &decision)
        };
        assert_eq!(rate(&facts).result, expected, "{levels:?}");
    }
    let levels = [level(own, 0), level(namespace, 7)];
    let mut facts = AccessFacts {
        rates: Some(&levels),
        ..facts(&subject, &decision)
    };
    let text = "reads a second: 0 of 450 left to the caller, 7 of 450 left to its namespace";
    assert_eq!(rate(&facts).detail, text);
    assert!(
        rate(&facts)
            .remedy
            .unwrap()
            .ends_with("--set gateway.readRate=900")
    );
    facts.action = Action::PutSecretValue;
    assert!(
        rate(&facts)
            .remedy
            .unwrap()
            .ends_with("--set gateway.writeRate=900")
    );
    // The settings of a dedicated gateway are in a list, of which no part is set alone.
    let levels = [level(own, 7), level(all, 0)];
    facts = AccessFacts {
        listener: Some(ListenerFacts::Dedicated(&[])),
        via: "aigw",
        rates: Some(&levels),
        ..facts
    };
    let check = rate(&facts);
    assert_eq!(
        check.detail,
        "writes a second: 7 of 450 left to the caller, 0 of 450 requests left to all callers of the gateway together; set \
         `totalRate: 900` of `aigw` in `gateways`"
    );
    assert!(check.remedy.unwrap().ends_with("--reuse-values -f VALUES"));
}

#[test]
fn credentials_are_those_of_the_request_itself() {
    let cases: [(Change, Outcome); 4] = [
        (|facts| facts.proof = CallerProof::Token, Outcome::Accepted),
        (|facts| facts.proof = CallerProof::EarlierToken, Outcome::Accepted),
        (|facts| facts.proof = CallerProof::ExtensionApi, Outcome::Accepted),
        (|facts| facts.proof = CallerProof::NotShown, Outcome::NotShown),
    ];
    for (change, expected) in cases {
        assert_eq!(outcome(Name::Credentials, change).0, expected);
    }
}

#[test]
fn an_action_costs_what_its_operation_does() {
    let mut rows: Vec<Operation> = Vec::new();
    operations::list(&mut rows);
    let mut compared = 0;
    for action in Action::ALL {
        let (_, name) = action.as_str().split_once(':').unwrap();
        for row in rows.iter().filter(|row| row.id == name) {
            assert_eq!(cost(*action), row.terms.cost, "{action}");
            compared += 1;
        }
    }
    assert!(compared >= 14, "{compared}");
}
