//! What ExplainAccess answers as `checks`, by a store and by policies: what each comes to is in
//! `operations/access_checks/tests.rs`.

use strongroom_store::vault::{DisableKey, EnableKey};

use super::*;

/// What fails, by check and result.
fn failing(explained: &Json) -> Vec<(String, String)> {
    with_state(explained, "failing")
}

fn with_state(explained: &Json, state: &str) -> Vec<(String, String)> {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let checks = explained["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["state"] == state)
        .map(|check| (text(&check["check"]), text(&check["result"])))
        .collect()
}

fn pair(check: &str, result: &str) -> (String, String) {
    (check.to_owned(), result.to_owned())
}

#[tokio::test]
async fn what_a_read_is_refused_for_is_the_check_that_fails() {
    let world = World::new(0);
    let key = world.key("pay");
    let namespace = world.namespace_id();
    let secret = world.secret("shop", "card", "s3cr3t");
    world.under(secret, key);
    world.read_by("card", &["app"]);
    world.allow("sees", "owner", "secrets:DescribeSecret", "*");
    let explain = async |query: &str| {
        let path = format!("/card/access?{query}");
        world.get("shop/owner", &path).await.json()
    };
    let fine = explain("principal=shop/app").await;
    assert_eq!(failing(&fine), []);
    assert_eq!(with_state(&fine, "unknown"), []);
    assert!(with_state(&fine, "irrelevant").contains(&pair("network", "NeverSeen")));
    let store = &world.gateway.store;
    store.run(DisableKey { namespace, key }, meta()).unwrap();
    let disabled = explain("principal=shop/app").await;
    assert_eq!(failing(&disabled), [pair("key", "KeyDisabled")]);
    let checks = disabled["checks"].as_array().unwrap().iter();
    let remedies: Vec<&str> = checks.filter_map(|check| check["remedy"].as_str()).collect();
    assert_eq!(remedies, ["kubectl strongroom -n shop key enable pay"]);
    // Describing uses no key.
    let described = explain("action=DescribeSecret").await;
    assert_eq!(failing(&described), []);
    store.run(EnableKey { namespace, key }, meta()).unwrap();
    // Who has read it reaches the gateway.
    assert_eq!(world.get("shop/app", "/card/value").await.status, 200);
    let seen = explain("principal=shop/app").await;
    assert!(with_state(&seen, "passing").contains(&pair("network", "Reachable")));
    let stranger = explain("principal=shop/stranger").await;
    assert_eq!(
        failing(&stranger),
        [pair("permission", "PolicyDenied"), pair("key", "KeyNotGranted")]
    );
    let stage = explain("principal=shop/app&stage=blue").await;
    assert_eq!(failing(&stage), [pair("secret", "NoStage")]);
    let elsewhere = explain("principal=shop/app&via=aigw").await;
    assert_eq!(failing(&elsewhere), [pair("network", "NoSuchGateway")]);
}

#[tokio::test]
async fn what_is_asked_by_way_of_a_dedicated_gateway_is_judged_there() {
    let gateway = "aigw=127.0.0.1:0,products=aigw,readRate=0,totalRate=7";
    let world = World::beside(gateway).owned_by(products::facts());
    for (secret, via, expected) in [
        ("db-main", "shared", vec![]),
        ("db-main", "aigw", vec![pair("network", "OrdinarySecret")]),
        (
            "pg!free",
            "aigw",
            vec![
                pair("network", "FreeOnDedicated"),
                pair("product", "HostingRefused"),
            ],
        ),
        (
            "pg!paid",
            "aigw",
            vec![pair("network", "OtherGateway"), pair("product", "HostingRefused")],
        ),
        ("pg!paid", "pg", vec![pair("network", "NoSuchGateway")]),
    ] {
        let path = format!("/{secret}/access?via={via}&action=DescribeSecret");
        let explained = world.get("shop/app", &path).await.json();
        assert_eq!(failing(&explained), expected, "{secret} via {via}: {explained}");
        let checks = explained["checks"].as_array().unwrap();
        let rate = checks.iter().find(|check| check["check"] == "rate").unwrap();
        let result = match via {
            "shared" => "Unlimited",
            "aigw" => "Left",
            _ => "NotVisible",
        };
        assert_eq!(rate["result"], result, "{rate}");
        if via == "aigw" {
            let text = "reads a second: 7 of 7 requests left to all callers of the gateway together";
            assert_eq!(rate["detail"], text);
        }
    }
}

#[tokio::test]
async fn what_a_principal_of_another_namespace_does_is_not_told() {
    let world = World::new(0);
    world.allow("sees", "owner", "secrets:DescribeSecret", "*");
    let told = world
        .get("shop/owner", "/db-main/access?principal=team-b/app")
        .await
        .json();
    assert_eq!(with_state(&told, "unknown"), [pair("rate", "NotVisible")]);
}

#[tokio::test]
async fn whoever_may_know_that_there_is_no_secret_asks_whether_one_can_be_made() {
    let world = World::new(0);
    world.allow("sees", "owner", "secrets:DescribeSecret", "*");
    world.allow("makes", "maker", "secrets:*", "*");
    let path = "/new/access?action=CreateSecret";
    for (account, expected) in [
        ("shop/owner", vec![pair("permission", "PolicyDenied")]),
        ("shop/maker", vec![]),
    ] {
        let explained = world.get(account, path).await.json();
        assert_eq!(failing(&explained), expected, "{account}");
        assert!(with_state(&explained, "passing").contains(&pair("secret", "NameFree")));
        assert_eq!(explained["secret"], "it does not exist yet");
        let caller = format!("serviceaccount {account}");
        assert_eq!(world.last(), record(&caller, "ExplainAccess", "Done"));
    }
    let under = async || {
        let path = "/new/access?action=CreateSecret&encryptionKey=gone";
        failing(&world.get("shop/maker", path).await.json())
    };
    assert_eq!(under().await, [pair("key", "KeyNotGranted")]);
    world.allow("uses", "maker", "keys:*", "*");
    assert_eq!(under().await, [pair("key", "KeyAbsent")]);
    // Of what is not there nothing else is told, and strangers hear nothing at all.
    for (account, path) in [("shop/owner", "/new/access"), ("shop/spy", path)] {
        let refused = world.get(account, path).await;
        assert_eq!(refused.code(), (404, "SecretNotFound".to_owned()), "{account}");
    }
    let taken = world
        .get("shop/maker", "/db-main/access?action=CreateSecret")
        .await
        .json();
    assert_eq!(failing(&taken), [pair("secret", "NameTaken")]);
}

#[tokio::test]
async fn which_keys_a_namespace_has_is_told_to_nobody_of_another_one() {
    let world = World::new(0);
    world.key("pay");
    world.allow("sees", "team-b/app", "secrets:*", "*");
    let own = serde_json::from_value(json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
        {"effect": "Allow", "actions": ["secrets:*"], "resources": ["shop:secret/*"]}]}));
    let policies = &world.gateway.policies;
    policies.policy("team-b", "own", ObservedPolicy::first("own", own.unwrap()));
    let ask = async |query: &str| {
        let path = format!("/db-main/access?action=UpdateSecret{query}");
        world.get("team-b/app", &path).await
    };
    assert_eq!(ask("").await.status, 200);
    let refusals = [ask("&encryptionKey=pay").await, ask("&encryptionKey=gone").await];
    for refused in &refusals {
        assert_eq!(refused.code(), (403, "PolicyDenied".to_owned()));
    }
    let [there, absent] = refusals.map(|refused| refused.json()["detail"].clone());
    assert_eq!(there, absent);
}
