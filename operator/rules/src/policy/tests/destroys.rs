//! What destroys is allowed in full or not at all.

use serde_json::json;

use super::{account, ask, book, policy};
use crate::policy::{Action, PolicySet, PolicySource, RequestFacts};

#[test]
fn no_pattern_allows_what_destroys_and_any_denies_it() {
    let destroying: Vec<Action> = Action::ALL
        .iter()
        .copied()
        .filter(|action| action.destroys())
        .collect();
    assert_eq!(destroying, [Action::PurgeSecret]);
    let app = account("shop", "app");
    let secrets = |effect: &str, action: &str| {
        (
            "shop",
            json!({"secrets": ["db"], "statements": [
            {"effect": effect, "principals": [{"serviceAccount": "app"}], "actions": [action]}]}),
        )
    };
    let identities = |effect: &str, action: &str| {
        (
            "shop",
            json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
            {"effect": effect, "actions": [action], "resources": ["secret/db"]}]}),
        )
    };
    for action in destroying {
        let name = action.as_str();
        let allowed =
            |policies: &[_]| ask(&book(policies), &app, action, "db", &RequestFacts::default()).allowed;
        for pattern in ["*", "secrets:*", "secrets:P*"] {
            assert!(!allowed(&[secrets("Allow", pattern)]), "{pattern}");
            assert!(!allowed(&[identities("Allow", pattern)]), "{pattern}");
            assert!(
                !allowed(&[secrets("Allow", name), secrets("Deny", pattern)]),
                "{pattern}"
            );
            assert!(
                !allowed(&[identities("Allow", name), identities("Deny", pattern)]),
                "{pattern}"
            );
        }
        assert!(allowed(&[secrets("Allow", name)]) && allowed(&[identities("Allow", name)]));
        // Whoever may destroy may not therefore do anything else.
        let decision = ask(
            &book(&[secrets("Allow", name)]),
            &app,
            Action::DeleteSecret,
            "db",
            &RequestFacts::default(),
        );
        assert!(!decision.allowed);
    }
}

#[test]
fn a_pattern_that_could_allow_nothing_else_is_refused() {
    let with = |effect: &str| {
        let spec = json!({"secrets": ["*"], "statements": [
            {"effect": effect, "principals": [{"user": "a"}], "actions": ["secrets:Purge*"]}]});
        let mut book = PolicySet::default();
        book.put("shop", &PolicySource::Policy("p".to_owned()), &policy(spec))
    };
    let refusal = with("Allow").unwrap_err().to_string();
    assert!(
        refusal.starts_with("statement 1, actions[0], column"),
        "{refusal}"
    );
    assert!(
        refusal.contains("named in full, as in `secrets:PurgeSecret`"),
        "{refusal}"
    );
    assert_eq!(with("Deny"), Ok(()));
}
