//! Rotations that are asked for over the API: once for each token, and refused with their cause.

use super::writes::says;
use super::*;

impl World {
    /// A ManagedSecret with this source, to which the secret of its name belongs.
    pub(super) fn object(&self, name: &str, source: Json) {
        let object = json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
            "spec": {"source": source},
        });
        let place = ("managedsecrets".to_owned(), name.to_owned());
        self.api.objects.lock().insert(place, object);
        self.bound(name);
    }

    async fn rotate(&self, name: &str, token: &str) -> TestAnswer {
        let body = json!({"token": token}).to_string();
        self.write(Method::POST, "shop/app", &format!("/{name}/rotation"), &body)
            .await
    }
}

#[tokio::test]
async fn a_rotation_is_asked_for_once_and_says_what_comes_of_it() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    let generate = json!({"generate": {"keys": {"password": {"password": {}}}}});
    world.object("db-main", generate);
    let answer = world.rotate("db-main", "deploy-17").await;
    assert_eq!(answer.status, 202);
    let version = answer.json()["versionId"].as_str().unwrap().to_owned();
    assert_eq!(answer.json()["done"], false);
    let place = ("managedsecrets".to_owned(), "db-main".to_owned());
    let asked = || world.api.objects.lock()[&place]["metadata"]["annotations"].clone();
    assert_eq!(asked(), json!({"strongroom.dev/rotate-now": "deploy-17"}));
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "RotateSecret", "Done")
    );
    // The controller makes the version that was told; then the same token finds it there.
    world.bring("db-main", &version, b"rotated");
    world.rotate("db-main", "another").await;
    let again = world.rotate("db-main", "deploy-17").await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["done"]),
        (200, &json!(true))
    );
    assert_eq!(again.json()["versionId"], version);
    assert_eq!(
        asked(),
        json!({"strongroom.dev/rotate-now": "another"}),
        "nothing is asked for again"
    );
}

#[tokio::test]
async fn a_rotation_that_would_make_nothing_new_is_refused_with_its_cause() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    let keys = json!({"password": {"password": {}}, "user": {"literal": "app"}});
    world.object(
        "db-main",
        json!({"generate": {"keys": {"user": {"literal": "app"}}}}),
    );
    let refused = async |cause: &str| {
        let answer = world.rotate("db-main", "t").await;
        assert_eq!(answer.code(), says(409, "NotRotatable"));
        let said = answer.json().to_string();
        assert!(said.contains(cause), "{said}");
        let place = ("managedsecrets".to_owned(), "db-main".to_owned());
        let object = world.api.objects.lock()[&place].clone();
        assert_eq!(object["metadata"]["annotations"], Json::Null);
    };
    refused("every key of `spec.source.generate` is a literal").await;
    world.object("db-main", json!({"generate": {"keys": keys}}));
    let schedule = |spec: Json| {
        let place = ("rotationschedules".to_owned(), "daily".to_owned());
        let object = json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "RotationSchedule", "spec": spec,
            "metadata": {"name": "daily", "namespace": "shop"},
        });
        world.api.objects.lock().insert(place, object);
    };
    let spec = |keys: Json, suspend: bool| {
        json!({
            "secrets": {"names": ["db-main"]}, "schedule": {"every": "1d"}, "rotator": {"generate": {"keys": keys}}, "suspend": suspend,
        })
    };
    schedule(spec(json!(["passwrd"]), false));
    refused("RotationSchedule `daily` names the key `passwrd`").await;
    schedule(spec(json!(["user"]), false));
    refused("it generates `password`").await;
    schedule(spec(json!(["password"]), true));
    refused("RotationSchedule `daily` is suspended").await;
    schedule(spec(json!(["password"]), false));
    let place = ("managedsecrets".to_owned(), "db-main".to_owned());
    world.api.objects.lock().get_mut(&place).unwrap()["spec"]["secret"] =
        json!({"name": "db-main", "immutable": true});
    refused("remove `spec.secret.immutable`").await;
    world.api.objects.lock().get_mut(&place).unwrap()["spec"]["secret"] = json!({"name": "db-main"});
    assert_eq!(world.rotate("db-main", "t").await.status, 202);
}

#[tokio::test]
async fn what_cannot_rotate_says_why() {
    let world = World::new(0);
    assert_eq!(
        world.rotate("db-main", "t").await.code(),
        says(404, "SecretNotFound")
    );
    world.allow("p", "app", "*", "*");
    assert_eq!(
        world.rotate("db-main", "t").await.code(),
        says(409, "NotRotatable")
    );
    world.object("db-main", json!({"external": {}}));
    assert_eq!(
        world.rotate("db-main", "t").await.code(),
        says(409, "NotRotatable")
    );
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "RotateSecret", "NotRotatable")
    );
    world.api.objects.lock().clear();
    assert_eq!(
        world.rotate("db-main", "t").await.code(),
        says(409, "NotRotatable")
    );
    world.object("db-main", json!({"generate": {"keys": {"a": {"uuid": {}}}}}));
    for token in ["", "two words", &"a".repeat(65)] {
        assert_eq!(
            world.rotate("db-main", token).await.code(),
            says(400, "InvalidRequest"),
            "{token}"
        );
    }
    world.rotate("db-main", "known").await;
    world.api.away.store(true, Ordering::SeqCst);
    assert_eq!(
        world.rotate("db-main", "t").await.code(),
        says(503, "ClusterUnavailable")
    );
}
