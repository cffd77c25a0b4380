//! Values: by version, by stage, in a batch, and not at all.

use super::*;
use crate::gateway::request::{NamespaceRef, SecretPath, find};

#[tokio::test]
async fn a_recipient_alone_can_read_what_is_sealed_for_it() {
    use strongroom_api::sealed::{HpkeCiphertext, OpeningKey, Purpose, SealError, VersionContext};

    let world = World::new(0);
    world.allow("p", "app", "secrets:GetSecretValue", "*");
    let (private, public) = OpeningKey::generate();
    let about = VersionContext {
        namespace: "shop",
        secret: "db-main",
        version: "v-1",
    };
    let plain = world.get("shop/app", "/db-main/value").await;
    for (query, expected) in [("", plain.body.as_slice()), ("key=password&", b"s3cr3t")] {
        let path = format!("/db-main/value?{query}recipient={public}");
        let answer = world.get("shop/app", &path).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["etag"], plain.headers["etag"]);
        let body = String::from_utf8(answer.body.clone()).unwrap();
        assert!(!body.contains("s3cr3t") && !body.contains("czNjcjN0"), "{body}");
        let body = answer.json();
        assert_eq!(body["versionId"], "v-1");
        let sealed: HpkeCiphertext = serde_json::from_value(body["sealed"].clone()).unwrap();
        assert_eq!(
            private.open(&sealed, Purpose::Answer, &about).unwrap().as_slice(),
            expected
        );
        let other = OpeningKey::generate().0;
        assert_eq!(
            other.open(&sealed, Purpose::Answer, &about),
            Err(SealError::Opening)
        );
    }
    for bad in ["AA", "!", ""] {
        let answer = world
            .get("shop/app", &format!("/db-main/value?recipient={bad}"))
            .await;
        assert_eq!(answer.code(), (400, "InvalidRequest".to_owned()), "{bad}");
    }
    // Whoever may not read is not told more by it.
    let stranger = world
        .get("shop/other", &format!("/db-main/value?recipient={public}"))
        .await;
    assert_eq!(stranger.code(), (404, "SecretNotFound".to_owned()));
}

#[tokio::test]
async fn a_reader_gets_the_value_and_every_attempt_is_on_record() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:GetSecretValue", "db-*");
    let answer = world.get("shop/app", "/db-main/value").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["etag"], "\"v-1\"");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let body = answer.json();
    assert_eq!(body["data"]["password"], data_encoding::BASE64.encode(b"s3cr3t"));
    assert_eq!(
        (&body["versionId"], &body["stages"], &body["dataType"]),
        (&json!("v-1"), &json!(["Current"]), &json!("text"))
    );
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "GetSecretValue", "Done")
    );
    let entry = world.records().pop().unwrap();
    let circumstances = entry.circumstances.unwrap();
    assert_eq!(circumstances.source, Some("10.1.2.3".parse().unwrap()));
    assert_eq!(
        circumstances.statements,
        ["statement 1 of SecretPolicy `p` in namespace `shop`"]
    );
    assert!(circumstances.latency_micros.is_some_and(|micros| micros > 0));
    assert_eq!(answer.headers["x-request-id"], entry.request.unwrap().to_string());

    let raw = world.get("shop/app", "/db-main/value?key=password").await;
    assert_eq!(raw.body, b"s3cr3t");
    assert_eq!(
        world.get("shop/app", "/db-main/value?key=other").await.code(),
        (404, "DataKeyNotFound".into())
    );

    // Nothing changed: nothing is opened.
    let before = world.records().len();
    let request = Request::builder()
        .uri("/v1/namespaces/shop/secrets/db-main/value")
        .header("authorization", "Bearer shop/app")
        .header("if-none-match", "\"v-0\", \"v-1\"");
    let answer = world.send(request, Body::empty()).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));
    assert_eq!(world.records().len(), before);
}

#[tokio::test]
async fn versions_and_stages_are_asked_for_as_they_are() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    let id = world.secret("shop", "two", "first");
    world.bring("two", "v-2", b"second");
    for (query, expected) in [
        ("", (200, "v-2")),
        ("?stage=Previous", (200, "v-1")),
        ("?versionId=v-1", (200, "v-1")),
        ("?versionId=v-1&stage=Previous", (200, "v-1")),
        ("?versionId=v-1&stage=Current", (409, "StageMismatch")),
        ("?versionId=v-9", (404, "VersionNotFound")),
        ("?stage=mine", (404, "StageNotFound")),
        ("?stage=", (400, "InvalidRequest")),
        ("?colour=red", (400, "InvalidRequest")),
    ] {
        let answer = world.get("shop/app", &format!("/two/value{query}")).await;
        let body = answer.json();
        let what = body["versionId"]
            .as_str()
            .or(body["code"].as_str())
            .unwrap()
            .to_owned();
        assert_eq!((answer.status.as_u16(), what.as_str()), expected, "{query}");
    }
    let versions = world.get("shop/app", "/two/versions").await.json();
    let ids: Vec<&str> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["versionId"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["v-2", "v-1"]);
    assert_eq!(world.last().1, "ListSecretVersionIds");

    let delete = DeleteSecret {
        secret: id,
        deletion: Deletion {
            window_days: Some(7),
            force: false,
        },
    };
    world.gateway.store.run(delete, meta()).unwrap();
    assert_eq!(
        world.get("shop/app", "/two/value").await.code(),
        (409, "InRecoveryWindow".into())
    );
    let held = Request::builder()
        .uri("/v1/namespaces/shop/secrets/two/value")
        .header("authorization", "Bearer shop/app")
        .header("if-none-match", "\"v-2\"");
    assert_eq!(world.send(held, Body::empty()).await.status, 409);
    assert!(world.get("shop/app", "/two").await.json()["deletion"].is_string());
}

