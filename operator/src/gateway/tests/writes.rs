//! Values and stages written over the API: who may, what repeats, what is refused, and that each attempt is
//! audited.

use strongroom_model::id::KeyId;
use strongroom_store::vault::CreateKey;

use super::*;
use crate::external_sources::ExternalDeclaration;

impl World {
    /// A ManagedSecret that takes values over the API.
    pub(super) fn declare(&self, name: &str, key: Option<&str>) {
        let declaration = ExternalDeclaration {
            object: name.to_owned(),
            uid: format!("uid-{name}"),
            created: None,
            key: key.map(str::to_owned),
            native: None,
        };
        self.gateway
            .external_sources
            .update("shop", name, name, Some(declaration));
    }

    pub(super) async fn write(&self, method: Method, account: &str, path: &str, body: &str) -> TestAnswer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/namespaces/shop/secrets{path}"))
            .header("authorization", format!("Bearer {account}"));
        self.send(request, Body::from(body.to_owned())).await
    }

    async fn put(&self, account: &str, path: &str, password: &str) -> (u16, String) {
        let body = json!({"data": {"password": data_encoding::BASE64.encode(password.as_bytes())}});
        let answer = self.write(Method::PUT, account, path, &body.to_string()).await;
        answer.code()
    }

    async fn password(&self, path: &str) -> String {
        let answer = self.get("shop/app", &format!("{path}?key=password")).await;
        String::from_utf8(answer.body).unwrap()
    }

    pub(super) fn mutations(&self) -> Vec<Entry> {
        let all = self.gateway.store.mutations_after(0, usize::MAX).unwrap();
        all.into_iter().map(|(_, entry)| entry).collect()
    }
}

pub(super) fn says(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn the_first_value_makes_the_secret_and_the_same_again_changes_nothing() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world.declare("partner", None);
    assert_eq!(world.get("shop/app", "/partner/value").await.status, 404);
    let path = "/partner/versions/v-1";
    assert_eq!(world.put("shop/app", path, "first").await, says(201, ""));
    assert_eq!(world.password("/partner/value").await, "first");
    let made = world.mutations().pop().unwrap();
    assert_eq!(
        (made.action.name(), made.actor.to_string().as_str()),
        ("CreateSecret", "serviceaccount shop/app")
    );
    let circumstances = made.circumstances.unwrap();
    assert_eq!(circumstances.source, Some("10.1.2.3".parse().unwrap()));
    assert_eq!(circumstances.statements.len(), 1);

    let before = world.mutations().len();
    assert_eq!(world.put("shop/app", path, "first").await, says(200, ""));
    assert_eq!(world.mutations().len(), before);
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "PutSecretValue", "Done"),
        "the attempt is on record"
    );
    assert_eq!(
        world.put("shop/app", path, "other").await,
        says(409, "VersionConflict")
    );
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "PutSecretValue", "VersionConflict")
    );
    assert_eq!(
        world.put("shop/app", "/partner/versions/v-2", "second").await,
        says(201, "")
    );
    assert_eq!(world.password("/partner/value").await, "second");
    // The controller is told of each change, and of nothing else.
    let mut changed = world.gateway.external_sources.take_changes().unwrap();
    for _ in 0..2 {
        assert_eq!(
            changed.try_recv().unwrap(),
            ("shop".to_owned(), "partner".to_owned())
        );
    }
    assert!(changed.try_recv().is_err());
}

#[tokio::test]
async fn a_secret_that_is_declared_and_not_there_yet_is_refused_as_one_that_is() {
    let world = World::new(0);
    world.declare("partner", None);
    world.allow("sees", "sees", "secrets:DescribeSecret", "*");
    let path = "/partner/versions/v-9";
    assert_eq!(
        world.put("shop/stranger", path, "x").await,
        says(404, "SecretNotFound")
    );
    assert_eq!(
        world.last(),
        record("serviceaccount shop/stranger", "PutSecretValue", "PolicyDenied")
    );
    assert_eq!(world.put("shop/sees", path, "x").await, says(403, "PolicyDenied"));
    assert_eq!(
        world.put("shop/sees", "/nothing/versions/v-9", "x").await,
        says(404, "SecretNotFound")
    );
}

#[tokio::test]
async fn a_secret_whose_value_comes_from_elsewhere_takes_none() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    assert_eq!(
        world.put("shop/app", "/db-main/versions/v-2", "x").await,
        says(409, "SourceNotExternal")
    );
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "PutSecretValue", "SourceNotExternal")
    );
    assert_eq!(world.password("/db-main/value").await, "s3cr3t");
}

