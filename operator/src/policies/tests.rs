//! What is in force, and what it is when a generation cannot be.

use serde_json::json;
use strongroom_rules::policy::{Action, Identity, Principal, RequestFacts, SecretRef, UnknownReason};

use super::*;

fn spec(effect: &str, action: &str) -> SecretPolicySpec {
    serde_json::from_value(json!({"secrets": ["db"], "statements": [
        {"effect": effect, "principals": [{"serviceAccount": "app"}], "actions": [action]}]}))
    .unwrap()
}

fn seen(generation: i64) -> PolicyGeneration {
    PolicyGeneration {
        uid: "u".to_owned(),
        generation,
    }
}

fn newest(generation: i64, told: Option<i64>, effect: &str, action: &str) -> ObservedPolicy {
    ObservedPolicy {
        seen: seen(generation),
        told,
        spec: Ok(spec(effect, action)),
    }
}

fn allowed(policies: &Policies) -> Result<bool, DecisionError> {
    let principal = Principal {
        identity: Identity::from_username("system:serviceaccount:shop:app"),
        groups: Vec::new(),
    };
    let request = Request {
        principal: &principal,
        action: Action::GetSecretValue,
        secret: SecretRef {
            namespace: "shop",
            name: "db",
        },
        key: None,
        owner: Some("uid-db"),
        products: <_>::default(),
        facts: &RequestFacts::default(),
    };
    policies.decide(&request).map(|decision| decision.allowed)
}

fn listed() -> Policies {
    let policies = Policies::default();
    policies.policies_listed(&std::collections::HashSet::new());
    policies.readers_listed(|_, _| false);
    policies
}

#[test]
fn nothing_is_decided_before_both_lists_are_there() {
    let policies = Policies::default();
    assert_eq!(allowed(&policies), Err(DecisionError::NotLoaded));
    policies.policies_listed(&std::collections::HashSet::new());
    assert_eq!(allowed(&policies), Err(DecisionError::NotLoaded));
    policies.readers_listed(|_, _| false);
    assert_eq!(allowed(&policies), Ok(false));
}

#[test]
fn a_broken_generation_leaves_the_one_before_in_force() {
    let policies = listed();
    policies.policy("shop", "p", newest(1, None, "Allow", "secrets:GetSecretValue"));
    policies.policy("shop", "p", newest(2, Some(1), "Deny", "secrets:Nothing"));
    assert_eq!(allowed(&policies), Ok(true));
    let outcome = policies.outcome("shop", "p").unwrap();
    assert_eq!((outcome.in_force(), outcome.seen), (Some(1), seen(2)));
    policies.remove_policy("shop", "p");
    assert_eq!(allowed(&policies), Ok(false));
    assert_eq!(policies.outcome("shop", "p"), None);
}

#[test]
fn a_broken_policy_that_was_in_force_before_and_is_not_kept_denies() {
    let policies = listed();
    policies.readers("shop", ("db", "uid-db"), "db", &["app".to_owned()]);
    policies.policy("shop", "never", newest(1, None, "Deny", "secrets:Nothing"));
    assert_eq!(allowed(&policies), Ok(true));
    policies.policy("shop", "p", newest(2, Some(1), "Deny", "secrets:Nothing"));
    assert_eq!(allowed(&policies), Ok(false));
    // Again, and still so: what denies is not what was in force.
    policies.policy("shop", "p", newest(3, Some(1), "Deny", "secrets:Nothing"));
    assert_eq!(allowed(&policies), Ok(false));
    policies.policy("shop", "p", newest(4, Some(1), "Allow", "secrets:DescribeSecret"));
    assert_eq!(allowed(&policies), Ok(true));
}

#[test]
fn what_a_list_does_not_have_is_gone() {
    let policies = listed();
    policies.readers("shop", ("db", "uid-db"), "db", &["app".to_owned()]);
    policies.policy("shop", "p", newest(1, None, "Deny", "*"));
    assert_eq!(allowed(&policies), Ok(false));
    policies.policies_listed(&std::collections::HashSet::new());
    assert_eq!(allowed(&policies), Ok(true));
    policies.readers_listed(|namespace, name| (namespace, name) == ("shop", "db"));
    assert_eq!(allowed(&policies), Ok(true));
    policies.readers_listed(|_, _| false);
    assert_eq!(allowed(&policies), Ok(false));
}