#[tokio::test]
async fn a_batch_answers_each_by_itself() {
    let world = World::new(0);
    world.allow("p", "app", "*", "db-*");
    world.secret("shop", "db-two", "second");
    world.secret("shop", "hidden", "h");
    let post = |body: Json| {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/namespaces/shop/secrets:batchGet")
            .header("content-type", "application/json")
            .header("authorization", "Bearer shop/app");
        world.send(request, Body::from(body.to_string()))
    };
    let answer = post(
        json!({"secrets": [{"name": "db-main"}, {"name": "hidden"}, {"name": "db-two", "stage": "Current"}]}),
    )
    .await;
    let body = answer.json();
    assert_eq!(body["values"][0]["name"], "db-main");
    assert_eq!(
        body["values"][1]["data"]["password"],
        data_encoding::BASE64.encode(b"second")
    );
    assert_eq!(
        (&body["errors"][0]["name"], &body["errors"][0]["code"]),
        (&json!("hidden"), &json!("SecretNotFound"))
    );
    assert_eq!(world.records().len(), 3);
    for bad in [
        json!({"secrets": []}),
        json!({"secrets": [{"name": "a"}, {"name": "a"}]}),
        json!({"secrets": (0..21).map(|n| json!({"name": format!("s{n}")})).collect::<Vec<_>>()}),
        json!({"secret": "a"}),
        json!([]),
    ] {
        assert_eq!(post(bad).await.code(), (400, "InvalidRequest".into()));
    }
    let large = post(json!({"secrets": [{"name": "x".repeat(limits::MAX_BODY_BYTES)}]})).await;
    assert_eq!(large.code(), (413, "TooLarge".into()));
}

#[tokio::test]
async fn answers_that_nobody_takes_are_no_more_than_the_callers_bytes() {
    let world = World::new(0);
    for account in ["app", "other"] {
        world.allow(account, account, "secrets:GetSecretValue", "*");
    }
    // Of each 60 KiB as base64.
    let large = "x".repeat(45 << 10);
    let made = (0..20).map(|number| {
        let name = format!("db-{number}");
        world.secret("shop", &name, &large);
        json!({ "name": name })
    });
    let batch = json!({"secrets": made.collect::<Vec<Json>>()}).to_string();
    let peer = Peer {
        address: "10.1.2.3:4567".parse().unwrap(),
        proven: false,
    };
    let ask = || {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/namespaces/shop/secrets:batchGet")
            .header("content-type", "application/json")
            .header("authorization", "Bearer shop/app");
        let mut request = request.body(Body::from(batch.clone())).unwrap();
        sign(request.headers_mut());
        world.answer(request, peer)
    };
    let whole = usize::try_from(limits::MAX_ANSWER_BYTES_PER_PRINCIPAL).unwrap();
    let most = whole / (20 * (60 << 10));
    let mut held = Vec::new();
    for number in 0..most {
        let answer = ask().await;
        assert_eq!(answer.response.status(), StatusCode::OK, "{number}");
        held.push(answer);
    }
    let refused = ask().await.response;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(world.get("shop/other", "/db-1/value").await.status, 200);
    drop(held.pop());
    assert_eq!(ask().await.response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_value_is_at_hand_once_a_caller_has_read_it() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:*", "db-main");
    let gateway = &*world.gateway;
    let namespace = NamespaceRef::resolve(gateway, "shop".to_owned()).await.unwrap();
    let at_hand = |name: &str| {
        let path = SecretPath::new(namespace.clone(), name.to_owned());
        find::is_value_cached(gateway, &path)
    };
    assert_eq!(world.get("shop/app", "/db-main").await.status, 200);
    assert!(!at_hand("db-main"), "its metadata alone was read");
    assert_eq!(world.get("shop/app", "/db-main/value").await.status, 200);
    assert!(at_hand("db-main"));
    for other in ["nothing", "no secret's name"] {
        assert!(!at_hand(other), "{other}");
    }
}
