//! Changes that go through the custom resources: made and changed; and what somebody else keeps is left
//! alone.

use super::writes::says;
use super::*;

pub(super) fn body(name: &str) -> Json {
    json!({
        "name": name, "versionId": "v-1", "data": {"password": data_encoding::BASE64.encode(b"first")},
        "description": "of the partner", "labels": {"team": "shop"},
    })
}

impl World {
    pub(super) async fn create(&self, account: &str, body: &Json) -> TestAnswer {
        self.write(Method::POST, account, "", &body.to_string()).await
    }

    pub(super) fn kept(&self, kind: &str, name: &str) -> Option<Json> {
        let place = (kind.to_owned(), name.to_owned());
        self.api.objects.lock().get(&place).cloned()
    }

    /// Says of an object's field that somebody else keeps it.
    pub(super) fn kept_by(&self, kind: &str, name: &str, manager: &str, fields: Json) {
        let place = (kind.to_owned(), name.to_owned());
        let mut objects = self.api.objects.lock();
        objects.get_mut(&place).unwrap()["metadata"]["managedFields"] =
            json!([{"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields}]);
    }

    fn drop_object(&self, name: &str) {
        let place = ("managedsecrets".to_owned(), name.to_owned());
        self.api.objects.lock().remove(&place);
    }
}

#[tokio::test]
async fn a_secret_is_made_with_its_object_and_an_unfinished_try_goes_on() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    let made = world.create("shop/app", &body("partner")).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!(
        (&made["description"], &made["labels"]),
        (&json!("of the partner"), &json!({"team": "shop"})),
        "our own labels are shown to nobody"
    );
    let object = world.kept("managedsecrets", "partner").unwrap();
    assert_eq!(
        object["spec"],
        json!({"source": {"external": {}}, "description": "of the partner"})
    );
    assert_eq!(object["metadata"]["labels"], json!({"team": "shop"}));
    let record = world.mutations().pop().unwrap();
    assert_eq!(
        (record.action.name(), record.actor.to_string().as_str()),
        ("CreateSecret", "serviceaccount shop/app")
    );
    let read = world.get("shop/app", "/partner/value?key=password").await;
    assert_eq!(read.body, b"first");
    assert_eq!(
        world.create("shop/app", &body("partner")).await.code(),
        says(409, "SecretExists")
    );
    assert_eq!(
        world.last(),
        record_of("CreateSecret", "SecretExists"),
        "refusals are on record"
    );

    // A try that ended between the object and the store.
    let unfinished = json!({"metadata": {"name": "half"}, "spec": {"source": {"external": {}}}});
    let created = world
        .api
        .resource(&Method::POST, "managedsecrets", "", &unfinished);
    assert_eq!(created.0, 201);
    let mut open = body("half");
    open["labels"] = json!({});
    open["description"] = Json::Null;
    assert_eq!(world.create("shop/app", &open).await.status, 201);
    // An object that says otherwise is somebody's.
    let other = json!({"metadata": {"name": "other"}, "spec": {"source": {"generate": {"keys": {"a": {"uuid": {}}}}}}});
    world.api.resource(&Method::POST, "managedsecrets", "", &other);
    assert_eq!(
        world.create("shop/app", &body("other")).await.code(),
        says(409, "ManagedElsewhere")
    );
}

pub(super) fn record_of(action: &str, outcome: &str) -> (String, String, String) {
    record("serviceaccount shop/app", action, outcome)
}

#[tokio::test]
async fn a_name_that_is_no_label_has_an_object_of_another_name() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    assert_eq!(world.create("shop/app", &body("acs/DB.1")).await.status, 201);
    let name = crate::external_manifest::object_name("acs/DB.1");
    let object = world.kept("managedsecrets", &name).unwrap();
    assert_eq!(object["spec"]["storeName"], "acs/DB.1");
    let read = world.get("shop/app", "/acs%2FDB.1/value?key=password").await;
    assert_eq!(read.body, b"first");
}

#[tokio::test]
async fn a_namespace_that_the_store_never_saw_becomes_known() {
    let world = World::new(0);
    let spec = serde_json::from_value(json!({"secrets": ["*"], "statements": [
        {"effect": "Allow", "principals": [{"serviceAccount": "new/app"}], "actions": ["*"]}]}));
    let policies = &world.gateway.policies;
    policies.policy("new", "p", ObservedPolicy::first("p", spec.unwrap()));
    let create = || async {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/namespaces/new/secrets")
            .header("authorization", "Bearer new/app");
        world.send(request, Body::from(body("partner").to_string())).await
    };
    assert_eq!(create().await.code(), says(404, "SecretNotFound"));
    world
        .api
        .uids
        .lock()
        .insert("new".to_owned(), "uid-new".to_owned());
    assert_eq!(create().await.status, 201);
    assert_eq!(create().await.code(), says(409, "SecretExists"));
}

#[tokio::test]
async fn metadata_is_merged_and_what_others_keep_is_not_touched() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world.create("shop/app", &body("partner")).await;
    let patch = |body: Json| {
        let world = &world;
        async move {
            world
                .write(Method::PATCH, "shop/app", "/partner", &body.to_string())
                .await
        }
    };
    let answer = patch(json!({"labels": {"team": null, "tier": "gold"}}))
        .await
        .json();
    assert_eq!(
        (&answer["labels"], &answer["description"]),
        (&json!({"tier": "gold"}), &json!("of the partner"))
    );
    let answer = patch(json!({"description": null})).await.json();
    assert_eq!(
        (&answer["labels"], answer.get("description")),
        (&json!({"tier": "gold"}), None)
    );
    for bad in [
        json!({"description": ""}),
        json!({"description": "x".repeat(501)}),
        json!({"labels": {"strongroom.dev/deletion": "Retain"}}),
        json!({"labels": {"a b": "c"}}),
        json!({"labels": {"a": "c d"}}),
        json!({"colour": "red"}),
    ] {
        assert_eq!(
            patch(bad.clone()).await.code(),
            says(400, "InvalidRequest"),
            "{bad}"
        );
    }
    let fields =
        json!({"f:spec": {"f:description": {}, "f:source": {}}, "f:metadata": {"f:labels": {"f:team": {}}}});
    world.kept_by("managedsecrets", "partner", "argocd", fields);
    for theirs in [
        json!({"description": "mine"}),
        json!({"labels": {"team": "mine"}}),
    ] {
        let answer = patch(theirs).await;
        assert_eq!(answer.code(), says(409, "ManagedElsewhere"));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("`argocd`"), "{detail}");
    }
    assert_eq!(patch(json!({"labels": {"tier": "silver"}})).await.status, 200);
}