/// The next process: it finds what the store kept, and lists what is there.
fn next(kept: EnforcedPolicies, there: &[ObservedPolicy]) -> Policies {
    let policies = Policies::default();
    policies.load_retained(kept);
    policies.readers("shop", ("db", "uid-db"), "db", &["app".to_owned()]);
    policies.readers_listed(|_, _| true);
    for newest in there {
        policies.policy("shop", "p", newest.clone());
    }
    let listed = there.iter().map(|_| ("shop".to_owned(), "p".to_owned()));
    policies.policies_listed(&listed.collect());
    policies
}

/// What a process kept of generation 1 of a policy that says this.
fn kept(effect: &str) -> EnforcedPolicies {
    let policies = listed();
    policies.policy("shop", "p", newest(1, None, effect, "secrets:GetSecretValue"));
    let kept = policies.to_keep("u").unwrap();
    policies.mark_kept(&kept);
    assert_eq!(policies.to_keep("u"), None);
    EnforcedPolicies {
        policies: vec![kept],
        unreadable: 0,
    }
}

#[test]
fn what_is_kept_is_in_force_where_the_newest_generation_is_broken() {
    for (effect, expected) in [("Deny", false), ("Allow", true)] {
        let broken = newest(2, Some(1), "Deny", "secrets:Nothing");
        let policies = next(kept(effect), std::slice::from_ref(&broken));
        // The reader is denied by what was kept of the Deny, and by nothing else.
        assert_eq!(allowed(&policies), Ok(expected), "{effect}");
        assert_eq!(policies.outcome("shop", "p").unwrap().in_force(), Some(1));
        // And it stays, whatever comes.
        policies.policy("shop", "p", newest(3, Some(1), "Allow", "secrets:Nothing"));
        assert_eq!(allowed(&policies), Ok(expected), "{effect}");
        assert_eq!(policies.outcome("shop", "p").unwrap().in_force(), Some(1));
        assert!(policies.to_keep("u").is_none() && policies.to_forget().is_empty());
        policies.policy("shop", "p", newest(4, Some(1), "Allow", "secrets:GetSecretValue"));
        assert_eq!(allowed(&policies), Ok(true));
        assert_eq!(policies.to_keep("u").unwrap().generation, 4);
    }
}

#[test]
fn what_does_not_fit_its_type_leaves_what_is_kept_in_force() {
    let misfit = |told| ObservedPolicy {
        seen: seen(2),
        told,
        spec: Err((
            PolicyFailureReason::Misfit("`spec` does not fit".to_owned()),
            spec("Allow", "*"),
        )),
    };
    let policies = next(kept("Deny"), &[misfit(Some(1))]);
    assert_eq!(allowed(&policies), Ok(false));
    assert_eq!(policies.outcome("shop", "p").unwrap().in_force(), Some(1));
    // Without it, what the policy is attached to is denied; where nothing ever was in force, nothing is.
    assert_eq!(
        allowed(&next(EnforcedPolicies::default(), &[misfit(Some(1))])),
        Ok(false)
    );
    assert_eq!(
        allowed(&next(EnforcedPolicies::default(), &[misfit(None)])),
        Ok(true)
    );
}

#[test]
fn what_is_kept_and_cannot_be_trusted_denies() {
    let broken = || newest(3, Some(2), "Deny", "secrets:Nothing");
    let unreadable = EnforcedPolicies {
        policies: Vec::new(),
        unreadable: 1,
    };
    let of_another_version = || {
        let mut kept = kept("Allow");
        kept.policies[0].generation = 2;
        kept.policies[0].statements = serde_json::to_vec(&spec("Allow", "secrets:Forgotten")).unwrap();
        kept
    };
    for (kept, why) in [
        // Generation 2 was in force, and generation 1 is what the store has.
        (kept("Allow"), UnknownReason::Older { kept: 1, told: 2 }),
        (EnforcedPolicies::default(), UnknownReason::Lost { told: 2 }),
        (unreadable.clone(), UnknownReason::Unreadable),
        (of_another_version(), UnknownReason::Unreadable),
    ] {
        let policies = next(kept, &[broken()]);
        assert_eq!(allowed(&policies), Ok(false), "{why}");
        let outcome = policies.outcome("shop", "p").unwrap();
        assert_eq!(outcome.flaw.unwrap().instead, Fallback::Denies(why));
    }
    // What compiles needs nothing of it, and is kept in its place.
    let policies = next(unreadable, &[newest(3, Some(2), "Allow", "*")]);
    assert_eq!(allowed(&policies), Ok(true));
    assert_eq!(policies.to_keep("u").unwrap().generation, 3);
}

