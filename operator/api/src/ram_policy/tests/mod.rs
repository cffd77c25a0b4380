//! Policies as they are written elsewhere come in, go out as they came, and are refused where they say what
//! cannot be said here.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use strongroom_crds::annotation::{RAM_ACCOUNTS, RAM_POLICY};
use strongroom_crds::v1alpha1::SecretPolicySpec;

use super::*;

mod round_trip;

/// The policies of the documentation of default secrets, byte for byte.
const IDENTITY: &str = r#"{ "Version": "1", "Statement": [{ "Effect": "Allow", "Action": [ "kms:List*", "kms:Describe*", "kms:GetSecretValue" ], "Resource": "acs:kms:${region}:${account}:secret/mcp!*" }] }"#;
const SECRET: &str = r#"{ "Statement": [{ "Action": [ "kms:List*", "kms:Describe*", "kms:GetSecretValue" ], "Effect": "Allow", "Principal": { "RAM": [ "acs:ram::190325303126****:user/key_ramuser3" ] }, "Resource": [ "acs:kms:cn-hangzhou:123456789012****:secret/ai-gateway!secret-name" ] }], "Version": "1" }"#;

fn identities() -> PolicyTarget {
    PolicyTarget::ServiceAccounts(vec!["checkout".to_owned()])
}

fn secrets() -> PolicyTarget {
    PolicyTarget::Secrets(vec!["ai-gateway!secret-name".to_owned()])
}

fn accounts() -> RamAccounts {
    "123456789012****=pay".parse().unwrap()
}

fn imported(text: &str, target: &PolicyTarget) -> ImportedPolicy {
    import(text, "shop", target, &accounts()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn refusal(policy: &Json, target: &PolicyTarget) -> String {
    let text = serde_json::to_string_pretty(policy).unwrap();
    import(&text, "shop", target, &accounts())
        .unwrap_err()
        .to_string()
}

fn spec(spec: Json) -> SecretPolicySpec {
    serde_json::from_value(spec).unwrap()
}

#[test]
fn the_identity_policy_comes_in_and_goes_out_as_it_is() {
    let policy = imported(IDENTITY, &identities());
    let expected = spec(
        json!({"identities": {"serviceAccounts": ["checkout"]}, "statements": [{
        "effect": "Allow", "actions": ["secrets:List*", "secrets:Describe*", "secrets:GetSecretValue"],
        "resources": ["secret/mcp!*"]}]}),
    );
    assert_eq!(policy.spec, expected);
    assert_eq!(
        policy.annotations,
        BTreeMap::from([(RAM_POLICY.to_owned(), IDENTITY.to_owned())])
    );
    assert_eq!(policy.hints, [ImportHint::KeyUse]);
    assert_eq!(
        export("shop", &policy.spec, &policy.annotations).unwrap(),
        IDENTITY
    );
}

#[test]
fn the_secret_policy_comes_in_and_goes_out_as_it_is() {
    // Whether or not anybody knows the accounts.
    for accounts in [RamAccounts::default(), accounts()] {
        let policy = import(SECRET, "pay", &secrets(), &accounts).unwrap();
        let expected = spec(json!({"secrets": ["ai-gateway!secret-name"], "statements": [{
            "effect": "Allow", "actions": ["secrets:List*", "secrets:Describe*", "secrets:GetSecretValue"],
            "principals": [{"ram": "acs:ram::190325303126****:user/key_ramuser3"}]}]}));
        assert_eq!(policy.spec, expected);
        let hint = ImportHint::PrincipalsOf("190325303126****".to_owned());
        assert_eq!(policy.hints, [ImportHint::KeyUse, hint]);
        assert_eq!(export("pay", &policy.spec, &policy.annotations).unwrap(), SECRET);
    }
}

#[test]
fn an_edited_policy_goes_out_as_what_it_says_now() {
    let mut policy = import(SECRET, "pay", &secrets(), &accounts()).unwrap();
    policy.spec.statements[0]
        .actions
        .push("secrets:PutSecretValue".to_owned());
    let text = export("pay", &policy.spec, &policy.annotations).unwrap();
    let expected = json!({"Version": "1", "Statement": [{
        "Effect": "Allow",
        "Principal": {"RAM": ["acs:ram::190325303126****:user/key_ramuser3"]},
        "Action": ["kms:List*", "kms:Describe*", "kms:GetSecretValue", "kms:PutSecretValue"],
        "Resource": "*",
    }]});
    assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), expected);
    assert_eq!(imported(&text, &secrets()).spec, policy.spec);
}

