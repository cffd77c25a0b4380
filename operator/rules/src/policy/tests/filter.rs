//! A filter lets through what its statement applies to and nothing else, and Cedar, asked without the filter,
//! says the same.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::{account, policy, request, user};
use crate::policy::evaluate::{Effect, QuestionTarget};
use crate::policy::filter::Probe;
use crate::policy::{Action, CompiledPolicy, Principal, Request, RequestFacts, SharedStatements, compile};

const READ: (Action, QuestionTarget) = (Action::GetSecretValue, QuestionTarget::Secret);
const DESCRIBE: (Action, QuestionTarget) = (Action::DescribeSecret, QuestionTarget::Secret);
const DECRYPT: (Action, QuestionTarget) = (Action::Decrypt, QuestionTarget::Key);

fn compiled(shared: &SharedStatements, spec: Json) -> CompiledPolicy {
    compile("shop", &policy(spec), shared).unwrap()
}

/// Whether the one statement of the policy applies, on which its filter and Cedar have to agree.
fn applies(
    policy: &CompiledPolicy,
    principal: &Principal,
    (action, target): (Action, QuestionTarget),
    name: &str,
    facts: &RequestFacts,
) -> bool {
    let request = Request {
        key: Some((Action::Decrypt, name)),
        ..request(principal, Action::GetSecretValue, name, facts)
    };
    let probe = Probe::new(&request, action, target);
    let statement = &policy.statements[0];
    let effect = if statement.deny {
        Effect::Deny
    } else {
        Effect::Allow
    };
    let passes = statement.filter.passes(&probe);
    let expected = if passes { effect } else { Effect::Nothing };
    assert_eq!(statement.ask(&probe), Ok(expected), "{statement:?} {request:?}");
    passes
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What each condition of these tests holds for, but `notAfter`.
fn fits() -> RequestFacts {
    RequestFacts {
        now: at("2026-11-25T12:00:00Z"),
        stages: ["Current".to_owned()].into(),
        version: Some("v-1".to_owned()),
        pod_labels: Some([("app".to_owned(), "web".to_owned())].into()),
        node_labels: Some([("zone".to_owned(), "a".to_owned())].into()),
        source: Some("10.1.2.3".parse().unwrap()),
    }
}

#[test]
fn a_statement_applies_where_each_of_its_conditions_holds() {
    const YES: [bool; 2] = [true, true];
    const NO: [bool; 2] = [false, false];
    const UNKNOWN: [bool; 2] = [false, true];
    let now = |text: &str| RequestFacts {
        now: at(text),
        ..fits()
    };
    let stages = |stages: &[&str]| RequestFacts {
        stages: stages.iter().map(|stage| (*stage).to_owned()).collect(),
        ..fits()
    };
    let version = |version: Option<&str>| RequestFacts {
        version: version.map(str::to_owned),
        ..fits()
    };
    let labels = |(key, value): (&str, &str)| [(key.to_owned(), value.to_owned())].into();
    let pod = |label: Option<(&str, &str)>| RequestFacts {
        pod_labels: label.map(labels),
        ..fits()
    };
    let node = |label: Option<(&str, &str)>| RequestFacts {
        node_labels: label.map(labels),
        ..fits()
    };
    let source = |address: Option<&str>| RequestFacts {
        source: address.map(|address| address.parse().unwrap()),
        ..fits()
    };
    let noon = "2026-11-25T12:00:00Z";
    let window = json!({"window": {"start": "11:00", "end": "13:00", "timeZone": "UTC"}});
    let shared = SharedStatements::default();
    // The same statement is asked about each of its rows: what it said of one must not be said of another.
    let mut in_memory = Vec::new();
    for (conditions, facts, expected) in [
        (json!({}), fits(), YES),
        (json!({"stages": ["Current", "mine"]}), fits(), YES),
        (json!({"stages": ["Current", "mine"]}), stages(&["Previous"]), NO),
        (json!({"stages": ["Current", "mine"]}), stages(&[]), NO),
        (json!({"versions": ["v-1"]}), fits(), YES),
        (json!({"versions": ["v-1"]}), version(Some("v-2")), NO),
        (json!({"versions": ["v-1"]}), version(None), NO),
        (json!({"notBefore": noon}), fits(), YES),
        (json!({"notBefore": noon}), now("2026-11-25T11:59:59Z"), NO),
        (json!({"notAfter": noon}), now("2026-11-25T11:59:59Z"), YES),
        (json!({"notAfter": noon}), fits(), NO),
        (window.clone(), fits(), YES),
        (window, now("2026-11-25T14:00:00Z"), NO),
        (json!({"podLabels": {"app": "web"}}), fits(), YES),
        (json!({"podLabels": {"app": "web"}}), pod(Some(("app", "db"))), NO),
        (
            json!({"podLabels": {"app": "web"}}),
            pod(Some(("tier", "web"))),
            NO,
        ),
        (json!({"podLabels": {"app": "web"}}), pod(None), UNKNOWN),
        (json!({"nodeLabels": {"zone": "a"}}), fits(), YES),
        (
            json!({"nodeLabels": {"zone": "a"}}),
            node(Some(("zone", "b"))),
            NO,
        ),
        (json!({"nodeLabels": {"zone": "a"}}), node(None), UNKNOWN),
        (json!({"sourceRanges": ["10.0.0.0/8"]}), fits(), YES),
        (
            json!({"sourceRanges": ["10.0.0.0/8"]}),
            source(Some("192.168.0.1")),
            NO,
        ),
        (json!({"sourceRanges": ["10.0.0.0/8"]}), source(None), UNKNOWN),
    ] {
        for (effect, expected) in ["Allow", "Deny"].into_iter().zip(expected) {
            let spec = json!({"secrets": ["db"], "statements": [{"effect": effect,
                "principals": [{"serviceAccount": "app"}], "actions": ["secrets:GetSecretValue"],
                "conditions": conditions}]});
            let policy = compiled(&shared, spec);
            let app = account("shop", "app");
            assert_eq!(
                applies(&policy, &app, READ, "db", &facts),
                expected,
                "{effect} {conditions} {facts:?}"
            );
            in_memory.push(policy);
        }
    }
}

#[test]
fn a_statement_applies_to_its_callers_and_actions_alone() {
    let facts = fits();
    let shared = SharedStatements::default();
    for (principal, fitting, others) in [
        (
            json!({"serviceAccount": "app"}),
            account("shop", "app"),
            [account("shop", "batch"), account("team-b", "app"), user("app")],
        ),
        (
            json!({"serviceAccount": "shop/a*"}),
            account("shop", "app"),
            [account("shop", "batch"), account("team-b", "app"), user("app")],
        ),
        (
            json!({"user": "jane"}),
            user("jane"),
            [user("bob"), user("jane2"), account("shop", "jane")],
        ),
        (
            json!({"user": "j*"}),
            user("jane"),
            [user("bob"), user(""), account("shop", "jane")],
        ),
        (
            json!({"group": "team-db"}),
            user("jane"),
            [
                account("shop", "jane"),
                account("team-db", "team-db"),
                account("shop", "team-db"),
            ],
        ),
        (
            json!({"group": "*s:shop"}),
            account("shop", "app"),
            [account("team-b", "app"), user("shop"), user("s:shop")],
        ),
    ] {
        for effect in ["Allow", "Deny"] {
            let spec = json!({"secrets": ["db"], "statements": [
                {"effect": effect, "principals": [principal.clone()], "actions": ["secrets:Get*"]}]});
            let policy = compiled(&shared, spec);
            assert!(
                applies(&policy, &fitting, READ, "db", &facts),
                "{effect} {principal}"
            );
            assert!(
                !applies(&policy, &fitting, DESCRIBE, "db", &facts),
                "{effect} {principal}"
            );
            for other in &others {
                assert!(
                    !applies(&policy, other, READ, "db", &facts),
                    "{effect} {principal} {other:?}"
                );
            }
        }
    }
}

#[test]
fn a_statement_applies_to_its_secrets_and_keys_alone() {
    let (app, facts) = (account("shop", "app"), fits());
    let shared = SharedStatements::default();
    for (resource, fitting) in [
        ("secret/db", Some((READ, "db"))),
        ("secret/d*", Some((READ, "db"))),
        ("*:secret/db", Some((READ, "db"))),
        ("key/db", Some((DECRYPT, "db"))),
        ("shop:key/d*", Some((DECRYPT, "db"))),
        ("team-b:secret/db", None),
        ("team-*:key/db", None),
    ] {
        for effect in ["Allow", "Deny"] {
            let spec = json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
                {"effect": effect, "actions": ["*"], "resources": [resource]}]});
            let policy = compiled(&shared, spec);
            for asked in [(READ, "db"), (READ, "cache"), (DECRYPT, "db"), (DECRYPT, "cache")] {
                let (use_, name) = asked;
                assert_eq!(
                    applies(&policy, &app, use_, name, &facts),
                    fitting == Some(asked),
                    "{effect} {resource} {asked:?}"
                );
            }
        }
    }
}
