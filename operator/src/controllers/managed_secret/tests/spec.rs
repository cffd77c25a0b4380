//! What an edit of the source does to the value, and what a rotation that is asked for does.

use serde_json::{Value as Json, json};
use strongroom_model::SecretBytes;
use strongroom_store::value::Value;
use strongroom_store::vault::UpdateStage;
use strongroom_testing::store::{meta, new_version};

use super::native;
use crate::controllers::managed_secret::labels;
use crate::controllers::testing::{ControllerFixture, NS, generated, says};

/// A spec with these keys, all of them copied to the native Secret `db`.
fn keys(keys: Json) -> Json {
    json!({"source": {"generate": {"keys": keys}}, "secret": {"name": "db"}})
}

fn text(world: &ControllerFixture, key: &str) -> Option<String> {
    let bytes = world.api.secret_key("db", key)?;
    Some(String::from_utf8(bytes).unwrap())
}

async fn versions(world: &ControllerFixture) -> Vec<String> {
    let view = world.view("db").await.unwrap();
    view.versions
        .into_iter()
        .map(|version| version.id.to_string())
        .collect()
}

/// The value of a version, by key.
async fn value(world: &ControllerFixture, version: &str, key: &str) -> Option<Vec<u8>> {
    let view = world.view("db").await.unwrap();
    let version = version.parse().unwrap();
    let value = world.ctx.store.open(view.id, &version).await.unwrap();
    let found = value.keys().iter().find(|(name, _)| name.as_str() == key);
    found.map(|(_, bytes)| bytes.expose().to_vec())
}

async fn make_current(world: &ControllerFixture, version: &str) {
    let view = world.view("db").await.unwrap();
    let update = UpdateStage {
        secret: view.id,
        stage: "Current".parse().unwrap(),
        move_to: Some(version.parse().unwrap()),
        remove_from: view.current_id().cloned(),
    };
    world.ctx.store.blocking().run(update, meta()).unwrap();
}

#[tokio::test]
async fn a_new_key_comes_in_a_new_version_that_keeps_the_others() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let password = world.api.secret_key("db", "password");
    let mut spec = generated("db");
    // The settings of the old key changed as well: it is not made again.
    spec["source"]["generate"]["keys"] =
        json!({"password": {"password": {"length": 64}}, "token": {"uuid": {}}});
    world.apply_now("db", spec).await;
    assert_eq!(world.api.secret_key("db", "password"), password);
    assert_eq!(world.api.secret_key("db", "token").unwrap().len(), 36);
    assert_eq!(world.versions("db").await, 2);
}

#[tokio::test]
async fn rotate_now_rotates_once_for_each_word() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let mut passwords = vec![world.api.secret_key("db", "password")];
    for word in ["first", "second"] {
        world.annotate("db", "strongroom.dev/rotate-now", word);
        for _ in 0..3 {
            world.reconcile("db").await;
        }
        let password = world.api.secret_key("db", "password");
        assert!(!passwords.contains(&password), "{word}");
        passwords.push(password);
    }
    assert_eq!(world.versions("db").await, 3);
    assert_eq!(world.condition("db", "Rotated").unwrap(), says("True", "Rotated"));
}

#[tokio::test]
async fn an_edited_literal_and_a_key_that_leaves_make_a_new_version_at_once() {
    let mut world = ControllerFixture::with_secret(
        "db",
        keys(json!({"user": {"literal": "one"}, "password": {"password": {}}, "pair": {"ed25519": {}}})),
    )
    .await;
    let password = text(&world, "password").unwrap();
    world
        .apply_now(
            "db",
            keys(json!({"user": {"literal": "two"}, "password": {"password": {}}, "pair": {"ed25519": {}}})),
        )
        .await;
    assert_eq!(text(&world, "user").as_deref(), Some("two"));
    assert_eq!(text(&world, "password"), Some(password.clone()));
    world
        .apply_now(
            "db",
            keys(json!({"user": {"literal": "two"}, "password": {"password": {}}})),
        )
        .await;
    assert_eq!(text(&world, "pair"), None);
    assert_eq!(text(&world, "pair.pub"), None);
    assert_eq!(text(&world, "password"), Some(password));
    assert_eq!(world.ready("db"), says("True", "Ready"));
    // Older versions keep what they had.
    let all = versions(&world).await;
    assert_eq!(all.len(), 3);
    assert_eq!(value(&world, &all[0], "user").await.unwrap(), b"one");
    assert!(value(&world, &all[1], "pair.pub").await.is_some());
    assert_eq!(value(&world, &all[2], "pair.pub").await, None);
    // Nothing is left to do.
    world.api.log();
    world.reconcile("db").await;
    assert_eq!(world.api.log(), Vec::<String>::new());
}

