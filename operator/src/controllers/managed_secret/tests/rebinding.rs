//! A name that the store holds without an object is bound where that shows nothing new, and else when
//! somebody who may grants it.

use serde_json::{Value, json};

use super::native;
use crate::controllers::testing::{ControllerFixture, generated, says};

/// One that is reconciled, and gone.
async fn gone(spec: Value) -> (ControllerFixture, String) {
    let mut world = ControllerFixture::with_secret("db", spec).await;
    let id = world.status("db")["secretId"].as_str().unwrap().to_owned();
    world.delete("db");
    world.api.log();
    (world, id)
}

fn plain() -> Value {
    json!({"source": generated("")["source"]})
}

#[tokio::test]
async fn an_object_that_is_replaced_has_its_value_and_its_native_secret() {
    for spec in [generated("db"), plain()] {
        let (mut world, id) = gone(spec.clone()).await;
        let password = world.api.secret_key("db", "password");
        world.apply_now("db", spec).await;
        assert_eq!(world.ready("db"), says("True", "Ready"));
        assert_eq!(world.status("db")["secretId"], id);
        assert_eq!(world.api.secret_key("db", "password"), password);
    }
}

#[tokio::test]
async fn a_new_object_does_not_show_the_value_of_the_one_before_unasked() {
    let (mut world, id) = gone(plain()).await;
    world.apply_now("db", generated("leak")).await;
    assert_eq!(world.ready("db"), says("False", "NameTaken"));
    let message = world.message("db", "Ready");
    assert!(
        message.contains("`leak`") && message.contains(&format!("`strongroom.dev/restore={id}`")),
        "{message}"
    );
    assert_eq!(world.api.get(&native("leak")), None);
    world.annotate("db", "strongroom.dev/restore", "another");
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("False", "NameTaken"));
    world.annotate("db", "strongroom.dev/restore", &id);
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(world.status("db")["secretId"], id);
    assert!(world.api.secret_key("leak", "password").is_some());
}

#[tokio::test]
async fn what_is_retained_comes_back_on_request_alone() {
    let mut spec = generated("db");
    spec["deletion"] = json!({"policy": "Retain"});
    let (mut world, id) = gone(spec.clone()).await;
    for spec in [spec, plain()] {
        world.apply_now("db", spec).await;
        assert_eq!(world.ready("db"), says("False", "NameTaken"));
    }
    world.annotate("db", "strongroom.dev/restore", &id);
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
}

#[tokio::test]
async fn a_new_object_takes_no_secret_from_under_its_key_and_has_no_readers_that_were_granted_for_another() {
    let mut world = ControllerFixture::new();
    world.key("pay", json!({})).await;
    let mut spec = plain();
    spec["encryptionKey"] = json!("pay");
    world.apply_now("db", spec.clone()).await;
    world.delete("db");
    world.apply_now("db", plain()).await;
    assert_eq!(world.ready("db"), says("False", "NameTaken"));
    world.apply_now("db", spec.clone()).await;
    assert_eq!(world.ready("db"), says("True", "Ready"));

    world.delete("db");
    spec["storeName"] = json!("db");
    let mut read = spec.clone();
    read["readers"] = json!(["app"]);
    world.apply_now("mine", read).await;
    assert_eq!(world.ready("mine"), says("False", "NameTaken"));
    world.apply_now("mine", spec).await;
    assert_eq!(world.ready("mine"), says("True", "Ready"));
}

#[tokio::test]
async fn a_key_says_which_secrets_must_lie_under_it() {
    let mut world = ControllerFixture::with_secret("card-1", plain()).await;
    world.key("pay", json!({"requiredFor": ["card-*"]})).await;
    for name in ["card-1", "card-2"] {
        world.apply_now(name, plain()).await;
        assert_eq!(world.ready(name), says("False", "KeyRequired"), "{name}");
    }
    assert!(world.view("card-2").await.is_none(), "no value under another key");
    let mut under = plain();
    under["encryptionKey"] = json!("pay");
    for (name, spec) in [("card-1", under.clone()), ("card-2", under), ("other", plain())] {
        world.apply_now(name, spec).await;
        assert_eq!(world.ready(name), says("True", "Ready"), "{name}");
    }
    let key = world.view("card-1").await.unwrap().key;
    world.apply_now("card-1", plain()).await;
    assert_eq!(world.ready("card-1"), says("False", "KeyRequired"));
    assert_eq!(
        world.view("card-1").await.unwrap().key,
        key,
        "it stays under the key"
    );
}

