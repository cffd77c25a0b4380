//! People, of whom the extension API says who they are: what RBAC lets them see, and the audit.

use strongroom_api::sealed::OpeningKey;

use super::*;

/// A request that comes over the extension API in somebody's name.
pub(super) async fn person(world: &World, user: &str, method: &str, path: &str, body: Json) -> TestAnswer {
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/namespaces/shop/{path}"))
        .header("x-strongroom-user", user)
        .header("x-strongroom-group", "ops")
        .header("x-strongroom-source", "10.9.9.9");
    world.arriving(request, Body::from(body.to_string()), true).await
}

/// The same, of whom the extension API server found out what RBAC lets them `get`.
async fn with_rbac(world: &World, user: &str, path: &str, may_get: &str) -> TestAnswer {
    let request = Request::builder()
        .uri(format!("/v1/namespaces/shop/{path}"))
        .header("x-strongroom-user", user)
        .header("x-strongroom-may-get", may_get);
    world.arriving(request, Body::empty(), true).await
}

#[tokio::test]
async fn get_on_the_object_by_rbac_lets_a_person_describe_and_explain() {
    let world = World::new(0);
    for may_get in ["shop/*"] {
        let described = with_rbac(&world, "jane", "secrets/db-main", may_get).await;
        assert_eq!(described.status, StatusCode::OK, "{may_get}");
    }
    let record = world.records().pop().unwrap();
    assert_eq!(
        record.circumstances.unwrap().statements,
        ["RBAC: `get` on the ManagedSecret"]
    );
    // Another object, another namespace, nothing.
    for may_get in ["shop/other", "mail/*", "", "*"] {
        let refused = with_rbac(&world, "jane", "secrets/db-main", may_get).await;
        assert_eq!(refused.code(), (404, "SecretNotFound".to_owned()), "{may_get}");
    }
    // A value is another matter, and the person is told what is missing.
    let (_, public) = OpeningKey::generate();
    let value = format!("secrets/db-main/value?recipient={public}");
    let refused = with_rbac(&world, "jane", &value, "shop/*").await;
    assert_eq!(refused.code(), (403, "PolicyDenied".to_owned()));
    // About oneself and the ServiceAccounts of the namespace, and nobody else.
    let explain = async |principal: &str, action: &str| {
        let path = format!("secrets/db-main/access?action={action}{principal}");
        with_rbac(&world, "jane", &path, "shop/*").await
    };
    let oneself = explain("", "DescribeSecret").await.json();
    assert_eq!(
        (&oneself["allowed"], &oneself["byRbac"]),
        (&true.into(), &true.into())
    );
    let text = oneself["explanation"].as_str().unwrap();
    assert!(text.contains("RBAC allows it"), "{text}");
    assert_eq!(explain("", "GetSecretValue").await.json()["allowed"], false);
    for principal in ["&principal=jane", "&principal=shop/checkout"] {
        assert_eq!(
            explain(principal, "GetSecretValue").await.status,
            StatusCode::OK,
            "{principal}"
        );
    }
    for principal in ["&principal=joe", "&principal=mail/app"] {
        let refused = explain(principal, "GetSecretValue").await;
        assert_eq!(refused.code(), (403, "PolicyDenied".to_owned()), "{principal}");
    }
    // It is no answer to another's RBAC: what the person knows is not what the ServiceAccount may.
    let account = explain("&principal=shop/checkout", "DescribeSecret").await.json();
    assert_eq!(account["allowed"], false);
}

#[tokio::test]
async fn a_deny_wins_over_rbac_and_no_token_comes_with_it() {
    let world = World::new(0);
    let spec = json!({"secrets": ["*"], "statements": [
        {"effect": "Deny", "principals": [{"user": "jane"}], "actions": ["secrets:Describe*"]}]});
    let newest = ObservedPolicy::first("lock", serde_json::from_value(spec).unwrap());
    world.gateway.policies.policy("shop", "lock", newest);
    let refused = with_rbac(&world, "jane", "secrets/db-main", "shop/*").await;
    assert_eq!(refused.code(), (404, "SecretNotFound".to_owned()));
    assert_eq!(
        with_rbac(&world, "joe", "secrets/db-main", "shop/*").await.status,
        StatusCode::OK
    );
    // From anybody but the extension API server the header is only a header.
    let request = Request::builder()
        .uri("/v1/namespaces/shop/secrets/db-main")
        .header("authorization", "Bearer shop/other")
        .header("x-strongroom-may-get", "shop/*");
    let forged = world.send(request, Body::empty()).await;
    assert_eq!(forged.code(), (404, "SecretNotFound".to_owned()));
}

