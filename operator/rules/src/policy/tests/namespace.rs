//! What is in force in a namespace, for whom it counts, and how much of it is told.

use serde_json::{Value as Json, json};
use strongroom_crds::v1alpha1::SecretPolicySpec;

use super::{account, policy, request};
use crate::policy::{
    Action, CompiledPolicy, Decision, NamespacePolicies, PolicySource, Request, RequestFacts,
    SharedStatements, compile, decide_by, readers_policy,
};

fn compiled(spec: &SecretPolicySpec) -> CompiledPolicy {
    compile("shop", spec, &SharedStatements::default()).unwrap()
}

/// A policy of one statement about `app` and `db`.
fn one(effect: &str, conditions: &Json) -> CompiledPolicy {
    compiled(&policy(
        json!({"secrets": ["db"], "statements": [{"effect": effect,
        "principals": [{"serviceAccount": "app"}], "actions": ["*"], "conditions": conditions}]}),
    ))
}

fn named(name: &str) -> PolicySource {
    PolicySource::Policy(name.to_owned())
}

/// What `app` hears that reads `db`, which the store has as this owner's.
fn reads(policies: &NamespacePolicies, owner: Option<&str>) -> Decision {
    let (app, facts) = (account("shop", "app"), RequestFacts::default());
    let request = Request {
        owner,
        ..request(&app, Action::GetSecretValue, "db", &facts)
    };
    decide_by(None, Some(policies), &request).unwrap()
}

#[test]
fn what_an_object_declares_counts_for_its_own_secret_alone() {
    let readers = || compiled(&readers_policy("db", &["app".to_owned()]));
    let source = PolicySource::Readers("db".to_owned());
    let allowed = |policies: &NamespacePolicies| {
        [None, Some("uid-1"), Some("uid-2")].map(|owner| reads(policies, owner).allowed)
    };
    let mut policies = NamespacePolicies::default();
    policies.put_declared(source.clone(), "uid-1", readers());
    assert_eq!(allowed(&policies), [false, true, false]);
    policies.put(source, readers());
    assert_eq!(allowed(&policies), [true, true, true]);
}

#[test]
fn policies_that_ask_for_labels_are_counted() {
    for (conditions, asks) in [
        (json!({}), 0),
        (json!({"stages": ["Current"]}), 0),
        (json!({"podLabels": {"app": "web"}}), 1),
        (json!({"nodeLabels": {"zone": "a"}}), 1),
        (
            json!({"podLabels": {"app": "web"}, "nodeLabels": {"zone": "a"}}),
            1,
        ),
    ] {
        let mut policies = NamespacePolicies::default();
        // The last takes the place of the one before.
        for name in ["a", "b", "b"] {
            policies.put(named(name), one("Allow", &conditions));
        }
        assert_eq!(policies.sources_with_labels(), 2 * asks, "{conditions}");
        policies.remove(&named("a"));
        assert_eq!(policies.sources_with_labels(), asks, "{conditions}");
        policies.deny_all(named("b"), &one("Allow", &conditions));
        assert_eq!(policies.sources_with_labels(), 0, "{conditions}");
    }
}

#[test]
fn a_namespace_is_empty_where_nothing_is_in_force_nor_expected() {
    let policy = || one("Allow", &json!({}));
    let mut in_force = NamespacePolicies::default();
    assert!(in_force.is_empty());
    in_force.put(named("b"), policy());
    in_force.put(named("a"), policy());
    assert_eq!(in_force.sources().collect::<Vec<_>>(), [&named("a"), &named("b")]);
    let mut expected = NamespacePolicies::default();
    expected.expect(named("a"), policy());
    let mut shut = NamespacePolicies::default();
    shut.deny_all(named("a"), &policy());
    assert_eq!(expected.sources().chain(shut.sources()).count(), 0);
    for policies in [in_force, expected, shut] {
        assert!(!policies.is_empty(), "{policies:?}");
    }
}

#[test]
fn of_many_statements_that_decide_eight_are_told() {
    for effect in ["Allow", "Deny"] {
        let mut policies = NamespacePolicies::default();
        for count in 1..=12_usize {
            policies.put(named(&count.to_string()), one(effect, &json!({})));
            let decision = reads(&policies, None);
            assert_eq!(
                (decision.allowed, decision.statements.len()),
                (effect == "Allow", count.min(8)),
                "{count}"
            );
        }
    }
}