#[tokio::test]
async fn a_policy_of_its_own_is_set_and_read_back() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world.create("shop/app", &body("partner")).await;
    let put = |body: Json| {
        let world = &world;
        async move {
            world
                .write(Method::PUT, "shop/app", "/partner/policy", &body.to_string())
                .await
        }
    };
    assert_eq!(
        world.get("shop/app", "/partner/policy").await.code(),
        says(404, "PolicyNotFound")
    );
    let statements = json!({"statements": [
        {"effect": "Allow", "principals": [{"serviceAccount": "reader"}], "actions": ["secrets:GetSecretValue"]}]});
    assert_eq!(put(statements.clone()).await.json(), statements);
    assert_eq!(world.get("shop/app", "/partner/policy").await.json(), statements);
    let object = world.kept("secretpolicies", "partner").unwrap();
    assert_eq!(object["spec"]["secrets"], json!(["partner"]));
    let mut wrong = statements.clone();
    wrong["statements"][0]["actions"] = json!(["secrets:Nothing"]);
    let answer = put(wrong).await;
    assert_eq!(answer.code(), says(400, "InvalidRequest"));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("statement 1") && detail.contains("secrets:Nothing"),
        "{detail}"
    );
    assert_eq!(
        put(json!({"statements": []})).await.code(),
        says(400, "InvalidRequest")
    );
    let theirs = json!({"f:spec": {"f:statements": {}}});
    world.kept_by("secretpolicies", "partner", "argocd", theirs);
    assert_eq!(put(statements).await.code(), says(409, "ManagedElsewhere"));
}

#[tokio::test]
async fn a_rotation_policy_is_a_schedule_of_its_own() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world.object(
        "db-main",
        json!({"generate": {"keys": {"password": {"password": {}}}}}),
    );
    let put = |body: Json| {
        let world = &world;
        async move {
            world
                .write(Method::PUT, "shop/app", "/db-main/rotation", &body.to_string())
                .await
        }
    };
    assert_eq!(
        put(json!({"enabled": true})).await.code(),
        says(400, "InvalidRequest")
    );
    let on = json!({"enabled": true, "every": "30d"});
    assert_eq!(put(on.clone()).await.json(), on);
    let spec = || world.kept("rotationschedules", "db-main").unwrap()["spec"].clone();
    assert_eq!(
        spec(),
        json!({"secrets": {"names": ["db-main"]}, "schedule": {"every": "30d"}, "rotator": {"generate": {}}, "suspend": false})
    );
    assert_eq!(
        put(json!({"enabled": false})).await.json(),
        json!({"enabled": false, "every": "30d"})
    );
    assert_eq!(spec()["suspend"], true);
    let mut other = world.kept("rotationschedules", "db-main").unwrap();
    other["metadata"]["name"] = json!("nightly");
    let place = ("rotationschedules".to_owned(), "nightly".to_owned());
    world.api.objects.lock().insert(place, other);
    assert_eq!(put(on.clone()).await.code(), says(409, "ManagedElsewhere"));
    world.drop_object("db-main");
    assert_eq!(put(on).await.code(), says(409, "NotRotatable"));
}