#[test]
fn a_start_that_finds_everything_as_it_was_keeps_and_forgets_nothing() {
    let policies = next(
        kept("Allow"),
        &[newest(1, Some(1), "Allow", "secrets:GetSecretValue")],
    );
    assert!(policies.to_keep("u").is_none() && policies.to_forget().is_empty());
}

#[test]
fn what_is_kept_of_a_policy_that_is_gone_is_forgotten() {
    let policies = next(kept("Allow"), &[]);
    assert_eq!(policies.to_forget(), ["u"]);
    policies.forgotten("u");
    // Gone while the process runs, also while it is being kept.
    let policies = listed();
    policies.policy("shop", "p", newest(1, None, "Allow", "*"));
    let kept = policies.to_keep("u").unwrap();
    policies.remove_policy("shop", "p");
    assert_eq!((policies.to_keep("u"), policies.to_forget()), (None, Vec::new()));
    policies.mark_kept(&kept);
    assert_eq!(policies.to_forget(), ["u"]);
}

#[test]
fn a_policy_made_again_under_its_name_has_nothing_of_the_one_before() {
    let policies = listed();
    policies.readers("shop", ("db", "uid-db"), "db", &["app".to_owned()]);
    policies.policy("shop", "p", newest(5, None, "Deny", "*"));
    policies.mark_kept(&policies.to_keep("u").unwrap());
    assert_eq!(allowed(&policies), Ok(false));
    // The watch missed that it was gone in between.
    let again = ObservedPolicy {
        seen: PolicyGeneration {
            uid: "another".to_owned(),
            generation: 1,
        },
        ..newest(1, None, "Deny", "secrets:Nothing")
    };
    policies.policy("shop", "p", again);
    assert_eq!(allowed(&policies), Ok(true));
    assert_eq!(policies.outcome("shop", "p").unwrap().in_force(), None);
    assert_eq!(policies.to_forget(), ["u"]);
}

/// A policy with so many statements with wildcards, which deny.
fn wild(statements: usize) -> SecretPolicySpec {
    let statement = |number: usize| {
        json!({"effect": "Deny", "principals": [{"serviceAccount": format!("nobody-{number}")}],
            "actions": ["secrets:GetSecretValue"]})
    };
    let statements: Vec<_> = (0..statements).map(statement).collect();
    serde_json::from_value(json!({"secrets": ["d*"], "statements": statements})).unwrap()
}

fn observed(uid: &str, generation: i64, spec: SecretPolicySpec) -> ObservedPolicy {
    ObservedPolicy {
        seen: PolicyGeneration {
            uid: uid.to_owned(),
            generation,
        },
        told: None,
        spec: Ok(spec),
    }
}

#[test]
fn what_is_over_a_bound_denies_and_what_was_in_force_before_stays() {
    let policies = listed();
    policies.readers("shop", ("db", "uid-db"), "db", &["app".to_owned()]);
    for number in 0..15 {
        let name = format!("p{number}");
        policies.policy("shop", &name, observed(&name, 1, wild(64)));
    }
    // 960 of 1,000.
    assert_eq!(allowed(&policies), Ok(true));
    policies.policy("shop", "more", observed("more", 1, wild(40)));
    assert_eq!(policies.outcome("shop", "more").unwrap().flaw, None);
    // A change over the bound leaves what was in force; a new policy denies what it is attached to.
    policies.policy("shop", "more", observed("more", 2, wild(41)));
    let outcome = policies.outcome("shop", "more").unwrap();
    assert_eq!(outcome.in_force(), Some(1));
    let flaw = outcome.flaw.unwrap();
    assert!(matches!(flaw.why, PolicyFailureReason::TooLarge(_)), "{flaw:?}");
    assert!(
        flaw.why.to_string().contains("1001 statements with wildcards"),
        "{}",
        flaw.why
    );
    assert_eq!(allowed(&policies), Ok(true));
    policies.policy("shop", "new", observed("new", 1, wild(1)));
    let flaw = policies.outcome("shop", "new").unwrap().flaw.unwrap();
    assert_eq!(flaw.instead, Fallback::Denies(UnknownReason::TooLarge));
    assert_eq!(allowed(&policies), Ok(false));
    // Another namespace has room of its own, and once there is room again the policy comes into force.
    policies.policy("other", "new", observed("other", 1, wild(64)));
    assert_eq!(policies.outcome("other", "new").unwrap().flaw, None);
    policies.remove_policy("shop", "p0");
    policies.policy("shop", "new", observed("new", 2, wild(1)));
    assert_eq!(policies.outcome("shop", "new").unwrap().flaw, None);
    assert_eq!(allowed(&policies), Ok(true));
    // However many there is no room for, they cost nothing, and deny.
    for number in 0..300 {
        let name = format!("over{number}");
        policies.policy("shop", &name, observed(&name, 1, wild(64)));
    }
    assert_eq!(allowed(&policies), Ok(false));
    for number in 0..300 {
        policies.remove_policy("shop", &format!("over{number}"));
    }
    assert_eq!(allowed(&policies), Ok(true));
}