#[test]
fn accounts_that_had_to_be_known_are_kept_for_the_way_back() {
    let text = IDENTITY.replace("${account}", "123456789012****");
    let policy = imported(&text, &identities());
    assert_eq!(
        policy.spec.statements[0].resources,
        Some(vec!["pay:secret/mcp!*".to_owned()])
    );
    assert_eq!(
        policy.annotations.get(RAM_ACCOUNTS).unwrap(),
        "123456789012****=pay"
    );
    assert_eq!(export("shop", &policy.spec, &policy.annotations).unwrap(), text);
    let error = import(&text, "shop", &identities(), &RamAccounts::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("add `--account 123456789012****=NAMESPACE`"),
        "{error}"
    );
}

/// A statement with this in the place of a field, or without it.
fn statement(target: &PolicyTarget, field: &str, value: Option<Json>) -> Json {
    let mut statement = json!({"Effect": "Allow", "Action": "kms:GetSecretValue", "Resource": "*"});
    if let PolicyTarget::Secrets(_) = target {
        statement["Principal"] = json!({"RAM": "acs:ram::1:root"});
    }
    match value {
        Some(value) => statement[field] = value,
        None => drop(statement.as_object_mut().unwrap().remove(field)),
    }
    json!({"Statement": statement, "Version": "1"})
}

#[test]
fn what_cannot_be_said_here_is_refused_with_its_place() {
    let with = |field: &str, value: Json| statement(&identities(), field, Some(value));
    let condition =
        |operator: &str, key: &str, value: &str| with("Condition", json!({operator: {key: value}}));
    let now = "acs:CurrentTime";
    let noon = "2027-01-01T00:00:00Z";
    for (policy, expected) in [
        (json!([]), "$: it must be an object"),
        (json!({"Statement": []}), "$: `Version` is missing"),
        (
            json!({"Version": 1, "Statement": []}),
            "$.Version: it must be a text",
        ),
        (
            json!({"Version": "2", "Statement": []}),
            "$.Version: version `2` is not known",
        ),
        (json!({"Version": "1"}), "$: `Statement` is missing"),
        (
            json!({"Version": "1", "Statement": []}),
            "$.Statement: it is empty",
        ),
        (
            json!({"Version": "1", "Statement": [7]}),
            "$.Statement[0]: it must be an object",
        ),
        (
            json!({"Version": "1", "Statement": {}, "Id": "x"}),
            "$.Id: `Id` is not a field of a policy",
        ),
        (
            with("action", json!("*")),
            "$.Statement.action: `action` is not a field",
        ),
        (
            with("NotAction", json!("kms:*")),
            "$.Statement.NotAction: `NotAction` cannot be imported",
        ),
        (
            with("NotResource", json!("*")),
            "$.Statement.NotResource: `NotResource` cannot",
        ),
        (
            with("NotPrincipal", json!({})),
            "$.Statement.NotPrincipal: `NotPrincipal` cannot",
        ),
        (
            with("Principal", json!({"RAM": "acs:ram::1:root"})),
            "$.Statement.Principal.RAM: a policy for ServiceAccounts has no principals",
        ),
        (
            with("Effect", json!("allow")),
            "$.Statement.Effect: `allow` is not an effect",
        ),
        (
            with("Action", json!("kms:CreateKey")),
            "$.Statement.Action: `kms:CreateKey` is not an action",
        ),
        (
            with("Action", json!(["kms:*", "ecs:*"])),
            "$.Statement.Action[1]: `ecs:*` is not an action",
        ),
        (with("Action", json!([])), "$.Statement.Action: it is empty"),
        (
            with("Action", json!({})),
            "$.Statement.Action: it must be a text or a list of texts",
        ),
        (
            with("Action", json!(["kms:*", 7])),
            "$.Statement.Action[1]: it must be a text",
        ),
        (
            with("Resource", json!("acs:oss:*:*:b/*")),
            "$.Statement.Resource: `acs:oss:*:*:b/*` cannot be",
        ),
        (
            with("Resource", json!("acs:kms:*:1:secret/a")),
            "$.Statement.Resource: account `1` of",
        ),
        (
            with("Sid", json!("s".repeat(129))),
            "$.Statement.Sid: the text has 129 characters",
        ),
        (
            with("Condition", json!({"Bool": "x"})),
            "$.Statement.Condition.Bool: it must be an object of keys",
        ),
        (
            with("Condition", json!({"StringEquals": {}})),
            "$.Statement.Condition.StringEquals: it is empty",
        ),
        (
            condition("StringEquals", "kms:tag/team", "a"),
            "$.Statement.Condition.StringEquals['kms:tag/team']: condition `StringEquals` on `kms:tag/team` cannot",
        ),
        (
            condition("Bool", "acs:MFAPresent", "true"),
            ": condition `Bool` on `acs:MFAPresent` cannot",
        ),
        (
            condition("NotIpAddress", "acs:SourceIp", "10.0.0.1"),
            ": condition `NotIpAddress` on `acs:SourceIp` cannot",
        ),
        (
            condition("DateLessThanEquals", now, noon),
            ": condition `DateLessThanEquals` on `acs:CurrentTime` cannot",
        ),
        (
            condition("IpAddress", "acs:SourceIp", "10.0.0.0/33"),
            "`10.0.0.0/33` is not an address range",
        ),
        (
            condition("IpAddress", "acs:SourceIp", "10.0.0.0/08"),
            "`10.0.0.0/08` is not an address range",
        ),
        (
            // Nobody comes from there: a Deny on it would be for nobody.
            condition("IpAddress", "acs:SourceIp", "::ffff:10.0.0.0/104"),
            "`::ffff:10.0.0.0/104` is not an address range",
        ),
        (
            condition("IpAddress", "acs:SourceIp", "host"),
            "`host` is not an address range",
        ),
        (
            condition("DateLessThan", now, "2027-01-01"),
            "`2027-01-01` is not a time",
        ),
        (
            condition("DateLessThan", now, "2027-01-01T00:00:00.5Z"),
            "`2027-01-01T00:00:00.5Z` is not a time",
        ),
        (
            with("Condition", json!({"DateLessThan": {now: [noon, noon]}})),
            "it must be one time",
        ),
        (
            with(
                "Condition",
                json!({"DateLessThan": {now: noon}, "DateGreaterThan": {now: "2027-01-01T08:00:00+08:00"}}),
            ),
            "$.Statement.Condition: the statement would begin when it ends",
        ),
        (
            with(
                "Condition",
                json!({"DateGreaterThan": {now: noon}, "DateGreaterThanEquals": {now: noon}}),
            ),
            "$.Statement.Condition.DateGreaterThanEquals['acs:CurrentTime']: it says the same",
        ),
    ] {
        let refusal = refusal(&policy, &identities());
        assert!(refusal.contains(expected), "{refusal}");
    }
    // Nor is a condition of a Deny left out, which would be for more than its author wanted.
    let mut deny = condition("Bool", "acs:MFAPresent", "false");
    deny["Statement"]["Effect"] = json!("Deny");
    assert!(refusal(&deny, &identities()).contains("condition `Bool`"));
}

