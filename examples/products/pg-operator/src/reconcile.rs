//! One `Postgres`: its secret, its login in the server, its status.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::controller::Action;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use strongroom_crds::v1alpha1::ManagedSecret;
use tracing::{info, warn};

use crate::error::OperatorError;
use crate::{database, strongroom};

/// What the operator works with.
pub(crate) struct Operator {
    pub(crate) client: Client,
    pub(crate) kind: ApiResource,
    pub(crate) strongroom: Client,
}

type Outcome = Result<Action, OperatorError>;

pub(crate) async fn reconcile(postgres: Arc<DynamicObject>, operator: Arc<Operator>) -> Outcome {
    let outcome = operator.attempt(&postgres).await;
    // Where it failed, the version of before stays.
    let failed = |error: &OperatorError| json!({"message": error.to_string()});
    let status = outcome.as_ref().map_or_else(failed, Value::clone);
    let (namespace, name) = (postgres.namespace().unwrap_or_default(), postgres.name_any());
    let api: Api<DynamicObject> = Api::namespaced_with(operator.client.clone(), &namespace, &operator.kind);
    let status = Patch::Merge(json!({"status": status}));
    api.patch_status(&name, &PatchParams::default(), &status).await?;
    // A change of its secret comes by itself. This looks whether the server still has what it had.
    outcome.map(|_| Action::requeue(Duration::from_secs(300)))
}

pub(crate) fn on_error(postgres: Arc<DynamicObject>, error: &OperatorError, _: Arc<Operator>) -> Action {
    warn!(name = postgres.name_any(), %error, "trying again");
    Action::requeue(Duration::from_secs(5))
}

impl Operator {
    /// The status: the version whose login is in the server, or what it waits for.
    async fn attempt(&self, postgres: &DynamicObject) -> Result<Value, OperatorError> {
        let (namespace, name) = (postgres.namespace().unwrap_or_default(), postgres.name_any());
        // No namespace has a dot in its name, so no two have one role.
        let role = format!("{namespace}.{name}");
        if role.len() > 63 {
            return Err(OperatorError::Role(role, "has a name of more than 63 bytes"));
        }
        let secret = self.apply(postgres, &namespace, &name).await?;
        let status = secret.status.unwrap_or_default();
        if !status.stages.contains_key("Current") {
            let ready = status.conditions.iter().find(|one| one.type_ == "Ready");
            return Ok(json!({"message": ready.map(|ready| &ready.message)}));
        }
        let path = format!("/v1/namespaces/{namespace}/secrets/pg!{name}-admin/value");
        let value = strongroom::read(&self.strongroom, &path).await?;
        let keep = ["Current", "Previous"].map(|stage| status.stages.get(stage));
        let keep: Vec<&String> = keep.into_iter().flatten().collect();
        // Whoever waits for ever learns nothing; the next attempt asks the server what became of this one.
        let made = tokio::time::timeout(Duration::from_secs(60), database::ensure(&role, &value, &keep));
        made.await.map_err(std::io::Error::from)??;
        info!(role, version = value.version_id, "the login is in the server");
        Ok(json!({"version": value.version_id, "message": null}))
    }

    /// The object of the secret: each version is a user name and a password, both random.
    async fn apply(&self, owner: &DynamicObject, namespace: &str, name: &str) -> kube::Result<ManagedSecret> {
        let object = format!("pg-{name}-admin");
        let owners: Vec<_> = owner.controller_owner_ref(&self.kind).into_iter().collect();
        let lower = json!({"password": {"length": 20, "upper": false, "digits": false}});
        let secret = json!({
            "apiVersion": "strongroom.dev/v1alpha1",
            "kind": "ManagedSecret",
            "metadata": {"name": object, "labels": {"strongroom.dev/product": "pg"}, "ownerReferences": owners},
            "spec": {
                "storeName": format!("pg!{name}-admin"),
                "source": {"generate": {"keys": {"username": lower, "password": {"password": {}}}}},
            },
        });
        let api: Api<ManagedSecret> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams::apply("pg-operator").force();
        let found = api.patch(&object, &params, &Patch::Apply(&secret)).await?;
        let mut conditions = found.status.iter().flat_map(|status| &status.conditions);
        if !conditions.any(|one| one.type_ == "Ready" && one.reason == "NotAttested") {
            return Ok(found);
        }
        // The webhook sees no write that changes nothing. So this changes something, once in five minutes.
        let step = (SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() / 300).to_string();
        let again = json!({"metadata": {"annotations": {"strongroom.dev/written-again": step}}});
        api.patch(&object, &PatchParams::default(), &Patch::Merge(again))
            .await
    }
}
