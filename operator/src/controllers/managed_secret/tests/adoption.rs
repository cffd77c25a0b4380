//! Taking over a native Secret of somebody else: what stays, what goes, and what only a person may decide.

use serde_json::{Value as Json, json};

use super::native;
use crate::controllers::testing::{ControllerFixture, generated, now, says};

/// The object that adopts Secret `old`, with these fields of `spec.secret` beside the name.
fn adopting(secret: Json) -> Json {
    let mut spec = json!({"source": {"import": {"secretRef": {"name": "old"}}}, "secret": secret});
    spec["secret"]["name"] = json!("old");
    spec
}

/// A Secret as a person may have it: immutable, typed, labelled, owned.
fn theirs(world: &ControllerFixture) -> Json {
    let object = json!({
        "metadata": {
            "name": "old",
            "labels": {"app.kubernetes.io/managed-by": "Helm", "backup": "daily"},
            "annotations": {"note": "theirs"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "o"}],
        },
        "type": "example.com/old",
        "immutable": true,
        "data": {"password": "b2xk", "user": "dXNlcg=="},
    });
    world.api.put_as("kubectl-create", &native("old"), object)
}

fn message(world: &ControllerFixture) -> String {
    let conditions = world.status("db")["conditions"].clone();
    conditions[0]["message"].as_str().unwrap().to_owned()
}

/// Whether each label, annotation and owner reference, the type and immutability of `before` are there still,
/// on the same object.
#[track_caller]
fn assert_kept(before: &Json, after: &Json) {
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(
        after["metadata"]["ownerReferences"],
        before["metadata"]["ownerReferences"]
    );
    for place in ["labels", "annotations"] {
        for (key, value) in before["metadata"][place].as_object().unwrap() {
            assert_eq!(after["metadata"][place][key], *value, "{key}");
        }
    }
    for field in ["type", "immutable", "data"] {
        assert_eq!(after[field], before[field], "{field}");
    }
}

#[tokio::test]
async fn an_adopted_secret_keeps_what_the_spec_leaves_open() {
    let mut world = ControllerFixture::new();
    let before = theirs(&world);
    world.apply_now("db", adopting(json!({}))).await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    let after = world.api.get(&native("old")).unwrap();
    assert_kept(&before, &after);
    assert_eq!(after["metadata"]["annotations"]["strongroom.dev/adopted"], "true");
    let owners = after["metadata"]["managedFields"].as_array().unwrap();
    let of_data: Vec<&Json> = owners
        .iter()
        .filter(|entry| !entry["fieldsV1"]["f:data"].is_null())
        .map(|entry| &entry["manager"])
        .collect();
    assert_eq!(of_data, ["strongroom"], "the data are nobody else's any more");

    // Nor does a generator instead of the import, which says nothing of them, change them.
    let mut generates = generated("old");
    generates["source"]["generate"]["keys"]["user"] = json!({"literal": "user"});
    world.apply_now("db", generates).await;
    assert_kept(&before, &world.api.get(&native("old")).unwrap());
}

#[tokio::test]
async fn an_adoption_that_needs_another_secret_says_what_to_put_in_the_spec() {
    for (secret, help) in [
        (json!({"immutable": false}), "`spec.secret.immutable: true`"),
        (json!({"type": "Opaque"}), "`spec.secret.type: example.com/old`"),
        (json!({"keys": ["password"]}), "take `keys` and `template` out"),
    ] {
        let mut world = ControllerFixture::new();
        let before = theirs(&world);
        world.apply_now("db", adopting(secret)).await;
        assert_eq!(world.ready("db"), says("False", "ReplacementUnasked"));
        assert!(message(&world).contains(help), "{}", message(&world));
        assert_eq!(
            world.api.get(&native("old")).unwrap(),
            before,
            "it is not touched"
        );
        world
            .apply_now(
                "db",
                adopting(json!({"immutable": true, "type": "example.com/old"})),
            )
            .await;
        assert_eq!(world.ready("db"), says("True", "Ready"));
        assert_kept(&before, &world.api.get(&native("old")).unwrap());
    }
}

#[tokio::test]
async fn a_readopted_secret_keeps_what_the_spec_leaves_open() {
    let mut world = ControllerFixture::new();
    let before = theirs(&world);
    let mut spec = generated("old");
    spec["source"]["generate"]["keys"]["user"] = json!({"literal": "user"});
    world.apply("db", spec);
    let lost = "0123456789abcdef0123456789abcdef";
    let mut object = world.api.get(&ControllerFixture::path("db")).unwrap();
    object["status"] = json!({"observedGeneration": 1, "secretId": lost});
    world.api.put(&ControllerFixture::path("db"), object);
    world.annotate("db", "strongroom.dev/readopt", lost);
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_kept(&before, &world.api.get(&native("old")).unwrap());
}

#[tokio::test]
async fn copies_of_the_old_value_go_when_it_is_taken_over_and_whenever_they_come() {
    const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let mut world = ControllerFixture::new();
    let mut before = theirs(&world);
    before["metadata"]["annotations"][COPY] = json!("{\"data\":{\"password\":\"b2xk\"}}");
    world
        .api
        .put_as("kubectl-client-side-apply", &native("old"), before);
    world.apply_now("db", adopting(json!({}))).await;
    let annotations =
        |world: &ControllerFixture| world.api.get(&native("old")).unwrap()["metadata"]["annotations"].clone();
    assert!(annotations(&world).get(COPY).is_none());
    assert_eq!(annotations(&world)["note"], "theirs");
    let said = |world: &ControllerFixture| {
        let events = world.api.events().into_iter();
        events
            .filter(|(reason, note)| reason == "CopyRemoved" && note.contains(COPY) && !note.contains("b2xk"))
            .count()
    };
    assert_eq!(said(&world), 1);
    let mut applied = world.api.get(&native("old")).unwrap();
    applied["metadata"]["annotations"][COPY] = json!("{\"data\":{\"password\":\"bmV3\"}}");
    world.edited_natively(&native("old"), applied);
    world.reconcile("db").await;
    assert!(annotations(&world).get(COPY).is_none());
    // Nothing is left to do.
    world.api.log();
    world.reconcile_at("db", now()).await.unwrap();
    assert_eq!(world.api.log(), Vec::<String>::new());
}