/// A ServiceAccount of another namespace comes with its kubeconfig: statements of its own namespace are
/// counted, not shown.
#[tokio::test]
async fn statements_of_other_namespaces_are_counted_and_never_shown() {
    let world = World::new(0);
    let spec = json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
        {"sid": "hidden", "effect": "Allow", "actions": ["secrets:GetSecretValue"], "resources": ["shop:secret/*"]}]});
    let newest = ObservedPolicy::first("theirs", serde_json::from_value(spec).unwrap());
    world.gateway.policies.policy("mail", "theirs", newest);
    let path = "secrets/db-main/access?action=GetSecretValue";
    let user = "system:serviceaccount:mail:app";
    let answer = with_rbac(&world, user, path, "shop/*").await.json();
    let text = answer["explanation"].as_str().unwrap();
    assert!(
        text.contains("1 statement of another namespace allows it"),
        "{text}"
    );
    assert!(!answer.to_string().contains("hidden"), "{answer}");
    assert_eq!(answer["statements"], json!([]));
}

/// As it is with consumers: whoever knows of the secret by a policy is told them.
#[tokio::test]
async fn a_history_names_accounts_of_other_namespaces_to_nobody_who_has_rbac_alone() {
    let world = World::new(0);
    for (version, who) in [
        ("v-2", "serviceaccount mail/app"),
        ("v-3", "serviceaccount shop/app"),
    ] {
        let meta = Meta {
            actor: Actor::Principal(who.to_owned()),
            ..meta()
        };
        world.bring_with("db-main", version, version.as_bytes(), meta);
    }
    let path = "secrets/db-main/history";
    let named = |answer: TestAnswer| {
        let page = answer.json();
        [1, 2].map(|number: usize| page["records"][number]["principal"].as_str().unwrap().to_owned())
    };
    assert_eq!(
        named(with_rbac(&world, "jane", path, "shop/*").await),
        ["a ServiceAccount of another namespace", "serviceaccount shop/app"]
    );
    let refused = with_rbac(&world, "jane", path, "mail/*").await;
    assert_eq!(refused.code(), (404, "SecretNotFound".to_owned()));
    jane_may(&world, "secrets:DescribeSecret");
    assert_eq!(
        named(with_rbac(&world, "jane", path, "shop/*").await),
        ["serviceaccount mail/app", "serviceaccount shop/app"]
    );
}

/// Of a pipeline with a kubeconfig, say. It comes as people do, and the record says on which way.
#[tokio::test]
async fn a_service_account_over_the_extension_api_is_on_record_as_such() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    let account = "system:serviceaccount:shop:app";
    let described = person(&world, account, "GET", "secrets/db-main", json!({})).await;
    assert_eq!(described.status, StatusCode::OK);
    let over = |entry: &Entry| {
        let about = entry.circumstances.as_ref().unwrap();
        (entry.actor.to_string(), about.extension_api)
    };
    let who = "serviceaccount shop/app".to_owned();
    assert_eq!(over(world.records().last().unwrap()), (who.clone(), true));
    // With its own token it has the same rights, and is audited without it.
    world.get("shop/app", "/db-main").await;
    assert_eq!(over(world.records().last().unwrap()), (who, false));
}

#[tokio::test]
async fn service_accounts_are_refused_over_the_extension_api_where_they_may_not_come() {
    let world = World::refusing_accounts();
    world.allow("p", "app", "*", "*");
    jane_may(&world, "secrets:DescribeSecret");
    let account = "system:serviceaccount:shop:app";
    for path in ["secrets/db-main", "secrets/none", "auditrecords"] {
        let refused = person(&world, account, "GET", path, json!({})).await;
        assert_eq!(
            refused.code(),
            (403, "ServiceAccountRefused".to_owned()),
            "{path}"
        );
    }
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "Authenticate", "ServiceAccountRefused")
    );
    let record = world.records().pop().unwrap();
    assert!(record.circumstances.unwrap().extension_api);
    // People come as before, and so does the account with a token of its own.
    let described = person(&world, "jane", "GET", "secrets/db-main", json!({})).await;
    assert_eq!(described.status, StatusCode::OK);
    let described = world.get("shop/app", "/db-main").await;
    assert_eq!(described.status, StatusCode::OK);
}