#[tokio::test]
async fn a_rotation_takes_an_edit_of_the_source_as_well() {
    let mut world = ControllerFixture::with_secret(
        "db",
        keys(json!({"user": {"literal": "one"}, "password": {"password": {}}, "old": {"uuid": {}}})),
    )
    .await;
    let password = text(&world, "password");
    world.apply(
        "db",
        keys(json!({"user": {"literal": "two"}, "password": {"password": {}}})),
    );
    world.annotate("db", "strongroom.dev/rotate-now", "word");
    world.reconcile("db").await;
    assert_eq!(text(&world, "user").as_deref(), Some("two"));
    assert_eq!(text(&world, "old"), None);
    assert_ne!(text(&world, "password"), password);
}

#[tokio::test]
async fn a_literal_that_an_older_version_brings_back_is_what_the_spec_says_again() {
    let mut world = ControllerFixture::with_secret(
        "db",
        keys(json!({"user": {"literal": "one"}, "password": {"password": {}}, "old": {"uuid": {}}})),
    )
    .await;
    world
        .apply_now(
            "db",
            keys(json!({"user": {"literal": "two"}, "password": {"password": {}}})),
        )
        .await;
    let first = versions(&world).await[0].clone();
    for count in [3, 4] {
        make_current(&world, &first).await;
        world.reconcile("db").await;
        assert_eq!(world.ready("db"), says("True", "Ready"));
        assert_eq!(text(&world, "user").as_deref(), Some("two"));
        assert_eq!(text(&world, "old"), None);
        assert_eq!(versions(&world).await.len(), count);
    }
}

#[tokio::test]
async fn a_changed_generator_makes_nothing_anew_and_the_condition_has_the_command() {
    let mut world = ControllerFixture::with_secret(
        "db",
        keys(json!({"password": {"password": {}}, "token": {"uuid": {}}})),
    )
    .await;
    assert_eq!(world.condition("db", "GeneratorCurrent"), None);
    let password = text(&world, "password");
    world.apply(
        "db",
        keys(json!({"password": {"password": {"length": 40}}, "token": {"uuid": {}}})),
    );
    // Once read, and once known.
    for _ in 0..2 {
        world.reconcile("db").await;
        assert_eq!(
            world.condition("db", "GeneratorCurrent").unwrap(),
            says("False", "GeneratorChanged")
        );
    }
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(text(&world, "password"), password);
    assert_eq!(versions(&world).await.len(), 1);
    let said = world.message("db", "GeneratorCurrent");
    let command = format!(
        "kubectl -n {NS} annotate managedsecret db strongroom.dev/rotate-now=generation-2 --overwrite"
    );
    assert!(said.contains("`password`") && said.contains(&command), "{said}");
    world.annotate("db", "strongroom.dev/rotate-now", "generation-2");
    world.reconcile("db").await;
    assert_eq!(text(&world, "password").unwrap().len(), 40);
    assert_eq!(world.condition("db", "GeneratorCurrent"), None);
    // Back and forth without a rotation is no change.
    world
        .apply_now(
            "db",
            keys(json!({"password": {"hex": {}}, "token": {"uuid": {}}})),
        )
        .await;
    assert!(world.condition("db", "GeneratorCurrent").is_some());
    world
        .apply_now(
            "db",
            keys(json!({"password": {"password": {"length": 40}}, "token": {"uuid": {}}})),
        )
        .await;
    assert_eq!(world.condition("db", "GeneratorCurrent"), None);
    assert_eq!(versions(&world).await.len(), 2);
}