#[tokio::test]
async fn what_the_api_says_no_more_is_gone_and_what_others_set_stays() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world.create("shop/app", &body("partner")).await;
    let put = async |path: &str, body: Json| {
        world
            .write(Method::PUT, "shop/app", path, &body.to_string())
            .await
    };
    // Somebody labels the objects, and gives the schedule a window.
    let labelled = |kind: &str, more: Json| {
        let place = (kind.to_owned(), "partner".to_owned());
        let mut objects = world.api.objects.lock();
        let found = objects.get_mut(&place).unwrap();
        let mut after = found.clone();
        merged(&mut after, &json!({"metadata": {"labels": {"theirs": "yes"}}}));
        merged(&mut after, &more);
        let write = Write {
            manager: "kubectl-edit",
            subresource: "",
            at: 1_795_465_320,
        };
        *found = managed_fields::updated(found, after, write);
    };

    let statement = |account: &str, more: Json| {
        let mut statement = json!({
            "effect": "Allow", "principals": [{"serviceAccount": account}], "actions": ["secrets:GetSecretValue"],
        });
        merged(&mut statement, &more);
        statement
    };
    let narrow = statement("b", json!({"sid": "b", "conditions": {"stages": ["AWSCURRENT"]}}));
    let two = json!({"statements": [statement("a", json!({})), narrow]});
    assert_eq!(put("/partner/policy", two).await.status, 200);
    labelled("secretpolicies", json!({}));
    let one = json!({"statements": [statement("b", json!({}))]});
    assert_eq!(put("/partner/policy", one.clone()).await.json(), one);
    let policy = world.kept("secretpolicies", "partner").unwrap();
    assert_eq!(policy["spec"]["statements"], one["statements"]);
    assert_eq!(policy["metadata"]["labels"], json!({"theirs": "yes"}));

    labelled("managedsecrets", json!({}));
    let patch = json!({"description": null, "labels": {"team": null}});
    let patched = world
        .write(Method::PATCH, "shop/app", "/partner", &patch.to_string())
        .await;
    assert_eq!(
        (&patched.json()["labels"], patched.json().get("description")),
        (&json!({"theirs": "yes"}), None)
    );
    let object = world.kept("managedsecrets", "partner").unwrap();
    assert_eq!(object["spec"], json!({"source": {"external": {}}}));
    assert_eq!(object["metadata"]["labels"], json!({"theirs": "yes"}));
    let stored = world.stored("partner");
    assert_eq!(stored.description, "");
    assert!(!stored.labels.contains_key("team"), "{:?}", stored.labels);

    world.drop_object("partner");
    world.object(
        "partner",
        json!({"generate": {"keys": {"password": {"password": {}}}}}),
    );
    let on = json!({"enabled": true, "every": "30d"});
    assert_eq!(put("/partner/rotation", on).await.status, 200);
    labelled("rotationschedules", json!({"spec": {"jitter": "1h"}}));
    let off = json!({"enabled": false, "every": "7d"});
    assert_eq!(put("/partner/rotation", off).await.status, 200);
    let schedule = world.kept("rotationschedules", "partner").unwrap();
    assert_eq!(
        schedule["spec"],
        json!({
            "secrets": {"names": ["partner"]}, "schedule": {"every": "7d"}, "rotator": {"generate": {}}, "suspend": true,
            "jitter": "1h",
        })
    );
    assert_eq!(schedule["metadata"]["labels"], json!({"theirs": "yes"}));
}

#[tokio::test]
async fn an_object_that_counts_for_other_secrets_too_is_not_changed_by_whoever_may_change_one() {
    let world = World::new(0);
    world.allow("p", "app", "*", "partner");
    world.create("shop/app", &body("partner")).await;
    world.drop_object("partner");
    world.object(
        "partner",
        json!({"generate": {"keys": {"password": {"password": {}}}}}),
    );
    let statements = json!({"statements": [
        {"effect": "Allow", "principals": [{"serviceAccount": "b"}], "actions": ["secrets:GetSecretValue"]}]});
    let rotation = json!({"enabled": true, "every": "30d"});
    for (kind, path, body, wider) in [
        (
            "secretpolicies",
            "/partner/policy",
            statements,
            json!({"secrets": ["partner", "other"]}),
        ),
        (
            "rotationschedules",
            "/partner/rotation",
            rotation,
            json!({"secrets": {"names": ["other", "partner"]}}),
        ),
    ] {
        let put = async || {
            world
                .write(Method::PUT, "shop/app", path, &body.to_string())
                .await
        };
        assert_eq!(put().await.status, 200);
        let place = (kind.to_owned(), "partner".to_owned());
        merged(
            world.api.objects.lock().get_mut(&place).unwrap(),
            &json!({"spec": wider}),
        );
        let before = world.kept(kind, "partner");
        let answer = put().await;
        assert_eq!(answer.code(), says(409, "ManagedElsewhere"));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("more than this secret"), "{detail}");
        assert_eq!(world.kept(kind, "partner"), before);
    }
}