/// A new cluster has the store of a backup and the objects of Git, which know nothing of either.
#[tokio::test]
async fn two_hundred_objects_from_git_have_their_values_back_after_a_restore() {
    const OBJECTS: usize = 200;
    let mut world = ControllerFixture::new();
    let names: Vec<String> = (0..OBJECTS).map(|number| format!("db-{number}")).collect();
    let mut ids = Vec::new();
    for name in &names {
        let spec = if name.ends_with('7') {
            plain()
        } else {
            generated(name)
        };
        world.apply_now(name, spec).await;
        ids.push(world.status(name)["secretId"].clone());
    }
    let passwords: Vec<_> = names
        .iter()
        .map(|name| world.api.secret_key(name, "password"))
        .collect();
    for name in &names {
        let spec = world.api.get(&ControllerFixture::path(name)).unwrap()["spec"].clone();
        world.delete(name);
        world.api.remove(&native(name));
        world.ctx.cluster = <_>::default();
        world.apply(name, spec);
    }
    for ((name, id), password) in names.iter().zip(ids).zip(passwords) {
        world.reconcile(name).await;
        assert_eq!(world.ready(name), says("True", "Ready"), "{name}");
        assert_eq!(world.status(name)["secretId"], id);
        assert_eq!(world.api.secret_key(name, "password"), password, "{name}");
    }
}

/// What an object says of itself does not make another's authority sign.
#[tokio::test]
async fn an_authority_is_the_secret_of_its_object_and_signs_authorities_of_path_length_0_on_record() {
    let x509 = |more: Value| {
        let mut x509 = json!({"commonName": "a.example"});
        x509.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"x509": x509})
    };
    let mut world = ControllerFixture::with_secret(
        "corp",
        json!({"source": {"generate": {"keys": {"ca": x509(json!({"isCA": true}))}}}}),
    )
    .await;
    // One that claims the name of the authority in the store.
    world.apply("mine", json!({"storeName": "corp", "source": {"external": {}}}));
    let by = |authority: &str, is_ca: bool, key: &str| {
        let ca = json!({"managedSecret": {"name": authority, "key": key}});
        json!({"source": {"generate": {"keys": {"tls": x509(json!({"isCA": is_ca, "ca": ca}))}}}})
    };
    world.apply("stolen", by("mine", true, "ca"));
    world.reconcile_in_vain("stolen").await;
    assert_eq!(
        world.condition("stolen", "Ready").map(|(_, reason)| reason),
        Some("AuthorityNotReady".to_owned())
    );

    world.apply_now("sub", by("corp", true, "ca")).await;
    assert_eq!(world.ready("sub"), says("True", "Ready"));
    let view = world.view("sub").await.unwrap();
    let value = world
        .ctx
        .store
        .open(view.id, view.current_id().unwrap())
        .await
        .unwrap();
    let certificate = value.keys()[&"tls.crt".parse().unwrap()].expose().to_vec();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&certificate).unwrap();
    let parsed = pem.parse_x509().unwrap();
    let constraints = parsed.basic_constraints().unwrap().unwrap().value;
    assert_eq!((constraints.ca, constraints.path_len_constraint), (true, Some(0)));
    assert_eq!(
        world.purposes(),
        ["signs authority `tls` of ManagedSecret `sub`: a.example"]
    );
    // It signs certificates, and no further authority.
    world.apply_now("leaf", by("sub", false, "tls")).await;
    assert_eq!(world.ready("leaf"), says("True", "Ready"));
    world.apply("further", by("sub", true, "tls"));
    let _ = world
        .reconcile_at("further", crate::controllers::testing::now())
        .await;
    let message = world.message("further", "Ready");
    assert!(message.contains("cannot sign a further authority"), "{message}");
}