pub(super) fn jane_may(world: &World, action: &str) {
    let spec = json!({"secrets": ["*"], "statements": [
        {"effect": "Allow", "principals": [{"user": "jane"}], "actions": [action]}]});
    let name = format!("jane-{action}");
    let newest = ObservedPolicy::first(&name, serde_json::from_value(spec).unwrap());
    world.gateway.policies.policy("shop", &name, newest);
}

#[tokio::test]
async fn the_identity_counts_from_the_front_alone() {
    let world = World::new(0);
    jane_may(&world, "secrets:DescribeSecret");
    let described = person(&world, "jane", "GET", "secrets/db-main", json!({})).await;
    assert_eq!(described.status, StatusCode::OK);
    let (actor, ..) = world.last();
    assert_eq!(actor, "user jane");
    let source = world
        .records()
        .last()
        .unwrap()
        .circumstances
        .as_ref()
        .unwrap()
        .source;
    assert_eq!(source, "10.9.9.9".parse().ok());
    let denied = person(&world, "joe", "GET", "secrets/db-main", json!({})).await;
    assert_eq!(denied.code(), (404, "SecretNotFound".to_owned()));
    for user in ["", "system:anonymous"] {
        let nobody = person(&world, user, "GET", "secrets/db-main", json!({})).await;
        assert_eq!(nobody.code(), (401, "Unauthenticated".to_owned()), "{user}");
    }
    // The same headers from anybody else are only headers.
    let request = Request::builder()
        .uri("/v1/namespaces/shop/secrets/db-main")
        .header("x-strongroom-user", "jane");
    let forged = world.send(request, Body::empty()).await;
    assert_eq!(forged.code(), (401, "Unauthenticated".to_owned()));
    let request = Request::builder()
        .uri("/v1/namespaces/shop/secrets/db-main")
        .header("authorization", "Bearer shop/other")
        .header("x-strongroom-user", "jane");
    let forged = world.send(request, Body::empty()).await;
    assert_eq!(forged.code(), (404, "SecretNotFound".to_owned()));
    // And a token says nothing over the extension API.
    let request = Request::builder()
        .uri("/v1/namespaces/shop/secrets/db-main")
        .header("authorization", "Bearer shop/app");
    let nobody = world.arriving(request, Body::empty(), true).await;
    assert_eq!(nobody.code(), (401, "Unauthenticated".to_owned()));
}

#[tokio::test]
async fn the_audit_of_a_namespace_is_for_people() {
    let world = World::new(0);
    world.namespace("other");
    world.secret("other", "db-main", "s3cr3t");
    world.allow("p", "app", "*", "*");
    world.get("shop/app", "/db-main/value").await;
    let request = |path: &str| Request::builder().uri(format!("/v1/{path}"));
    let token = request("namespaces/shop/auditrecords").header("authorization", "Bearer shop/app");
    let refused = world.send(token, Body::empty()).await;
    assert_eq!(refused.code(), (404, "NoSuchPath".to_owned()));
    let ask = async |path: &str| {
        let request = request(path).header("x-strongroom-user", "jane");
        world.arriving(request, Body::empty(), true).await
    };
    let answer = ask("namespaces/shop/auditrecords").await.json();
    let records = answer["records"].as_array().unwrap();
    assert!(records.iter().all(|record| record["namespace"] == "shop"));
    let read = |record: &&Json| {
        record["action"] == "GetSecretValue" && record["principal"] == "serviceaccount shop/app"
    };
    assert_eq!(records.iter().filter(read).count(), 1);
    // To have asked is audited, and what comes after is told by `next`.
    let next = answer["next"].as_str().unwrap();
    let more = ask(&format!("namespaces/shop/auditrecords?after={next}"))
        .await
        .json();
    let actions: Vec<&str> = more["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["action"].as_str().unwrap())
        .collect();
    assert!(actions.is_empty() || actions == ["ReadAudit"], "{actions:?}");
    let all = ask("auditrecords").await.json();
    let namespaces = all["records"].as_array().unwrap().iter();
    assert!(
        namespaces
            .map(|record| &record["namespace"])
            .any(|name| name == "other")
    );
    assert_eq!(ask("auditrecords?after=x").await.code().0, 400);
}