#[tokio::test]
async fn a_store_that_remembers_no_generators_says_nothing_wrong_and_loses_nothing() {
    let mut world = ControllerFixture::with_secret("db", keys(json!({"password": {"password": {}}}))).await;
    let forget = async |world: &ControllerFixture| {
        let view = world.view("db").await.unwrap();
        let mut labels = view.labels.clone();
        labels.retain(|label, _| !label.contains("generators"));
        assert!(labels.len() < view.labels.len());
        world
            .ctx
            .store
            .update(view.id, labels, view.description)
            .await
            .unwrap();
    };
    forget(&world).await;
    world
        .apply_now("db", keys(json!({"password": {"password": {"length": 9}}})))
        .await;
    assert_eq!(world.condition("db", "GeneratorCurrent"), None);
    assert_eq!(versions(&world).await.len(), 1);
    // From then on it is remembered.
    let view = world.view("db").await.unwrap();
    assert!(labels::recorded_generators(&view.labels).is_some());
    world
        .apply_now("db", keys(json!({"password": {"password": {"length": 10}}})))
        .await;
    assert!(world.condition("db", "GeneratorCurrent").is_some());
    // Such a secret was made by its source alone, so what left the source before the upgrade goes.
    forget(&world).await;
    world.apply_now("db", keys(json!({"token": {"uuid": {}}}))).await;
    assert_eq!(text(&world, "password"), None);
    assert!(text(&world, "token").is_some());
}

#[tokio::test]
async fn keys_that_an_import_brought_stay_when_the_source_becomes_generate() {
    let mut world = ControllerFixture::new();
    world.api.put(
        &native("db"),
        json!({"metadata": {"name": "db"}, "data": {"password": "b2xk", "theirs": "a2VwdA=="}, "type": "Opaque"}),
    );
    world
        .apply_now(
            "db",
            json!({"source": {"import": {"secretRef": {"name": "db"}}}, "secret": {"name": "db"}}),
        )
        .await;
    world
        .apply_now("db", keys(json!({"password": {"password": {}}})))
        .await;
    assert_eq!(text(&world, "password").as_deref(), Some("old"));
    assert_eq!(text(&world, "theirs").as_deref(), Some("kept"));
    world.annotate("db", "strongroom.dev/rotate-now", "word");
    world.reconcile("db").await;
    assert_ne!(text(&world, "password").as_deref(), Some("old"));
    assert_eq!(text(&world, "theirs").as_deref(), Some("kept"));
    // Once the source has named it, it goes with its name.
    world
        .apply_now(
            "db",
            keys(json!({"password": {"password": {}}, "theirs": {"literal": "kept"}})),
        )
        .await;
    assert_eq!(text(&world, "theirs").as_deref(), Some("kept"));
    world
        .apply_now("db", keys(json!({"password": {"password": {}}})))
        .await;
    assert_eq!(text(&world, "theirs"), None);
}

#[tokio::test]
async fn a_generated_secret_that_had_another_source_meanwhile_keeps_what_that_brought() {
    let mut world = ControllerFixture::with_secret("db", keys(json!({"password": {"password": {}}}))).await;
    world
        .apply_now(
            "db",
            json!({"source": {"external": {}}, "secret": {"name": "db"}}),
        )
        .await;
    let view = world.view("db").await.unwrap();
    let bytes = |text: &str| strongroom_model::SecretBytes::new(text.as_bytes().to_vec());
    let put = strongroom_store::vault::EnsureVersion {
        secret: view.id,
        version: "v-put".parse().unwrap(),
        value: strongroom_store::value::Value::from_keys(
            [
                ("password".parse().unwrap(), bytes("p")),
                ("more".parse().unwrap(), bytes("m")),
            ]
            .into(),
        )
        .unwrap(),
        base: view.current_id().cloned(),
        rotation: None,
        may_grow: false,
        labels: None,
    };
    world.ctx.store.ensure(put).await.unwrap();
    world
        .apply_now("db", keys(json!({"password": {"password": {}}})))
        .await;
    assert_eq!(text(&world, "more").as_deref(), Some("m"));
    assert_eq!(text(&world, "password").as_deref(), Some("p"));
}

