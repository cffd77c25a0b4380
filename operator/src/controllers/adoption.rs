//! Creates an object for each secret that no object declares, so that the API and the custom resources always
//! agree.
//!
//! Such secrets exist if a secret was made before its object, or if the store of another cluster was
//! restored. A secret that was declared once and is not any more is another case: its object was deleted
//! (`deletion`). Must not touch an existing object.

use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::PostParams;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_model::name::KeyName;
use strongroom_rules::object::NamespaceBinding;

use super::Ctx;
use super::failure::Failure;
use super::namespace::namespace_facts;
use crate::external_manifest::{ExternalManifest, external_managed_secret, object_name};
use crate::kube::field_manager;
use crate::secret_labels;
use crate::store_handle::Orphan;

/// How often to look.
const ADOPTION_INTERVAL: Duration = Duration::from_secs(300);

/// Looks until it is dropped.
pub(super) async fn run(ctx: Arc<Ctx>) {
    loop {
        if let Err(error) = declare(&ctx).await {
            tracing::warn!(%error, "secret adoption failed");
        }
        tokio::time::sleep(ADOPTION_INTERVAL).await;
    }
}

async fn declare(ctx: &Ctx) -> Result<(), Failure> {
    for orphan in ctx.store.orphans().await? {
        let namespace = match namespace_facts(ctx, orphan.namespace.as_str()).await {
            Ok((namespace, _)) => namespace,
            // It is gone, and its secrets wait for whoever accepts them.
            Err(Failure::Api(kube::Error::Api(status))) if status.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        if namespace.terminating || namespace.binding != NamespaceBinding::Bound {
            continue;
        }
        let object = object(&orphan);
        let api: Api<ManagedSecret> = Api::namespaced(ctx.client.clone(), orphan.namespace.as_str());
        let params = PostParams {
            field_manager: Some(field_manager::GATEWAY.to_owned()),
            ..PostParams::default()
        };
        match api.create(&params, &object).await {
            Ok(_) => {
                tracing::info!(
                    namespace = %orphan.namespace,
                    secret = %orphan.view.name,
                    "secret adopted"
                );
            }
            // Somebody's; what it says is for the controller to judge.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn object(orphan: &Orphan) -> ManagedSecret {
    let secret = &orphan.view;
    let labels = secret_labels::user_labels(&secret.labels);
    let declared = ExternalManifest {
        secret: secret.name.as_str(),
        description: Some(secret.description.as_str()).filter(|text| !text.is_empty()),
        labels: &labels,
        key: orphan.key.as_ref().map(KeyName::as_str),
    };
    let mut object = external_managed_secret(&object_name(secret.name.as_str()), &declared);
    object.metadata.namespace = Some(orphan.namespace.to_string());
    object
}

#[cfg(test)]
mod tests {
    use strongroom_model::Hosting;
    use strongroom_model::time::Timestamp;
    use strongroom_store::vault::{BindNamespace, CreateSecret, ProductManager, ProductQuota, ProductRecord};
    use strongroom_testing::store::{meta, new_secret, value_under};

    use super::*;
    use crate::controllers::testing::{ControllerFixture, NS, says};

    fn stored(world: &ControllerFixture, namespace: (&str, &str), name: &str) {
        let store = world.ctx.store.blocking();
        let bind = BindNamespace {
            name: namespace.0.parse().unwrap(),
            uid: namespace.1.parse().unwrap(),
        };
        let namespace = store.run(bind, meta()).unwrap();
        let create = CreateSecret {
            description: "for the shop".to_owned(),
            labels: [("team".to_owned(), "shop".to_owned())].into(),
            ..new_secret(namespace, name, value_under("token", b"t"))
        };
        store.run(create, meta()).unwrap();
    }

    #[tokio::test]
    async fn a_secret_that_nobody_declares_gets_an_object_and_keeps_its_value() {
        let mut world = ControllerFixture::new();
        stored(&world, (NS, "ns-1"), "team/db");
        // A product's, and one of a namespace that was made again, are not ours to declare.
        let product = ProductRecord {
            code: "mcp".parse().unwrap(),
            incarnation: "u-1".parse().unwrap(),
            since: Timestamp::from_millis(0),
            managers: [ProductManager {
                namespace: "mcp".parse().unwrap(),
                name: "mcp".to_owned(),
                namespace_uid: None,
            }]
            .into(),
            hosting: [(
                Hosting::Free,
                ProductQuota {
                    per_namespace: 1,
                    total: 1,
                },
            )]
            .into(),
            adopted: false,
        };
        world.ctx.store.put_product(product).await.unwrap();
        stored(&world, (NS, "ns-1"), "mcp!db");
        stored(&world, ("gone", "ns-7"), "db");
        declare(&world.ctx).await.unwrap();
        let name = object_name("team/db");
        let made = world.api.get(&ControllerFixture::path(&name)).unwrap();
        assert_eq!(made["spec"]["storeName"], "team/db");
        assert_eq!(made["spec"]["source"], serde_json::json!({"external": {}}));
        assert_eq!(made["spec"]["description"], "for the shop");
        assert_eq!(made["metadata"]["labels"]["team"], "shop");
        assert_eq!(world.api.get(&ControllerFixture::path("db")), None);
        world.watch(&name);
        world.reconcile(&name).await;
        assert_eq!(world.ready(&name), says("True", "Ready"));
        assert_eq!(world.versions("team/db").await, 1);
        // It has one now.
        assert_eq!(world.ctx.store.orphans().await.unwrap().len(), 1);
        declare(&world.ctx).await.unwrap();
    }
}
