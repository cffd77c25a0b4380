//! Whom principals of RAM stand for, and that what is uncertain never allows and always denies.

use serde_json::json;

use super::*;
use crate::policy::{Action, PolicySet, PolicySource, Principal, Request, RequestFacts, SecretRef, decide};

const PARTNER: &str = "190325303126****";

fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn user(name: &str) -> RamAliases {
    RamAliases::from_annotations(&annotations(&[(RAM_USER, name)]))
}

fn resolve(directory: &RamDirectory, text: &str) -> (Option<String>, Vec<String>, Option<UnresolvedReason>) {
    let resolution = directory.resolve(&text.parse().unwrap());
    (resolution.allowed, resolution.denied, resolution.unresolved)
}

fn known(one: &str) -> (Option<String>, Vec<String>, Option<UnresolvedReason>) {
    (Some(one.to_owned()), vec![one.to_owned()], None)
}

fn unknown(
    denied: &[&str],
    reason: UnresolvedReason,
) -> (Option<String>, Vec<String>, Option<UnresolvedReason>) {
    let denied = denied.iter().map(|text| (*text).to_owned());
    (None, denied.collect(), Some(reason))
}

/// A partner's namespace, in which `reader` is a user of RAM, and `batch` is nothing but itself.
fn directory() -> RamDirectory {
    let mut directory = RamDirectory::default();
    directory.put_namespace("partner", Some(PARTNER));
    directory.put_namespace("shop", None);
    directory.put_service_account("partner", "reader", user("key_ramuser3"));
    directory.put_service_account("partner", "batch", RamAliases::default());
    directory.put_service_account("shop", "checkout", RamAliases::default());
    directory
}

#[test]
fn annotations_say_what_an_object_is_in_ram() {
    let all = annotations(&[
        (RAM_ROLE, "One"),
        (POD_IDENTITY_ROLE, "two"),
        (ALIBABA_ACCOUNT, PARTNER),
    ]);
    let aliases = RamAliases::from_annotations(&all);
    for (name, expected) in [("One", true), ("two", true), ("one", false)] {
        assert_eq!(
            aliases.0.contains(&RamSubject::Role(name.into())),
            expected,
            "{name}"
        );
        assert!(!aliases.0.contains(&RamSubject::User(name.into())));
    }
    let long = "u".repeat(ALIAS_BYTES + 1);
    let long = annotations(&[(RAM_USER, long.as_str())]);
    assert_eq!(RamAliases::from_annotations(&long), RamAliases::default());
    assert_eq!(account_annotation(&all), Some(PARTNER));
    for none in ["", "*", "a b", &"1".repeat(65)] {
        assert_eq!(account_annotation(&annotations(&[(ALIBABA_ACCOUNT, none)])), None);
    }
}

#[test]
fn an_annotation_counts_and_else_the_own_name() {
    let directory = directory();
    let partner = |subject: &str| resolve(&directory, &format!("acs:ram::{PARTNER}:{subject}"));
    assert_eq!(partner("user/key_ramuser3"), known("partner/reader"));
    assert_eq!(partner("user/batch"), known("partner/batch"));
    assert_eq!(partner("role/batch"), known("partner/batch"));
    assert_eq!(partner("root"), known("partner/*"));
    assert_eq!(partner("*"), known("partner/*"));
    assert_eq!(
        partner("role/key_ramuser3"),
        unknown(&[], UnresolvedReason::NoServiceAccount("partner".to_owned()))
    );
    assert_eq!(
        resolve(&directory, "acs:ram::shop:role/checkout"),
        known("shop/checkout")
    );
    // A namespace with an account is not called by its name as well.
    assert_eq!(
        resolve(&directory, "acs:ram::partner:user/batch"),
        unknown(&[], UnresolvedReason::NoNamespace)
    );
}

#[test]
fn a_namespace_that_is_called_by_a_number_is_not_the_account_of_an_allow() {
    let mut directory = directory();
    let number = "1903253031261234";
    directory.put_namespace(number, None);
    directory.put_service_account(number, "reader", user("key_ramuser3"));
    let account = |subject: &str| format!("acs:ram::{number}:{subject}");
    // A Deny is for whoever can be meant.
    for (subject, denied) in [("user/key_ramuser3", "reader"), ("root", "*")] {
        assert_eq!(
            resolve(&directory, &account(subject)),
            unknown(&[&format!("{number}/{denied}")], UnresolvedReason::NoNamespace)
        );
    }
    directory.put_namespace("digits", Some(number));
    directory.put_service_account("digits", "app", RamAliases::default());
    let (allowed, _, unresolved) = resolve(&directory, &account("role/app"));
    assert_eq!((allowed.as_deref(), unresolved), (Some("digits/app"), None));
}

#[test]
fn a_masked_account_is_text_and_no_pattern() {
    let mut directory = directory();
    directory.remove_namespace("partner");
    directory.put_namespace("190325303126x", None);
    directory.put_namespace("digits", Some("1903253031261234"));
    for namespace in ["190325303126x", "digits"] {
        directory.put_service_account(namespace, "reader", user("key_ramuser3"));
    }
    assert_eq!(
        resolve(&directory, &format!("acs:ram::{PARTNER}:user/key_ramuser3")),
        unknown(&[], UnresolvedReason::NoNamespace)
    );
}