#[tokio::test]
async fn a_text_of_rotate_now_that_was_used_before_is_not_carried_out_and_says_so() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    for word in ["one", "two"] {
        world.annotate("db", "strongroom.dev/rotate-now", word);
        world.reconcile("db").await;
        assert_eq!(world.condition("db", "Rotated").unwrap(), says("True", "Rotated"));
    }
    let all = versions(&world).await;
    world.annotate("db", "strongroom.dev/rotate-now", "one");
    for _ in 0..2 {
        world.reconcile("db").await;
        assert_eq!(
            world.condition("db", "Rotated").unwrap(),
            says("False", "RotateNowRepeated")
        );
        assert!(world.message("db", "Rotated").contains(&format!("`{}`", all[1])));
    }
    assert_eq!(versions(&world).await, all);
    // Taken away and set again, the last one is a repetition as well.
    let mut object = world.api.get(&ControllerFixture::path("db")).unwrap();
    object["metadata"]["annotations"] = json!({});
    world.api.put(&ControllerFixture::path("db"), object);
    world.watch("db");
    world.reconcile("db").await;
    assert_eq!(world.condition("db", "Rotated").unwrap(), says("True", "Rotated"));
    world.annotate("db", "strongroom.dev/rotate-now", "two");
    world.reconcile("db").await;
    assert_eq!(
        world.condition("db", "Rotated").unwrap(),
        says("False", "RotateNowRepeated")
    );
    world.annotate("db", "strongroom.dev/rotate-now", "three");
    world.reconcile("db").await;
    assert_eq!(world.condition("db", "Rotated").unwrap(), says("True", "Rotated"));
    assert_eq!(versions(&world).await.len(), 4);
}

#[tokio::test]
async fn an_immutable_native_secret_keeps_its_value() {
    let mut world = ControllerFixture::new();
    let immutable = |user: &str| {
        let mut spec = keys(json!({"user": {"literal": user}, "password": {"password": {}}}));
        spec["secret"]["immutable"] = json!(true);
        spec
    };
    world.apply_now("db", immutable("one")).await;
    let before = world.api.get(&native("db")).unwrap();
    world.annotate("db", "strongroom.dev/rotate-now", "word");
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(
        world.condition("db", "Rotated").unwrap(),
        says("False", "ImmutableNotRotatable")
    );
    let said = world.message("db", "Rotated");
    assert!(
        said.contains("remove `spec.secret.immutable`, or the annotation `strongroom.dev/rotate-now`"),
        "{said}"
    );
    world.apply_now("db", immutable("two")).await;
    assert_eq!(world.ready("db"), says("False", "ImmutableNotRotatable"));
    let said = world.message("db", "Ready");
    assert!(
        said.contains("`user`") && said.contains("remove `spec.secret.immutable`"),
        "{said}"
    );
    assert_eq!(world.api.get(&native("db")).unwrap(), before);
    assert_eq!(versions(&world).await.len(), 1);
    // Another name is another Secret; so is one that is not immutable any more.
    let mut renamed = immutable("two");
    renamed["secret"]["name"] = json!("db-2");
    world.apply_now("db", renamed).await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(world.api.secret_key("db-2", "user").unwrap(), b"two");
}

#[tokio::test]
async fn an_edit_that_comes_with_immutable_is_written_first() {
    let mut world = ControllerFixture::with_secret("db", keys(json!({"user": {"literal": "one"}}))).await;
    let mut spec = keys(json!({"user": {"literal": "two"}}));
    spec["secret"]["immutable"] = json!(true);
    world.apply_now("db", spec).await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(text(&world, "user").as_deref(), Some("two"));
}

#[tokio::test]
async fn an_external_object_that_does_not_wait_is_ready_before_its_value() {
    let mut world = ControllerFixture::with_secret(
        "db",
        json!({"source": {"external": {"wait": false}}, "secret": {"name": "db"}}),
    )
    .await;
    assert_eq!(world.ready("db"), says("True", "AwaitingValue"));
    assert_eq!(world.condition("db", "Reconciling"), None);
    world
        .apply_now(
            "db",
            json!({"source": {"external": {}}, "secret": {"name": "db"}}),
        )
        .await;
    assert_eq!(world.ready("db"), says("False", "AwaitingValue"));
    assert_eq!(
        world.condition("db", "Reconciling").unwrap(),
        says("True", "AwaitingValue")
    );
    assert_eq!(world.condition("db", "Stalled"), None);
}