#[test]
fn principals_that_cannot_be_named_here_are_refused() {
    for (value, expected) in [
        (
            json!("*"),
            "$.Statement.Principal: everybody as a principal cannot be imported",
        ),
        (json!({"RAM": "*"}), "$.Statement.Principal.RAM: everybody"),
        (
            json!({"RAM": ["acs:ram::1:root", "*"]}),
            "$.Statement.Principal.RAM[1]: everybody",
        ),
        (
            json!("acs:ram::1:root"),
            "$.Statement.Principal: it must be an object with `RAM`",
        ),
        (
            json!({"Service": ["ecs.aliyuncs.com"]}),
            "$.Statement.Principal.Service: principals `Service` cannot",
        ),
        (json!({}), "$.Statement.Principal: `RAM` is missing"),
        (json!({"RAM": []}), "$.Statement.Principal.RAM: it is empty"),
        (
            json!({"RAM": ["acs:ram::*:root"]}),
            "$.Statement.Principal.RAM[0]: `acs:ram::*:root` is not a principal of RAM",
        ),
        (
            json!({"RAM": ["acs:ram::1:user/*"]}),
            "$.Statement.Principal.RAM[0]: `acs:ram::1:user/*` is not",
        ),
    ] {
        let refusal = refusal(&statement(&secrets(), "Principal", Some(value)), &secrets());
        assert!(refusal.contains(expected), "{refusal}");
    }
    let refused = refusal(&statement(&secrets(), "Principal", None), &secrets());
    assert!(
        refused.contains("$.Statement: `Principal` is missing"),
        "{refused}"
    );
    let other = json!("acs:kms:*:*:secret/other");
    let refused = refusal(&statement(&secrets(), "Resource", Some(other)), &secrets());
    assert!(refused.contains("is not among the secrets"), "{refused}");
}

