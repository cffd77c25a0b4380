//! Values that people send and get only sealed, and those that lie sealed in manifests.

use strongroom_api::sealed::{HpkeCiphertext, OpeningKey, Purpose, SealingKey, VersionContext};

use super::extension_api::{jane_may, person};
use super::*;

/// A value that is sealed for a key of the gateway's.
async fn sealed(world: &World, user: &str, about: &VersionContext<'_>, data: &Json) -> Json {
    let key = person(world, user, "POST", "sealingkeys", json!({})).await;
    assert_eq!(key.status, StatusCode::CREATED);
    let key = key.json();
    let public: SealingKey = key["key"].as_str().unwrap().parse().unwrap();
    let sealed = public
        .seal(data.to_string().as_bytes(), Purpose::Request, about)
        .unwrap();
    json!({"sealed": {"key": key["id"], "encapsulated": sealed.encapsulated, "ciphertext": sealed.ciphertext}})
}

#[tokio::test]
async fn a_person_gets_a_value_only_sealed() {
    let world = World::new(0);
    jane_may(&world, "secrets:GetSecretValue");
    let plain = person(&world, "jane", "GET", "secrets/db-main/value", json!({})).await;
    assert_eq!(plain.code(), (400, "InvalidRequest".to_owned()));
    let batch = json!({"secrets": [{"name": "db-main"}]});
    let plain = person(&world, "jane", "POST", "secrets:batchGet", batch).await;
    assert_eq!(plain.code().0, 400);
    let (private, public) = OpeningKey::generate();
    let path = format!("secrets/db-main/value?key=password&recipient={public}");
    let answer = person(&world, "jane", "GET", &path, json!({})).await.json();
    let about = VersionContext {
        namespace: "shop",
        secret: "db-main",
        version: "v-1",
    };
    let sealed: HpkeCiphertext = serde_json::from_value(answer["sealed"].clone()).unwrap();
    assert_eq!(
        *private.open(&sealed, Purpose::Answer, &about).unwrap(),
        b"s3cr3t"
    );
}

#[tokio::test]
async fn a_person_sends_a_value_only_sealed_and_each_key_serves_once() {
    let world = World::new(0);
    for action in ["secrets:PutSecretValue", "secrets:CreateSecret"] {
        jane_may(&world, action);
    }
    let data = json!({"token": data_encoding::BASE64.encode(b"t0ken")});
    let mut plain = json!({"name": "partner", "versionId": "v-1", "data": data});
    let refused = person(&world, "jane", "POST", "secrets", plain.clone()).await;
    assert_eq!(refused.code(), (400, "InvalidRequest".to_owned()));
    let about = VersionContext {
        namespace: "shop",
        secret: "partner",
        version: "v-1",
    };
    let body = sealed(&world, "jane", &about, &data).await;
    plain.as_object_mut().unwrap().remove("data");
    plain["sealed"] = body["sealed"].clone();
    let created = person(&world, "jane", "POST", "secrets", plain.clone()).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(world.stored("partner").versions.len(), 1);
    // The key is gone.
    let again = person(&world, "jane", "POST", "secrets", plain).await;
    assert_eq!(again.code(), (409, "SealingKeyNotFound".to_owned()));
    // Somebody else's key, a value about another version, both ways at once, and neither.
    let second = VersionContext {
        version: "v-2",
        ..about
    };
    let of_jane = sealed(&world, "jane", &second, &data).await;
    let path = "secrets/partner/versions/v-2";
    let refused = person(&world, "joe", "PUT", path, of_jane.clone()).await;
    assert_eq!(refused.code(), (409, "SealingKeyNotFound".to_owned()));
    let elsewhere = sealed(&world, "jane", &about, &data).await;
    let refused = person(&world, "jane", "PUT", path, elsewhere).await;
    assert_eq!(refused.code(), (400, "InvalidRequest".to_owned()));
    let mut both = of_jane.clone();
    both["data"] = data.clone();
    for body in [both, json!({})] {
        let refused = person(&world, "jane", "PUT", path, body).await;
        assert_eq!(refused.code(), (400, "InvalidRequest".to_owned()));
    }
    // None of that spoilt the key.
    world.declare("partner", None);
    let put = person(&world, "jane", "PUT", path, of_jane).await;
    assert_eq!(put.status, StatusCode::CREATED, "{:?}", put.json());
}

#[tokio::test]
async fn what_lies_in_a_manifest_is_sealed_for_the_published_key_and_renewed_without_being_shown() {
    use strongroom_api::manifest::{ClusterKey, ManifestContext, SealedText};

    let world = World::new(0);
    let published = async || -> ClusterKey {
        serde_json::from_value(
            person(&world, "jane", "GET", "clusterkeys", json!({}))
                .await
                .json(),
        )
        .unwrap()
    };
    let key = published().await;
    let place = ManifestContext {
        store: &key.store,
        namespace: "shop",
        secret: "db",
        key: "password",
    };
    let text = SealedText::seal(&key.id, &key.key.parse().unwrap(), b"s3cr3t", &place)
        .unwrap()
        .to_string();
    world.gateway.cluster_keys.add("s-1");
    let newest = published().await;
    assert_ne!(newest.id, key.id);
    let renew = async |name: &str| {
        let body = json!({"name": name, "keys": {"password": text}});
        person(&world, "jane", "POST", "clusterkeys", body).await
    };
    let answer = renew("db").await.json();
    let renewed = answer["keys"]["password"].as_str().unwrap();
    assert!(
        renewed.starts_with(&format!("strongroom1.{}.", newest.id)),
        "{renewed}"
    );
    assert_eq!(world.last(), record("user jane", "RenewSealedValues", "Done"));
    let belongs = crate::cluster_keys::SealedValueLocation {
        namespace: "shop",
        secret: "db",
        key: "password",
    };
    assert_eq!(
        *world.gateway.cluster_keys.open(renewed, &belongs).unwrap(),
        b"s3cr3t"
    );
    // It cannot be moved by renewing it.
    assert_eq!(renew("other").await.code(), (400, "InvalidRequest".to_owned()));
    assert_eq!(
        world.last(),
        record("user jane", "RenewSealedValues", "InvalidRequest")
    );
    // A name that can be no secret's is audited all the same.
    assert_eq!(renew("no name").await.code(), (400, "InvalidRequest".to_owned()));
    assert_eq!(
        world.records().last().unwrap().detail,
        "1 keys, asked for `no name`"
    );
}
