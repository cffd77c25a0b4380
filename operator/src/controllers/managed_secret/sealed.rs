//! Sealed values in the object: opened, and checked for whether they are sealed for the newest cluster key.

use std::collections::BTreeMap;

use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::{SealedKey, SealedSource, Source};
use strongroom_model::SecretBytes;
use strongroom_model::name::DataKeyName;
use strongroom_rules::managed_secret::facts;
use strongroom_store::value::Value;

use super::labels;
use super::observed_secret::{ObservedSecret, SealedFor};
use crate::cluster_keys::{SealedValueLocation, UnsealError};
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;

/// Whether what stands in the object was taken already: the label follows the value.
pub(super) fn observe(ctx: &Ctx, observed: &mut ObservedSecret) {
    let (Source::Sealed(source), Ok(wanted)) = (&observed.object.spec.source, &mut observed.facts.wanted)
    else {
        return;
    };
    let declared = labels::sealed_digest(source);
    let id = |SealedKey(text): &SealedKey| text.split('.').nth(1).map(str::to_owned);
    observed.sealed_for = Some(SealedFor {
        ids: source.keys.values().filter_map(id).collect(),
        newest: ctx.cluster_keys.primary().map(|key| key.id),
    });
    let Some(view) = &observed.view else {
        labels::record_sealed_digest(&mut wanted.labels, declared);
        return;
    };
    let last = labels::recorded_sealed_digest(&view.labels);
    wanted.source = facts::ValueSource::Sealed {
        taken: last == Some(&declared),
    };
    if let Some(last) = last {
        labels::record_sealed_digest(&mut wanted.labels, last.clone());
    }
}