#[test]
fn a_policy_for_several_secrets_is_about_each_of_them() {
    let two = PolicyTarget::Secrets(vec!["db".to_owned(), "cache".to_owned()]);
    let about = |resources: &[&str]| statement(&two, "Resource", Some(json!(resources)));
    let (db, cache) = ("acs:kms:*:*:secret/db", "acs:kms:*:*:secret/cache");
    // As it stands it would count for both.
    for effect in ["Allow", "Deny"] {
        let mut policy = about(&[db]);
        policy["Statement"]["Effect"] = json!(effect);
        let refused = refusal(&policy, &two);
        assert!(
            refused.contains("$.Statement.Resource: the statement is not about `cache`"),
            "{refused}"
        );
    }
    for resources in [&["*"][..], &[db, cache], &[cache, "*"]] {
        let text = about(resources).to_string();
        let policy = imported(&text, &two);
        assert_eq!(
            policy.spec.secrets,
            Some(vec!["db".to_owned(), "cache".to_owned()])
        );
        assert_eq!(export("shop", &policy.spec, &policy.annotations).unwrap(), text);
    }
}

#[test]
fn an_allow_of_keys_goes_out_without_patterns() {
    let exported = |effect: &str, resources: &[&str], actions: &[&str]| {
        let policy = spec(json!({"identities": {"serviceAccounts": ["a"]}, "statements": [
            {"effect": effect, "actions": actions, "resources": resources}]}));
        let text = export("shop", &policy, &BTreeMap::new()).unwrap();
        let read: Json = serde_json::from_str(&text).unwrap();
        read["Statement"][0]["Action"].clone()
    };
    let all = &["keys:*", "secrets:*"][..];
    // `kms:*` would be about disabling and deleting them as well.
    let names = exported(
        "Allow",
        &["secret/a", "pay:key/*"],
        &["keys:*", "secrets:Get*Value"],
    );
    assert_eq!(
        names,
        json!(["kms:Decrypt", "kms:GenerateDataKey", "kms:GetSecretValue"])
    );
    let names = exported("Allow", &["key/*"], all);
    assert_eq!(names.as_array().unwrap().len(), 16);
    assert_eq!(exported("Allow", &["secret/*"], all), json!(["kms:*"]));
    assert_eq!(exported("Deny", &["key/*"], all), json!(["kms:*"]));
}

#[test]
fn a_namespace_that_is_called_like_the_account_of_another_does_not_go_out_as_it() {
    let annotations = BTreeMap::from([(RAM_ACCOUNTS.to_owned(), "pay=shop".to_owned())]);
    let policy = spec(json!({"secrets": ["db"], "statements": [{"effect": "Deny",
        "actions": ["secrets:*"], "principals": [{"serviceAccount": "pay/app"}]}]}));
    let error = export("shop", &policy, &annotations).unwrap_err().to_string();
    assert!(
        error.contains("a principal of the kind `serviceAccount`"),
        "{error}"
    );
}

