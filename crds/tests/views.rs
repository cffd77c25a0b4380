//! Views read of an object what the whole type reads, and just that.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

use std::fmt::Debug;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strongroom_crds::v1alpha1::{EncryptionKey, ManagedSecret, SecretPolicy};
use strongroom_crds::view::{
    CountedConsumers, KeyReference, KeyRequirement, ObservedKeyState, PartialObject, PolicyAttachment,
    PolicyInForce, SecretAccess, ValueOrigin,
};

fn object(kind: &str, spec: Value, status: Value) -> Value {
    json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "db", "namespace": "shop"}, "spec": spec, "status": status,
    })
}

/// Every field of a ManagedSecret that a view has, and others.
fn managed_secret() -> Value {
    let spec = json!({
        "storeName": "team/db", "description": "text", "readers": ["app", "batch-*"], "encryptionKey": "pay",
        "delivery": {"onRevoke": "Wipe"}, "source": {"external": {"wait": false}},
        "secret": {"name": "db", "immutable": true}, "deletion": {"recoveryWindow": "7d"}, "suspend": true,
    });
    let status = json!({
        "observedGeneration": 3, "secretId": "0123",
        "consumers": [{"versionId": "v-1", "volumes": 2}, {"versionId": "v-2", "pods": 1}],
    });
    object("ManagedSecret", spec, status)
}

fn encryption_key() -> Value {
    let spec = json!({
        "enabled": false, "requiredFor": ["card-*"], "rotation": {"every": "30d"}, "deletion": {"window": "7d"},
    });
    let status = json!({"state": "Disabled", "keyId": "0123", "secrets": 3});
    object("EncryptionKey", spec, status)
}

fn secret_policies() -> [Value; 2] {
    let statements = json!([{"effect": "Allow", "actions": ["secrets:GetSecretValue"],
        "principals": [{"serviceAccount": "app"}]}]);
    let status = json!({"observedGeneration": 2, "statements": 1, "generationInForce": 2});
    let attached = [
        json!({"secrets": ["db"], "statements": statements}),
        json!({"identities": {"serviceAccounts": ["app"]}, "statements": statements}),
    ];
    attached.map(|spec| object("SecretPolicy", spec, status.clone()))
}

fn read<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).expect("it fits")
}

/// Views of one object are what they are made of the whole object, as it stands here.
fn agree(object: &Value) {
    match object["kind"].as_str() {
        Some("ManagedSecret") => {
            let whole: ManagedSecret = read(object);
            let access: PartialObject<SecretAccess, CountedConsumers> = read(object);
            assert_eq!(access.spec, SecretAccess::from(whole.spec.clone()));
            assert_eq!(
                access.status,
                CountedConsumers::from(whole.status.unwrap_or_default())
            );
            let key: PartialObject<KeyReference> = read(object);
            assert_eq!(key.spec, KeyReference::from(whole.spec.clone()));
            let origin: PartialObject<ValueOrigin> = read(object);
            assert_eq!(origin.spec, ValueOrigin::from(whole.spec));
        }
        Some("EncryptionKey") => {
            let whole: EncryptionKey = read(object);
            let view: PartialObject<KeyRequirement, ObservedKeyState> = read(object);
            assert_eq!(view.spec, KeyRequirement::from(whole.spec));
            let status = whole.status.unwrap_or_default();
            assert_eq!(view.status, ObservedKeyState::from(status));
        }
        _ => {
            let whole: SecretPolicy = read(object);
            let view: PartialObject<PolicyAttachment, PolicyInForce> = read(object);
            assert_eq!(view.spec, PolicyAttachment::from(whole.spec));
            let status = whole.status.unwrap_or_default();
            assert_eq!(view.status, PolicyInForce::from(status));
        }
    }
}

/// The fields of this part of the object without which the view is another one.
fn fields<T: DeserializeOwned + PartialEq + Debug>(object: &Value, part: &str) -> Vec<String> {
    let whole: T = read(object);
    let all = object[part].as_object().expect("an object");
    let changes = |field: &&String| {
        let mut without = object.clone();
        without[part].as_object_mut().expect("an object").remove(*field);
        read::<T>(&without) != whole
    };
    let mut found: Vec<String> = all.keys().filter(changes).cloned().collect();
    found.sort();
    found
}

#[test]
fn a_view_has_these_fields_and_no_others() {
    let (secret, key) = (managed_secret(), encryption_key());
    let [secrets, identities] = secret_policies();
    assert_eq!(
        fields::<PartialObject<SecretAccess>>(&secret, "spec"),
        [
            "delivery",
            "encryptionKey",
            "readers",
            "secret",
            "source",
            "storeName"
        ]
    );
    assert_eq!(
        fields::<PartialObject<KeyReference>>(&secret, "spec"),
        ["encryptionKey"]
    );
    assert_eq!(fields::<PartialObject<ValueOrigin>>(&secret, "spec"), ["source"]);
    type Counted = PartialObject<KeyReference, CountedConsumers>;
    assert_eq!(fields::<Counted>(&secret, "status"), ["consumers"]);
    type Key = PartialObject<KeyRequirement, ObservedKeyState>;
    assert_eq!(fields::<Key>(&key, "spec"), ["requiredFor"]);
    assert_eq!(fields::<Key>(&key, "status"), ["state"]);
    type Policy = PartialObject<PolicyAttachment, PolicyInForce>;
    assert_eq!(fields::<Policy>(&secrets, "spec"), ["secrets"]);
    assert_eq!(fields::<Policy>(&identities, "spec"), ["identities"]);
    assert_eq!(fields::<Policy>(&secrets, "status"), ["generationInForce"]);
}

#[test]
fn the_source_is_told_by_its_name() {
    for (source, external) in [
        (json!({"external": {}}), true),
        (json!({"external": {"a later field": [7]}}), true),
        (json!({"generate": {"keys": 7}}), false),
        (json!({}), false),
    ] {
        let view: PartialObject<SecretAccess> = read(&json!({"spec": {"source": source}}));
        assert_eq!(view.spec.source.is_external(), external, "{source}");
    }
}

#[test]
fn an_object_that_does_not_fit_elsewhere_gives_its_parts() {
    let mut policy = secret_policies()[0].clone();
    policy["spec"]["statements"] = json!("none");
    policy["status"] = json!(7);
    let view: PartialObject<PolicyAttachment> = read(&policy);
    assert_eq!(view.spec.secrets, Some(vec!["db".to_owned()]));
    assert!(serde_json::from_value::<SecretPolicy>(policy).is_err());
}

proptest! {
    #[test]
    fn views_agree_with_the_whole_whatever_is_absent(absent in prop::collection::vec(any::<bool>(), 64), generated: bool) {
        let [secrets, identities] = secret_policies();
        for mut object in [managed_secret(), encryption_key(), secrets, identities] {
            let mut absent = absent.iter().copied();
            for part in ["spec", "status"] {
                let fields = object[part].as_object_mut().expect("an object");
                // These must be there.
                fields.retain(|name, _| {
                    let goes = absent.next().unwrap_or_default();
                    !goes || (part == "spec" && matches!(name.as_str(), "source" | "statements"))
                });
                fields.insert("aLaterField".to_owned(), json!({"a": [1, null]}));
            }
            if generated && object["kind"] == "ManagedSecret" {
                object["spec"]["source"] = json!({"generate": {"keys": {"a": {"uuid": {}}}}});
            }
            agree(&object);
        }
    }
}