/// What stands in the object for the secret of this name, opened.
pub(super) fn value(
    ctx: &Ctx,
    observed: &ObservedSecret,
    source: &SealedSource,
    secret: &str,
) -> Result<Value, Failure> {
    let mut keys = BTreeMap::new();
    for (key, SealedKey(text)) in &source.keys {
        let belongs = SealedValueLocation {
            namespace: &observed.identity.namespace,
            secret,
            key,
        };
        let bytes = ctx.cluster_keys.open(text, &belongs).map_err(|error| {
            let message = error.to_string();
            match error {
                UnsealError::NotLoaded => Failure::Make {
                    reason: Reason::StoreUnavailable,
                    message,
                },
                // A key that this process does not have, it gets by no waiting: it makes its own, and reads
                // what there is at its start.
                UnsealError::Malformed { .. }
                | UnsealError::OtherKey { .. }
                | UnsealError::Elsewhere { .. } => Failure::Refused {
                    reason: Reason::SealInvalid,
                    message,
                },
            }
        })?;
        let name = DataKeyName::new(key).map_err(|error| Failure::Make {
            reason: Reason::SourceInvalid,
            message: error.to_string(),
        })?;
        keys.insert(name, SecretBytes::new(bytes.to_vec()));
    }
    Value::from_keys(keys).map_err(|error| Failure::Refused {
        reason: Reason::ValueTooLarge,
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::cluster_keys::{ClusterKeys, SealedValueLocation};
    use crate::controllers::testing::{ControllerFixture, NS, says};

    const STORE: &str = "s-1";

    fn world() -> ControllerFixture {
        let mut world = ControllerFixture::new();
        world.ctx.cluster_keys = ClusterKeys::for_store(STORE);
        world
    }

    fn sealed(world: &ControllerFixture, secret: &str, values: &[(&str, &str)]) -> Json {
        let mut keys = json!({});
        for (key, value) in values {
            let belongs = SealedValueLocation {
                namespace: NS,
                secret,
                key,
            };
            keys[*key] = json!(world.ctx.cluster_keys.seal(value.as_bytes(), &belongs).unwrap());
        }
        json!({"source": {"sealed": {"keys": keys}}, "secret": {"name": "db"}})
    }

    #[tokio::test]
    async fn what_stands_in_the_object_is_the_value_and_what_changes_there_a_new_version() {
        let mut world = world();
        let first = sealed(&world, "db", &[("password", "one"), ("user", "shop")]);
        world.apply_now("db", first.clone()).await;
        assert_eq!(world.ready("db"), says("True", "Ready"));
        assert_eq!(world.api.secret_key("db", "password").unwrap(), b"one");
        assert_eq!(world.api.secret_key("db", "user").unwrap(), b"shop");
        world.reconcile("db").await;
        assert_eq!(world.versions("db").await, 1);
        // Other keys, another value: all of it stands in the object.
        let second = sealed(&world, "db", &[("password", "two")]);
        world.apply_now("db", second.clone()).await;
        assert_eq!(world.api.secret_key("db", "password").unwrap(), b"two");
        assert_eq!(world.api.secret_key("db", "user"), None);
        assert_eq!(world.versions("db").await, 2);
        // Sealed anew, the same value is no new version.
        world
            .apply_now("db", sealed(&world, "db", &[("password", "two")]))
            .await;
        assert_eq!(world.versions("db").await, 2);
        // What a revert brings back is a value like any other.
        world.apply_now("db", first).await;
        assert_eq!(world.api.secret_key("db", "password").unwrap(), b"one");
        world.apply_now("db", second).await;
        assert_eq!(world.api.secret_key("db", "password").unwrap(), b"two");
        assert_eq!(world.versions("db").await, 4);
    }

    #[tokio::test]
    async fn every_value_fits_into_what_the_schema_lets_in() {
        let world = world();
        for keys in [1, 32] {
            let value = "x".repeat(65_536 / keys);
            let names: Vec<String> = (0..keys).map(|number| format!("key-{number}")).collect();
            let values: Vec<(&str, &str)> =
                names.iter().map(|name| (name.as_str(), value.as_str())).collect();
            let spec = sealed(&world, "db", &values);
            let texts = spec["source"]["sealed"]["keys"].as_object().unwrap();
            let lengths: Vec<usize> = texts.values().map(|text| text.as_str().unwrap().len()).collect();
            assert!(lengths.iter().all(|length| *length <= 90_000), "{lengths:?}");
            assert!(lengths.iter().sum::<usize>() <= 140_000, "{lengths:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_opened_waits_for_another_text() {
        let mut world = world();
        world.apply("db", sealed(&world, "other", &[("password", "stolen")]));
        let failure = world.reconcile_in_vain("db").await;
        assert_eq!(failure.wait(&world.ctx.backoff, "uid"), None);
    }

    #[tokio::test]
    async fn an_immutable_native_secret_keeps_its_value_when_another_one_is_sealed() {
        let mut world = world();
        let immutable = |mut spec: Json| {
            spec["secret"]["immutable"] = json!(true);
            spec
        };
        world
            .apply_now("db", immutable(sealed(&world, "db", &[("password", "one")])))
            .await;
        world.apply("db", immutable(sealed(&world, "db", &[("password", "two")])));
        world.reconcile_in_vain("db").await;
        assert_eq!(world.ready("db"), says("False", "ImmutableNotRotatable"));
        assert_eq!(world.api.secret_key("db", "password").unwrap(), b"one");
        assert_eq!(world.versions("db").await, 1);
        // Sealed anew without a change, it is taken as ever.
        world
            .apply_now("db", immutable(sealed(&world, "db", &[("password", "one")])))
            .await;
        assert_eq!(world.ready("db"), says("True", "Ready"));
    }

    #[tokio::test]
    async fn a_text_of_another_place_changes_nothing_and_says_so() {
        let mut world = world();
        world.apply("db", sealed(&world, "other", &[("password", "stolen")]));
        world.reconcile_in_vain("db").await;
        assert_eq!(world.ready("db"), says("False", "SealInvalid"));
        assert_eq!(world.view("db").await, None);
        world
            .apply_now("db", sealed(&world, "db", &[("password", "mine")]))
            .await;
        assert_eq!(world.ready("db"), says("True", "Ready"));
        world.apply("db", sealed(&world, "other", &[("password", "stolen")]));
        world.reconcile_in_vain("db").await;
        assert_eq!(world.ready("db"), says("False", "SealInvalid"));
        assert_eq!(world.api.secret_key("db", "password").unwrap(), b"mine");
        assert!(!world.status("db").to_string().contains("stolen"));
    }

    #[tokio::test]
    async fn the_status_says_what_it_is_sealed_for() {
        let mut world = world();
        world
            .apply_now("db", sealed(&world, "db", &[("password", "one")]))
            .await;
        assert_eq!(
            world.condition("db", "SealCurrent").unwrap(),
            says("True", "SealCurrent")
        );
        assert_eq!(world.status("db")["sealedFor"], json!(["0000000000000000"]));
        world.ctx.cluster_keys.add(STORE);
        world.reconcile("db").await;
        assert_eq!(
            world.condition("db", "SealCurrent").unwrap(),
            says("False", "SealOld")
        );
        assert_eq!(world.ready("db"), says("True", "Ready"));
        world
            .apply_now("db", sealed(&world, "db", &[("password", "one")]))
            .await;
        assert_eq!(
            world.condition("db", "SealCurrent").unwrap(),
            says("True", "SealCurrent")
        );
        assert_eq!(world.versions("db").await, 1);
        // Of another source there is nothing to say.
        world
            .apply_now(
                "db",
                json!({"source": {"external": {}}, "secret": {"name": "db"}}),
            )
            .await;
        assert_eq!(world.condition("db", "SealCurrent"), None);
        assert_eq!(world.status("db")["sealedFor"], json!(null));
    }
}
