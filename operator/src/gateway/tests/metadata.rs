//! Lists, explanations, and names that are none.

use super::*;

#[tokio::test]
async fn a_name_that_is_none_is_refused_and_breaks_nothing() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    let long = "a".repeat(10_000);
    let names = [
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "a%00b",
        "%00",
        "%ff%fe",
        "a%0d%0ab",
        "a b",
        "%20",
        "*",
        &long,
        "strongroom!ca",
        "strongroom%21ca",
    ];
    for name in names {
        let name = name.replace(' ', "%20");
        for rest in ["", "/value", "/versions", "/history", "/access", "/policy"] {
            let answer = world.get("shop/app", &format!("/{name}{rest}")).await;
            let (status, code) = answer.code();
            assert!(matches!(status, 400 | 404), "{name}{rest}: {status} {code}");
        }
        for (method, rest, body) in [
            (Method::PUT, "/versions/v-1", r#"{"data": {"a": ""}}"#),
            (Method::POST, "/stages/blue", r#"{"moveTo": "v-1"}"#),
            (Method::POST, "/rotation", r#"{"token": "t"}"#),
            (Method::POST, "/restore", ""),
            (Method::PATCH, "", r#"{"description": "d"}"#),
            (Method::DELETE, "?force=true", ""),
        ] {
            let answer = world
                .write(method.clone(), "shop/app", &format!("/{name}{rest}"), body)
                .await;
            let (status, code) = answer.code();
            assert!(
                matches!(status, 400 | 404),
                "{method} {name}{rest}: {status} {code}"
            );
        }
        let create = json!({"name": name, "versionId": "v-1", "data": {"a": ""}}).to_string();
        let answer = world.write(Method::POST, "shop/app", "", &create).await;
        assert_eq!(answer.status, 400, "{name}");
    }
    assert!(world.api.objects.lock().is_empty());
}

#[tokio::test]
async fn names_from_hell_are_no_secrets_and_no_faults() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world.secret("shop", "a/b", "x");
    assert_eq!(world.get("shop/app", "/a%2Fb/value").await.status, 200);
    for name in [
        "..",
        "%2e%2e",
        "%2f",
        "%00",
        "%ff",
        "a%2Fb%2F",
        "!",
        "strongroom!ca",
        &"x".repeat(10_000),
    ] {
        for path in ["", "/value", "/versions", "/access"] {
            let answer = world.get("shop/app", &format!("/{name}{path}")).await;
            assert!(
                matches!(answer.status.as_u16(), 400 | 404),
                "{name}: {}",
                answer.status
            );
            assert_eq!(
                answer.headers["content-type"], "application/problem+json",
                "{name}"
            );
        }
    }
    let elsewhere = world.send(Request::builder().uri("/v2"), Body::empty()).await;
    assert_eq!(elsewhere.code(), (404, "NoSuchPath".into()));
    let request = Request::builder()
        .method(Method::DELETE)
        .uri("/v1/namespaces/shop/secrets/db-main/value");
    assert_eq!(
        world.send(request, Body::empty()).await.code(),
        (405, "MethodNotAllowed".into())
    );
}

#[tokio::test]
async fn a_list_shows_what_the_caller_may_list_in_pages() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:ListSecrets", "app-*");
    for number in 0..5 {
        world.secret("shop", &format!("app-{number}"), "x");
    }
    let names = |body: &Json| -> Vec<String> {
        body["secrets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|secret| secret["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = world.get("shop/app", "?limit=2").await.json();
    assert_eq!(names(&first), ["app-0", "app-1"]);
    let next = first["next"].as_str().unwrap();
    let second = world
        .get("shop/app", &format!("?limit=3&after={next}"))
        .await
        .json();
    assert_eq!(names(&second), ["app-2", "app-3", "app-4"]);
    assert_eq!(
        names(&world.get("shop/app", "?name=-3&label=tier=gold").await.json()),
        ["app-3"]
    );
    assert!(names(&world.get("shop/app", "?label=tier=lead").await.json()).is_empty());
    // After one that it may not list, which is told by its id.
    let hidden = world.secret("shop", "app_hidden", "x");
    world.secret("shop", "app-z", "x");
    let after = async |id: SecretId| world.get("shop/app", &format!("?after=~{id}")).await;
    let db = world.stored("db-main").id;
    assert!(names(&after(db).await.json()).is_empty());
    assert!(names(&after(hidden).await.json()).is_empty());
    let all = world.get("shop/app", "").await.json();
    world.secret("shop", "aaa", "x");
    assert_eq!(names(&after(world.stored("aaa").id).await.json()), names(&all));
    // One of another namespace, or of none, is the end of no page.
    world.namespace("other");
    let elsewhere = world.secret("other", "db", "x");
    for id in [elsewhere, SecretId::from_bytes([7; 16])] {
        assert_eq!(after(id).await.code(), (400, "InvalidRequest".to_owned()));
    }
}

#[tokio::test]
async fn an_explanation_is_for_whoever_may_see_the_secret() {
    let world = World::new(0);
    world.allow("p", "owner", "secrets:DescribeSecret", "*");
    world.read_by("db-main", &["app"]);
    let explained = world
        .get("shop/owner", "/db-main/access?principal=shop/app")
        .await
        .json();
    assert_eq!(explained["allowed"], true);
    assert_eq!(
        explained["statements"][0],
        "statement 1 of spec.readers of ManagedSecret `db-main` in namespace `shop`"
    );
    let explained = world
        .get(
            "shop/owner",
            "/db-main/access?principal=team-b/app&action=GetSecretValue",
        )
        .await
        .json();
    assert_eq!(explained["allowed"], false);
    assert_eq!(explained["missingPolicies"].as_array().unwrap().len(), 2);
    assert_eq!(
        world.last(),
        record("serviceaccount shop/owner", "ExplainAccess", "Done")
    );
    assert_eq!(
        world
            .get("shop/spy", "/db-main/access?principal=shop/app")
            .await
            .status,
        404
    );
    assert_eq!(
        world
            .get("shop/owner", "/db-main/access?action=Steal")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn our_own_labels_are_shown_to_nobody_by_a_filter_either() {
    use strongroom_store::vault::UpdateSecret;

    let world = World::new(0);
    world.allow("p", "app", "secrets:ListSecrets", "*");
    let secret = world.secret("shop", "other", "x");
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let update = UpdateSecret {
        secret,
        description: None,
        labels: Some([label("strongroom.dev/deletion", "30"), label("team", "shop")].into()),
        key: None,
    };
    world.gateway.store.run(update, meta()).unwrap();
    for (filter, expected) in [
        ("team=shop", 1),
        ("strongroom.dev%2Fdeletion", 0),
        ("strongroom.dev%2Fdeletion%3D30", 0),
    ] {
        let page = world.get("shop/app", &format!("?label={filter}")).await.json();
        assert_eq!(page["secrets"].as_array().unwrap().len(), expected, "{filter}");
    }
}

/// The field of the secret cannot hold it; an auditor sees it all the same.
#[tokio::test]
async fn a_refusal_records_the_name_that_can_be_no_secrets() {
    let world = World::new(0);
    let answer = world.get("shop/app", "/a%20b/value").await;
    assert_eq!(answer.code(), (404, "SecretNotFound".into()));
    let entry = world.records().pop().unwrap();
    assert_eq!(entry.secret, None);
    assert_eq!(entry.detail, "asked for `a b`");
}

/// What is no name costs no decision: it is not there before the policies are loaded either, and no refusal
/// repeats it.
#[tokio::test]
async fn names_are_parsed_before_they_are_decided_about() {
    let world = World::unloaded();
    assert_eq!(world.get("shop/app", "/db-main/value").await.code().0, 503);
    let long = "a".repeat(8_000);
    for name in [long.as_str(), "a%20b", "a!b!c"] {
        for path in ["", "/value", "/versions", "/access"] {
            let answer = world.get("shop/app", &format!("/{name}{path}")).await;
            assert_eq!(answer.code(), (404, "SecretNotFound".into()), "{name}{path}");
            assert!(answer.body.len() < 500, "{}", answer.body.len());
            assert_eq!(world.last().2, "SecretNotFound");
        }
    }
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    let batch = json!({"secrets": [{"name": long}, {"name": "nothing"}]}).to_string();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/namespaces/shop/secrets:batchGet")
        .header("content-type", "application/json")
        .header("authorization", "Bearer shop/app");
    let answer = world.send(request, Body::from(batch)).await;
    assert!(answer.body.len() < 1_500, "{}", answer.body.len());
    assert_eq!(answer.json()["errors"][1]["name"], "nothing");
}
