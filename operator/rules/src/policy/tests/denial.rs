//! What a program hears that is kept from a value, and that it can be followed.

use super::{account, policy, request, user};
use crate::policy::{Action, PolicySet, PolicySource, Principal, RequestFacts, decide, denial};

fn said(book: &PolicySet, principal: &Principal) -> String {
    let facts = RequestFacts::default();
    let request = request(principal, Action::GetSecretValue, "checkout-db", &facts);
    denial(&request, &decide(book, &request).unwrap(), "checkout-db")
}

#[test]
fn it_names_who_can_mend_it_and_how() {
    let book = PolicySet::default();
    assert_eq!(
        said(&book, &account("shop", "checkout")),
        "denied: no policy in namespace `shop` allows secrets:GetSecretValue on secret `checkout-db` of namespace `shop` for serviceaccount \
         shop/checkout. Ask an admin of `shop` for `spec.readers: [checkout]` on ManagedSecret checkout-db."
    );
    let other = said(&book, &account("team-b", "app"));
    for part in [
        "no secret policy in namespace `shop`, and no identity policy in namespace `team-b` allows",
        "an admin of `shop` for a SecretPolicy with `secrets: [checkout-db]` that allows it to `serviceAccount: team-b/app`",
        "an admin of `team-b` for a SecretPolicy with `identities: {serviceAccounts: [app]}` that allows it on `shop:secret/checkout-db`",
    ] {
        assert!(other.contains(part), "{other}");
    }
    assert!(said(&book, &user("jane\u{1b}[31m")).contains("user jane\\u{1b}[31m"));
}

#[test]
fn a_statement_of_another_namespace_is_not_named() {
    let mut book = PolicySet::default();
    let spec = policy(serde_json::json!({"secrets": ["*"], "statements": [
        {"sid": "lock", "effect": "Deny", "principals": [{"serviceAccount": "*/*"}], "actions": ["*"]}]}));
    book.put("shop", &PolicySource::Policy("theirs".to_owned()), &spec)
        .unwrap();
    let own = said(&book, &account("shop", "checkout"));
    assert!(own.contains("SecretPolicy `theirs`"), "{own}");
    let other = said(&book, &account("team-b", "app"));
    assert!(
        !other.contains("theirs")
            && !other.contains("lock")
            && other.contains("a statement of namespace `shop` denies"),
        "{other}"
    );
    assert!(other.ends_with("Ask an admin of `shop`."), "{other}");
}