/// A new value by the API.
async fn put(world: &ControllerFixture, version: &str, token: &str) {
    let key = |key: &str, text: &str| (key.parse().unwrap(), SecretBytes::new(text.as_bytes().to_vec()));
    let value = Value::from_keys([key("token", token), key("user", "app")].into()).unwrap();
    let put = new_version(world.view("db").await.unwrap().id, version, value);
    world.ctx.store.blocking().run(put, meta()).unwrap();
}

/// A ManagedSecret `db` whose immutable native Secret holds its second version, the token `two`; with its
/// spec.
async fn immutable() -> (ControllerFixture, Json) {
    let mut world = ControllerFixture::new();
    let mut spec = json!({"source": {"external": {}}, "secret": {"name": "db"}});
    world
        .apply_now("db", keys(json!({"token": {"literal": "one"}})))
        .await;
    world.apply("db", spec.clone());
    put(&world, "v-2", "two").await;
    spec["secret"]["immutable"] = json!(true);
    world.apply_now("db", spec.clone()).await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(text(&world, "token").as_deref(), Some("two"));
    assert_eq!(world.status("db")["nativeSecret"]["versionId"], "v-2");
    (world, spec)
}

/// How another content reaches the native Secret.
#[derive(Clone, Copy, Debug)]
enum Arrives {
    Put,
    Stage,
    Template,
    Keys,
    TypeAndPut,
}

#[tokio::test]
async fn an_immutable_native_secret_keeps_its_data_whatever_brings_new_ones() {
    use Arrives::{Keys, Put, Stage, Template, TypeAndPut};
    for way in [Put, Stage, Template, Keys, TypeAndPut] {
        let (mut world, spec) = immutable().await;
        let before = world.api.get(&native("db")).unwrap();
        let mut edited = spec.clone();
        match way {
            Put => put(&world, "v-3", "three").await,
            Stage => {
                let first = versions(&world).await[0].clone();
                make_current(&world, &first).await;
            }
            Template => edited["secret"]["template"] = json!({"more": "{{ token }}!"}),
            Keys => edited["secret"]["keys"] = json!(["token"]),
            TypeAndPut => {
                put(&world, "v-3", "three").await;
                edited["secret"]["type"] = json!("example.com/token");
            }
        }
        world.apply("db", edited.clone());
        for _ in 0..2 {
            world.reconcile("db").await;
            assert_eq!(
                world.ready("db"),
                says("False", "ImmutableNotRotatable"),
                "{way:?}"
            );
            let said = world.message("db", "Ready");
            assert!(
                said.contains("take that back, or set `spec.secret.immutable: false`"),
                "{said}"
            );
            assert_eq!(world.api.get(&native("db")).unwrap(), before, "{way:?}");
            // Nobody is counted for what the native Secret does not hold.
            assert_eq!(world.status("db")["nativeSecret"]["versionId"], "v-2", "{way:?}");
        }
        // Taken back, it is right again; or the Secret gives up being immutable.
        match way {
            Put | Stage | TypeAndPut => {
                let mut mutable = edited.clone();
                mutable["secret"]["immutable"] = json!(false);
                world.apply("db", mutable);
            }
            Template | Keys => world.apply("db", spec),
        }
        world.reconcile("db").await;
        assert_eq!(world.ready("db"), says("True", "Ready"), "{way:?}");
        let token = match way {
            Put | TypeAndPut => "three",
            Stage => "one",
            Template | Keys => "two",
        };
        assert_eq!(text(&world, "token").as_deref(), Some(token), "{way:?}");
        let status = world.status("db");
        assert_eq!(status["nativeSecret"]["versionId"], status["stages"]["Current"]);
    }
}

#[tokio::test]
async fn an_immutable_native_secret_that_was_taken_over_keeps_its_data_too() {
    let mut world = ControllerFixture::new();
    world.api.put_as(
        "kubectl-create",
        &native("old"),
        json!({"metadata": {"name": "old"}, "type": "Opaque", "immutable": true, "data": {"token": "b25l"}}),
    );
    world
        .apply_now(
            "db",
            json!({"source": {"import": {"secretRef": {"name": "old"}}}, "secret": {"name": "old"}}),
        )
        .await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    let before = world.api.get(&native("old")).unwrap();
    put(&world, "v-2", "two").await;
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("False", "ImmutableNotRotatable"));
    assert_eq!(world.api.get(&native("old")).unwrap(), before);
}