/// What an upgrade finds over the bounds is kept in the store by the version before.
#[test]
fn what_an_upgrade_finds_over_a_bound_stays_until_it_changes_and_says_so() {
    let policy = |name: &str| EnforcedPolicy {
        uid: name.parse().unwrap(),
        namespace: "shop".parse().unwrap(),
        name: name.to_owned(),
        generation: 1,
        statements: serde_json::to_vec(&wild(64)).unwrap(),
    };
    let names: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
    let policies = Policies::default();
    policies.load_retained(EnforcedPolicies {
        policies: names.iter().map(|name| policy(name)).collect(),
        unreadable: 0,
    });
    policies.readers_listed(|_, _| true);
    // One that the version before did not have takes nobody's room, though it comes first.
    policies.policy("shop", "first", observed("first", 1, wild(1)));
    for name in &names {
        policies.policy("shop", name, observed(name, 1, wild(64)));
    }
    policies.policies_listed(
        &names
            .iter()
            .map(|name| ("shop".to_owned(), name.clone()))
            .chain([("shop".to_owned(), "first".to_owned())])
            .collect(),
    );
    let flaw = policies.outcome("shop", "first").unwrap().flaw;
    assert!(
        matches!(
            flaw,
            Some(PolicyFailure {
                why: PolicyFailureReason::TooLarge(_),
                ..
            })
        ),
        "{flaw:?}"
    );
    for name in &names {
        let outcome = policies.outcome("shop", name).unwrap();
        assert_eq!(outcome.in_force(), Some(1), "{name}");
        assert!(outcome.over.is_some(), "{name} does not say so");
        // The same again, as after the list of another watch.
        policies.policy("shop", name, observed(name, 1, wild(64)));
        assert_eq!(policies.outcome("shop", name).unwrap().in_force(), Some(1));
    }
    policies.policy("shop", "p7", observed("p7", 2, wild(63)));
    let changed = policies.outcome("shop", "p7").unwrap();
    assert_eq!((changed.in_force(), changed.over), (Some(1), None));
    assert!(matches!(
        changed.flaw,
        Some(PolicyFailure {
            why: PolicyFailureReason::TooLarge(_),
            ..
        })
    ));
}

#[test]
fn a_policy_that_asks_for_labels_has_no_other_namespace_wait_for_them() {
    let policies = listed();
    policies.policy("shop", "p", newest(1, None, "Allow", "secrets:GetSecretValue"));
    assert!(!policies.any_asks_labels());
    let asking = json!({"secrets": ["db"], "statements": [
        {"effect": "Allow", "principals": [{"serviceAccount": "app"}], "actions": ["secrets:GetSecretValue"],
            "conditions": {"podLabels": {"app": "web"}}}]});
    let asking = ObservedPolicy::first("v", serde_json::from_value(asking).unwrap());
    policies.policy("evil", "p", asking);
    assert!(policies.any_asks_labels());
    for (namespaces, asks) in [
        (vec!["shop"], false),
        (vec!["evil"], true),
        (vec!["shop", "evil"], true),
        (vec![], false),
    ] {
        assert_eq!(policies.asks_labels(namespaces.clone()), asks, "{namespaces:?}");
    }
    policies.remove_policy("evil", "p");
    assert!(!policies.any_asks_labels() && !policies.asks_labels(["evil"]));
}