#[test]
fn what_is_uncertain_allows_nobody_and_denies_all() {
    let mut directory = directory();
    let user_of_partner = format!("acs:ram::{PARTNER}:user/key_ramuser3");
    // Two of the namespace.
    directory.put_service_account("partner", "other", user("key_ramuser3"));
    assert_eq!(
        resolve(&directory, &user_of_partner),
        unknown(
            &["partner/*"],
            UnresolvedReason::SeveralServiceAccounts("partner".to_owned())
        )
    );
    directory.remove_service_account("partner", "other");
    assert_eq!(resolve(&directory, &user_of_partner), known("partner/reader"));
    // Two namespaces, in one of which there is nobody of the name.
    directory.put_namespace("shop", Some(PARTNER));
    assert_eq!(
        resolve(&directory, &user_of_partner),
        unknown(&["partner/reader"], UnresolvedReason::SeveralNamespaces)
    );
    for number in 0..MAX_DENIED_NAMESPACES {
        directory.put_namespace(&format!("n{number}"), Some(PARTNER));
    }
    assert_eq!(
        resolve(&directory, &user_of_partner),
        unknown(&[EVERYBODY], UnresolvedReason::SeveralNamespaces)
    );
}

#[test]
fn nobody_gets_away_from_a_deny_by_an_annotation() {
    let mut directory = directory();
    directory.put_service_account("partner", "decoy", user("batch"));
    let (allowed, denied, unresolved) = resolve(&directory, &format!("acs:ram::{PARTNER}:user/batch"));
    assert_eq!(allowed.as_deref(), Some("partner/decoy"));
    assert_eq!((denied, unresolved), (vec!["partner/*".to_owned()], None));
    // Nor does a namespace whose account another one is annotated with.
    directory.put_namespace("decoy", Some("shop"));
    let (allowed, denied, _) = resolve(&directory, "acs:ram::shop:role/checkout");
    assert_eq!((allowed, denied), (None, vec!["shop/checkout".to_owned()]));
}

#[test]
fn changes_name_the_accounts_that_may_stand_for_others() {
    let mut directory = directory();
    let set = |accounts: &[&str]| -> BTreeSet<String> {
        accounts.iter().map(|account| (*account).to_owned()).collect()
    };
    let both = set(&["partner", PARTNER]);
    assert_eq!(directory.put_namespace("partner", Some(PARTNER)), set(&[]));
    assert_eq!(
        directory.put_service_account("partner", "reader", user("key_ramuser3")),
        set(&[])
    );
    assert_eq!(
        directory.put_service_account("partner", "reader", user("b")),
        both
    );
    assert_eq!(
        directory.put_namespace("partner", Some("9")),
        set(&["9", "partner", PARTNER])
    );
    assert_eq!(directory.remove_service_account("partner", "nobody"), set(&[]));
    assert_eq!(
        directory.remove_service_account("shop", "checkout"),
        set(&["shop"])
    );
    assert_eq!(
        directory.retain_service_accounts(|_, name| name == "batch"),
        set(&["9", "partner"])
    );
    assert_eq!(
        directory.retain_namespaces(|name| name == "shop"),
        set(&["9", "partner"])
    );
    assert_eq!(directory.retain_namespaces(|_| false), set(&["shop"]));
    directory.retain_service_accounts(|_, _| false);
    assert!(directory.namespaces.is_empty() && directory.annotated.is_empty());
}

fn policy(effect: &str) -> SecretPolicySpec {
    serde_json::from_value(json!({"secrets": ["ai-gateway!secret-name"], "statements": [{
        "effect": effect, "actions": ["secrets:GetSecretValue"],
        "principals": [{"user": "jane"}, {"ram": format!("acs:ram::{PARTNER}:user/key_ramuser3")}],
    }]}))
    .unwrap()
}

/// Whether `partner/reader` may, by its own policy and this one of the secret's namespace.
fn may(spec: &SecretPolicySpec) -> bool {
    let own = json!({"identities": {"serviceAccounts": ["*"]}, "statements": [
        {"effect": "Allow", "actions": ["secrets:*"], "resources": ["pay:secret/*"]}]});
    let mut all = PolicySet::default();
    let source = PolicySource::Policy("p".to_owned());
    all.put("partner", &source, &serde_json::from_value(own).unwrap())
        .unwrap();
    all.put("pay", &source, spec).unwrap();
    let principal = Principal {
        identity: crate::policy::Identity::from_username("system:serviceaccount:partner:reader"),
        groups: Vec::new(),
    };
    let request = Request {
        principal: &principal,
        action: Action::GetSecretValue,
        secret: SecretRef {
            namespace: "pay",
            name: "ai-gateway!secret-name",
        },
        key: None,
        owner: None,
        products: <_>::default(),
        facts: &RequestFacts::default(),
    };
    decide(&all, &request).unwrap().allowed
}

#[test]
fn a_policy_is_for_those_that_its_principals_stand_for() {
    let mut directory = directory();
    let resolved = directory.resolve_policy(&policy("Allow")).unwrap();
    assert!(resolved.unresolved.is_empty() && may(&resolved.spec));
    assert!(!may(&policy("Allow")), "before that it is for nobody");
    directory.remove_service_account("partner", "reader");
    let resolved = directory.resolve_policy(&policy("Allow")).unwrap();
    assert!(!may(&resolved.spec));
    assert_eq!(resolved.spec, policy("Allow"));
    let told: Vec<String> = resolved.unresolved.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "`acs:ram::190325303126****:user/key_ramuser3`: no ServiceAccount of namespace `partner` stands for it; \
             annotate one with `strongroom.dev/ram-user=key_ramuser3`"
        ]
    );
    let account = [PARTNER.to_owned()];
    assert!(ram_accounts(&policy("Deny")).iter().eq(&account));
    // What names nobody of RAM is left as it is.
    let plain = json!({"secrets": ["a"], "statements": [
        {"effect": "Allow", "actions": ["*"], "principals": [{"user": "jane"}]}]});
    let plain: SecretPolicySpec = serde_json::from_value(plain).unwrap();
    assert_eq!(directory.resolve_policy(&plain), None);
}