#[test]
fn a_place_is_a_line_and_a_column_of_the_text_as_it_was_written() {
    for (text, expected) in [
        (
            "{\n  \"Version\": \"1\",\n  \"Statement\": [{\"Effect\": \"Allow\", \"Action\": [\"kms:*\",\n    \"kms:CreateKey\"], \"Resource\": \"*\"}]\n}",
            "line 4, column 5, $.Statement[0].Action[1]: `kms:CreateKey` is not an action that there is here; take it out",
        ),
        (
            "{\"Version\": \"1\", \"Statement\": [],\n \"Version\": \"1\"}",
            "line 2, column 2, $: `Version` stands twice in this object; leave one of them",
        ),
        (
            "{\"Version\": \"1\", \"Statement\": [{\"Effect\": \"Allow\", \"Effect\": \"Deny\"}]}",
            "line 1, column 52, $.Statement[0]: `Effect` stands twice in this object; leave one of them",
        ),
    ] {
        let error = import(text, "shop", &identities(), &accounts()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn lengths_have_bounds() {
    let padded = |length: usize| format!("{IDENTITY}{}", " ".repeat(length - IDENTITY.len()));
    assert!(import(&padded(RAM_POLICY_BYTES), "shop", &identities(), &accounts()).is_ok());
    let error = import(&padded(RAM_POLICY_BYTES + 1), "shop", &identities(), &accounts()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1, column 1, $: the policy has 32769 bytes, and at most 32768 are read"
    );
    let one = statement(&identities(), "Sid", None)["Statement"].clone();
    let many = |count: usize| json!({"Version": "1", "Statement": vec![one.clone(); count]});
    assert!(import(&many(64).to_string(), "shop", &identities(), &accounts()).is_ok());
    let refused = refusal(&many(65), &identities());
    assert!(
        refused.contains("$.Statement: there are 65, and a SecretPolicy takes 64"),
        "{refused}"
    );
    let resources: Vec<String> = (0..65)
        .map(|number| format!("acs:kms:*:*:secret/{number}"))
        .collect();
    let refused = refusal(
        &statement(&identities(), "Resource", Some(json!(resources))),
        &identities(),
    );
    assert!(
        refused.contains("$.Statement.Resource: there are 65"),
        "{refused}"
    );
}

#[test]
fn names_of_statements_lose_what_a_secret_policy_does_not_have_and_come_back() {
    let text = statement(&identities(), "Sid", Some(json!("Lesen für „MCP“"))).to_string();
    let policy = imported(&text, &identities());
    assert_eq!(policy.spec.statements[0].sid.as_deref(), Some("Lesen f_r _MCP_"));
    assert_eq!(export("shop", &policy.spec, &policy.annotations).unwrap(), text);
    let none = statement(&identities(), "Sid", Some(json!(""))).to_string();
    assert_eq!(imported(&none, &identities()).spec.statements[0].sid, None);
}

#[test]
fn what_ram_cannot_say_does_not_go_out() {
    let export = |value: Json| export("shop", &spec(value), &BTreeMap::new());
    let of_secrets = |statement: Json| {
        let mut policy = json!({"secrets": ["db"], "statements": [
            {"effect": "Deny", "actions": ["secrets:*"], "principals": [{"ram": "acs:ram::1:root"}]}]});
        for (field, value) in statement.as_object().unwrap() {
            policy["statements"][0][field] = value.clone();
        }
        export(policy)
    };
    for (statement, expected) in [
        (
            json!({"principals": [{"user": "jane"}]}),
            "spec.statements[0].principals[0]: a principal of the kind `user`",
        ),
        (
            json!({"principals": [{"ram": "acs:ram::1:root"}, {"group": "ops"}]}),
            "spec.statements[0].principals[1]: a principal of the kind `group`",
        ),
        (
            json!({"principals": [{"product": "aigw"}]}),
            "spec.statements[0].principals[0]: a principal of the kind `product`",
        ),
        (
            json!({"principals": [{"serviceAccount": "batch-*"}]}),
            "spec.statements[0].principals[0]: a principal of the kind `serviceAccount`",
        ),
        (
            json!({"principals": [{"serviceAccount": "team-*/app"}]}),
            "spec.statements[0].principals[0]: a principal",
        ),
        (
            json!({"actions": ["secrets:PurgeSecret"]}),
            "spec.statements[0].actions: KMS has no action like `secrets:PurgeSecret`",
        ),
        (
            json!({"conditions": {"stages": ["Current"]}}),
            "spec.statements[0].conditions.stages: RAM has no such condition",
        ),
        (
            json!({"conditions": {"podLabels": {"a": "b"}}}),
            "spec.statements[0].conditions.podLabels: RAM",
        ),
    ] {
        let error = of_secrets(statement).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let resource = json!({"identities": {"serviceAccounts": ["a"]}, "statements": [
        {"effect": "Allow", "actions": ["secrets:*"], "resources": ["secret/a", "*:secret/b"]}]});
    let error = export(resource).unwrap_err().to_string();
    assert_eq!(
        error,
        "spec.statements[0].resources[1]: no resource of KMS stands for `*:secret/b`"
    );
    assert_eq!(export(json!({"statements": []})), Err(RamExportError::Attachment));
    // ServiceAccounts are roles, and all of a namespace its account.
    let known = json!({"principals": [{"serviceAccount": "app"}, {"serviceAccount": "pay/*"}]});
    let text = of_secrets(known).unwrap();
    let principals = ["acs:ram::shop:role/app", "acs:ram::pay:root"];
    let read: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(read["Statement"][0]["Principal"]["RAM"], json!(principals));
}
