//! What comes in goes out and comes in as the same, whatever it says.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value as Json, json};
use strongroom_crds::annotation::RAM_ACCOUNTS;
use strongroom_crds::v1alpha1::{PolicyPrincipal, SecretPolicySpec};

use super::super::export::allows_keys;
use super::super::{action, export};
use super::{identities, imported, secrets};

fn one_or_many(texts: &'static [&'static str]) -> impl Strategy<Value = Json> {
    let many = subsequence(texts, 1..=texts.len()).prop_map(|texts| json!(texts));
    prop_oneof![select(texts).prop_map(|text| json!(text)), many]
}

fn conditions() -> impl Strategy<Value = Json> {
    let ranges = one_or_many(&["10.0.0.0/8", "192.168.1.1", "fd00::/8", "0.0.0.0/0"]);
    let after = select(&["DateGreaterThan", "DateGreaterThanEquals"][..]);
    let from = select(
        &[
            "2027-01-01T00:00:00Z",
            "2027-01-01T08:00:00+08:00",
            "2026-02-28T23:59:59-01:30",
        ][..],
    );
    let until = select(&["2028-01-01T00:00:00Z", "2027-06-30T12:00:00+02:00"][..]);
    (
        prop::option::of(ranges),
        prop::option::of((after, from)),
        prop::option::of(until),
    )
        .prop_map(|(ranges, from, until)| {
            let mut all = json!({});
            if let Some(ranges) = ranges {
                all["IpAddress"] = json!({"acs:SourceIp": ranges});
            }
            if let Some((operator, from)) = from {
                all[operator] = json!({"acs:CurrentTime": from});
            }
            if let Some(until) = until {
                all["DateLessThan"] = json!({"acs:CurrentTime": [until]});
            }
            all
        })
}

fn statements(is_identity: bool) -> impl Strategy<Value = Json> {
    let actions = one_or_many(&[
        "kms:List*",
        "kms:GetSecretValue",
        "kms:getsecretvalue",
        "kms:*",
        "*",
        "kms:De*",
        "kms:?ecrypt",
        "kms:G*",
        "kms:GenerateDataKey",
        "kms:*Policy",
        "kms:*policy",
    ]);
    let resources = if is_identity {
        one_or_many(&[
            "*",
            "acs:kms:${region}:${account}:secret/mcp!*",
            "acs:kms:*:*:*",
            "acs:kms:cn-hangzhou:123456789012****:secret/a",
            "acs:kms:*:team-b:key/*",
            "acs:kms:*:shop:secret/db-*",
        ])
        .boxed()
    } else {
        one_or_many(&[
            "*",
            "acs:kms:cn-hangzhou:999999999999****:secret/ai-gateway!secret-name",
        ])
        .boxed()
    };
    let principals = one_or_many(&[
        "acs:ram::190325303126****:user/key_ramuser3",
        "acs:ram::1:role/Reader",
        "acs:ram::shop:root",
        "acs:ram::2:*",
    ]);
    (
        any::<bool>(),
        prop::option::of("[a-zA-Z ü\"]{0,6}"),
        actions,
        resources,
        principals,
        prop::option::of(conditions()),
    )
        .prop_map(move |(deny, sid, actions, resources, principals, conditions)| {
            let effect = if deny { "Deny" } else { "Allow" };
            let mut statement = json!({"Effect": effect, "Action": actions, "Resource": resources});
            if let Some(sid) = sid {
                statement["Sid"] = json!(sid);
            }
            if !is_identity {
                statement["Principal"] = json!({"RAM": principals});
            }
            if let Some(conditions) = conditions {
                statement["Condition"] = conditions;
            }
            statement
        })
}

fn policies() -> impl Strategy<Value = (bool, Json, bool)> {
    any::<bool>().prop_flat_map(|is_identity| {
        let statements = prop::collection::vec(statements(is_identity), 1..4);
        (statements, any::<bool>()).prop_map(move |(statements, is_pretty)| {
            let mut policy = json!({"Version": "1", "Statement": statements});
            if let [only] = statements.as_slice() {
                policy["Statement"] = only.clone();
            }
            (is_identity, policy, is_pretty)
        })
    })
}

/// What an Allow says of keys goes out without patterns.
fn keys_in_full(spec: &SecretPolicySpec) -> SecretPolicySpec {
    let mut spec = spec.clone();
    for statement in &mut spec.statements {
        if allows_keys(statement) {
            statement.actions = action::in_full(&statement.actions);
        }
    }
    spec
}

proptest! {
    #[test]
    fn what_comes_in_goes_out_and_comes_in_as_the_same((is_identity, policy, is_pretty) in policies()) {
        let target = if is_identity { identities() } else { secrets() };
        let text = if is_pretty { serde_json::to_string_pretty(&policy).unwrap() } else { policy.to_string() };
        let first = imported(&text, &target);
        let out = export("shop", &first.spec, &first.annotations).unwrap();
        prop_assert_eq!(&out, &text);
        prop_assert_eq!(&imported(&out, &target), &first);
        // Without what was kept, another text that says the same.
        let accounts = first.annotations.get(RAM_ACCOUNTS).cloned();
        let accounts: BTreeMap<String, String> =
            accounts.into_iter().map(|text| (RAM_ACCOUNTS.to_owned(), text)).collect();
        let out = export("shop", &first.spec, &accounts).unwrap();
        let again = imported(&out, &target);
        prop_assert_eq!(keys_in_full(&again.spec), keys_in_full(&first.spec), "{}", out);
        prop_assert_eq!(export("shop", &again.spec, &again.annotations).unwrap(), out);
        // Through the API server, as JSON.
        let stored = serde_json::to_value(&first.spec).unwrap();
        let stored: SecretPolicySpec = serde_json::from_value(stored).unwrap();
        prop_assert_eq!(export("shop", &stored, &first.annotations).unwrap(), text);
        let is_ram = |principal: &PolicyPrincipal| matches!(principal, PolicyPrincipal::Ram(_));
        let mut principals = stored.statements.iter().flat_map(|statement| &statement.principals).flatten();
        prop_assert!(principals.all(is_ram));
    }
}