#[tokio::test]
async fn what_means_nothing_is_refused_and_never_repeated() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world.declare("partner", None);
    for (body, field) in [
        (r#"hunter2"#, "."),
        (r#"{"data": "hunter2"}"#, "data"),
        (r#"{"data": {"a": 7272}}"#, "data.a"),
        (r#"{"data": {"a": "hunter2!"}}"#, "data.a"),
        (r#"{"data": {"a": "aGk="}, "hunter2": 1}"#, "."),
        (r#"{"data": {"a": "aGk="}, "stages": "hunter2"}"#, "stages"),
        (r#"{"data": {}}"#, ""),
        (r#"{"data": {"a/b": "aGk="}}"#, ""),
        (
            r#"{"data": {"a": "aGk="}, "stages": ["Current", "Previous"]}"#,
            "",
        ),
        (r#"{"data": {"a": "aGk="}, "stages": ["blue"]}"#, ""),
    ] {
        let answer = world
            .write(Method::PUT, "shop/app", "/partner/versions/v-1", body)
            .await;
        assert_eq!(answer.code(), says(400, "InvalidRequest"), "{body}");
        let said = String::from_utf8(answer.body).unwrap();
        assert!(!said.contains("hunter2") && !said.contains("7272"), "{said}");
        assert!(field.is_empty() || said.contains(&format!("`{field}`")), "{said}");
    }
    let large = "A".repeat(96 << 10);
    let body = format!(r#"{{"data": {{"a": "{large}"}}}}"#);
    let answer = world
        .write(Method::PUT, "shop/app", "/partner/versions/v-1", &body)
        .await;
    assert_eq!(answer.code(), says(413, "TooLarge"));
    let answer = world
        .write(Method::PUT, "shop/app", "/partner/versions/v-1", &large.repeat(3))
        .await;
    assert_eq!(answer.code(), says(413, "TooLarge"));
    for path in [
        "/partner/versions/..%2fv",
        "/partner/versions/%00",
        "/..%2Fpartner/versions/v-1",
    ] {
        let (status, _) = world.put("shop/app", path, "x").await;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert_eq!(
        world.get("shop/app", "/partner").await.status,
        404,
        "nothing was made"
    );
}

#[tokio::test]
async fn a_first_value_lies_under_the_key_that_requires_it() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:*", "*");
    let sources = &world.gateway.external_sources;
    let required = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    world.declare("partner", None);
    sources.set_required_for("shop", "pay", required(&["part*"]));
    sources.set_required_for("evil", "theirs", required(&["*"]));
    let refused = world
        .write(
            Method::PUT,
            "shop/app",
            "/partner/versions/v-1",
            r#"{"data": {"password": "eA=="}}"#,
        )
        .await;
    assert_eq!(refused.code(), says(409, "KeyRequired"));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("EncryptionKey `pay`"), "{detail}");
    // Gone, or never about this name, it requires nothing.
    sources.retain_keys(|(namespace, _)| namespace == "evil");
    sources.set_required_for("shop", "pay", required(&["card-*"]));
    assert_eq!(world.put("shop/app", "/partner/versions/v-1", "x").await.0, 201);
    // What was there before goes on.
    sources.set_required_for("shop", "pay", required(&["part*"]));
    assert_eq!(world.put("shop/app", "/partner/versions/v-2", "y").await.0, 201);
}

#[tokio::test]
async fn under_a_customers_key_the_right_to_use_it_is_asked_for() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:*", "*");
    world.declare("partner", Some("pay"));
    let path = "/partner/versions/v-1";
    assert_eq!(world.put("shop/app", path, "x").await, says(403, "PolicyDenied"));
    world.allow("k", "app", "keys:GenerateDataKey", "*");
    assert_eq!(world.put("shop/app", path, "x").await, says(409, "KeyNotFound"));
    world.gateway.policies.remove_policy("shop", "k");
    let shop = "shop".parse().unwrap();
    let key = CreateKey {
        id: KeyId::generate().unwrap(),
        namespace: world.gateway.store.namespace_named(&shop).unwrap().unwrap().id,
        name: "pay".parse().unwrap(),
    };
    world.gateway.store.run(key.clone(), meta()).unwrap();
    assert_eq!(world.put("shop/app", path, "x").await, says(403, "PolicyDenied"));
    world.allow("k", "app", "keys:GenerateDataKey", "*");
    assert_eq!(world.put("shop/app", path, "x").await, says(201, ""));
    let used = world
        .mutations()
        .into_iter()
        .rev()
        .find(|entry| entry.key.is_some());
    assert_eq!(used.unwrap().action.name(), "GenerateDataKey");
    assert_eq!(
        world.put("shop/app", "/partner/versions/v-2", "y").await,
        says(201, "")
    );
    let disable = strongroom_store::vault::DisableKey {
        namespace: key.namespace,
        key: key.id,
    };
    world.gateway.store.run(disable, meta()).unwrap();
    assert_eq!(
        world.put("shop/app", "/partner/versions/v-3", "z").await,
        says(409, "KeyDisabled")
    );
}

#[tokio::test]
async fn stages_are_added_moved_and_removed() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world.declare("partner", None);
    for version in ["v-1", "v-2"] {
        world
            .put("shop/app", &format!("/partner/versions/{version}"), version)
            .await;
    }
    let update = async |stage: &str, body: Json| {
        let path = format!("/partner/stages/{stage}");
        world
            .write(Method::POST, "shop/app", &path, &body.to_string())
            .await
    };
    let stages = |answer: TestAnswer| answer.json()["stages"].clone();
    let added = stages(update("blue", json!({"moveTo": "v-1"})).await);
    assert_eq!(added, json!({"Current": "v-2", "Previous": "v-1", "blue": "v-1"}));
    let moved = stages(update("Current", json!({"moveTo": "v-1", "removeFrom": "v-2"})).await);
    assert_eq!(moved, json!({"Current": "v-1", "Previous": "v-2", "blue": "v-1"}));
    let removed = stages(update("blue", json!({"removeFrom": "v-1"})).await);
    assert_eq!(removed, json!({"Current": "v-1", "Previous": "v-2"}));
    for (stage, body, expected) in [
        (
            "Current",
            json!({"moveTo": "v-2", "removeFrom": "v-2"}),
            says(404, "StageNotFound"),
        ),
        (
            "Current",
            json!({"removeFrom": "v-1"}),
            says(409, "StageReserved"),
        ),
        ("blue", json!({"moveTo": "v-9"}), says(404, "VersionNotFound")),
        ("blue", json!({}), says(400, "InvalidRequest")),
        (
            "bl ue".replace(' ', "%20").as_str(),
            json!({"moveTo": "v-1"}),
            says(400, "InvalidRequest"),
        ),
    ] {
        assert_eq!(
            update(stage, body.clone()).await.code(),
            expected,
            "{stage} {body}"
        );
    }
}

/// Whoever may write and not read hears the same of each guess, unless they put the version themselves.
#[tokio::test]
async fn a_writer_that_may_not_read_tests_no_guess() {
    let world = World::new(0);
    world.declare("pin", None);
    world.allow("puts", "*", "secrets:PutSecretValue", "*");
    world.allow("reads", "reader", "secrets:GetSecretValue", "*");
    let path = "/pin/versions/v-1";
    assert_eq!(world.put("shop/owner", path, "4711").await, says(201, ""));
    for guess in ["0000", "4711"] {
        assert_eq!(
            world.put("shop/putter", path, guess).await,
            says(409, "VersionConflict"),
            "{guess}"
        );
        assert_eq!(
            world.last(),
            record("serviceaccount shop/putter", "PutSecretValue", "VersionConflict")
        );
    }
    // A repetition of one's own put is one, and whoever may read is told what they could read.
    for account in ["shop/owner", "shop/reader"] {
        assert_eq!(world.put(account, path, "4711").await, says(200, ""), "{account}");
        assert_eq!(
            world.put(account, path, "0000").await,
            says(409, "VersionConflict"),
            "{account}"
        );
    }
    // A Deny of the version's own stage counts for whoever compares as for whoever reads.
    let deny = serde_json::from_value(json!({"secrets": ["pin"], "statements": [
        {"effect": "Deny", "principals": [{"serviceAccount": "reader"}], "actions": ["secrets:GetSecretValue"],
            "conditions": {"stages": ["Current"]}}]}));
    world
        .gateway
        .policies
        .policy("shop", "deny", ObservedPolicy::first("deny", deny.unwrap()));
    assert_eq!(
        world.put("shop/reader", path, "4711").await,
        says(409, "VersionConflict")
    );
}
