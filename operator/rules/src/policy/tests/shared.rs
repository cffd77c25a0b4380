//! Statements that say the same are in memory once, and each still counts for its own name alone.

use serde_json::json;

use super::super::{Action, PolicySet, PolicySource, RequestFacts, readers_policy};
use super::{account, ask, policy, user};

fn readers(book: &mut PolicySet, secret: &str, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let source = PolicySource::Readers(secret.to_owned());
    book.put("shop", &source, &readers_policy(secret, &names))
        .unwrap();
}

fn reads(book: &PolicySet, name: &str, secret: &str) -> bool {
    let decision = ask(
        book,
        &account("shop", name),
        Action::GetSecretValue,
        secret,
        &RequestFacts::default(),
    );
    // What allowed it is told by its own name, whoever else says the same.
    let said = decision.statements.iter().map(|statement| &statement.source);
    assert!(
        said.into_iter().eq(decision
            .allowed
            .then(|| PolicySource::Readers(secret.to_owned()))
            .iter())
    );
    decision.allowed
}

#[test]
fn secrets_with_the_same_readers_share_one_statement() {
    let mut book = PolicySet::default();
    for number in 0..500 {
        readers(&mut book, &format!("db-{number}"), &["app", "batch-*"]);
    }
    assert_eq!(book.different(), 1);
    readers(&mut book, "db-7", &["other"]);
    assert_eq!(book.different(), 2);
    assert!(reads(&book, "app", "db-6") && reads(&book, "batch-1", "db-6"));
    assert!(reads(&book, "other", "db-7") && !reads(&book, "app", "db-7"));
    assert!(!reads(&book, "other", "db-6") && !reads(&book, "app", "db-500"));
    for number in 0..500 {
        book.remove("shop", &PolicySource::Readers(format!("db-{number}")));
    }
    assert_eq!(book.different(), 0);
    assert!(!reads(&book, "app", "db-6"));
}

#[test]
fn many_statements_on_one_name_come_and_go() {
    let allow = |number: usize| {
        policy(json!({"secrets": ["db"], "statements": [{"effect": "Allow",
            "principals": [{"serviceAccount": format!("app-{number}")}], "actions": ["secrets:GetSecretValue"]}]}))
    };
    let source = |number: usize| PolicySource::Policy(format!("p{number}"));
    let mut book = PolicySet::default();
    let deny = json!({"secrets": ["db"], "statements": [{"effect": "Deny",
        "principals": [{"serviceAccount": "app-3"}], "actions": ["*"]}]});
    book.put("shop", &source(1_000), &policy(deny)).unwrap();
    let allowed = |book: &PolicySet, number: usize| {
        let app = account("shop", &format!("app-{number}"));
        ask(book, &app, Action::GetSecretValue, "db", &RequestFacts::default()).allowed
    };
    for number in 0..40 {
        book.put("shop", &source(number), &allow(number)).unwrap();
        for known in 0..40 {
            assert_eq!(
                allowed(&book, known),
                known <= number && known != 3,
                "{known} of {number}"
            );
        }
    }
    for number in 0..40 {
        book.remove("shop", &source(number));
        for known in 0..40 {
            assert_eq!(
                allowed(&book, known),
                known > number && known != 3,
                "{known} after {number}"
            );
        }
    }
}

/// What Cedar is not told, a window of the day and names with wildcards, is part of what a statement says.
#[test]
fn an_edit_of_what_stands_beside_the_text_counts_and_so_does_another_namespace() {
    let noon = RequestFacts {
        now: "2026-11-25T12:00:00Z".parse().unwrap(),
        ..RequestFacts::default()
    };
    let source = PolicySource::Policy("p".to_owned());
    let in_window = |start: &str, end: &str| {
        policy(json!({"secrets": ["db"], "statements": [{"effect": "Allow",
            "principals": [{"user": "app"}], "actions": ["secrets:GetSecretValue"],
            "conditions": {"window": {"start": start, "end": end, "timeZone": "UTC"}}}]}))
    };
    let for_groups = |pattern: &str| {
        policy(json!({"secrets": ["db"], "statements": [{"effect": "Allow",
            "principals": [{"group": pattern}], "actions": ["secrets:GetSecretValue"]}]}))
    };
    let allowed = |book: &PolicySet| ask(book, &user("app"), Action::GetSecretValue, "db", &noon).allowed;
    let mut book = PolicySet::default();
    for (spec, expected) in [
        (in_window("11:00", "13:00"), true),
        (in_window("02:00", "05:00"), false),
        (in_window("11:00", "13:00"), true),
        (for_groups("team-*"), true),
        (for_groups("nobody-*"), false),
        (for_groups("team-*"), true),
    ] {
        book.put("shop", &source, &spec).unwrap();
        assert_eq!(allowed(&book), expected, "{spec:?}");
    }
    // A policy of the same name elsewhere, whose text is the same.
    let mut book = PolicySet::default();
    book.put("other", &source, &in_window("11:00", "13:00")).unwrap();
    book.put("shop", &source, &in_window("02:00", "05:00")).unwrap();
    assert!(!allowed(&book));
}
