//! Deleting a native Secret: it is read, judged, and then just what was judged is deleted. What somebody else
//! claims stays, and an Event says so.

use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, Resource};
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_rules::native_secret::claim::{self, ForeignClaim, WrittenSecret};
use strongroom_rules::retry::ErrorClass;
use strongroom_rules::uid::Uid;
use strongroom_store::object_ref::ObjectRef;
use strongroom_store::vault::SecretView;

use crate::controllers::Ctx;
use crate::controllers::cluster::NativeRevision;
use crate::controllers::retry::class_of;
use crate::kube::{EventMessage, EventReason, EventWriter};

/// How often a Secret that changes under our hands is judged anew.
const MAX_ATTEMPTS: u8 = 3;

/// A native Secret that is not wanted any more.
#[derive(Debug)]
pub(crate) struct Leftover<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// What is recorded of it.
    pub(crate) written: WrittenSecret,
    /// Name and UID of the ManagedSecret that it belongs to.
    pub(crate) object: Option<(String, String)>,
}

/// Removes it, if it is ours to remove. What somebody else claims stays, and an Event says so: it is not ours
/// to look after any more.
///
/// # Errors
/// The API server's; a conflict where the Secret does not come to rest.
pub(crate) async fn remove(
    client: &Client,
    events: &EventWriter,
    leftover: &Leftover<'_>,
) -> Result<(), kube::Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), leftover.namespace);
    let mut attempt = 1;
    loop {
        let Some(found) = api.get_metadata_opt(leftover.name).await? else {
            return Ok(());
        };
        if let Err(claim) = claim::deletable(&found.metadata, &leftover.written) {
            let uid = found.metadata.uid.unwrap_or_default();
            say_claimed(events, leftover, uid, &claim).await;
            return Ok(());
        }
        match delete(&api, leftover.name, &NativeRevision::from_object(&found)).await {
            Err(error) if class_of(&error) == ErrorClass::Conflict && attempt < MAX_ATTEMPTS => attempt += 1,
            answer => return answer,
        }
    }
}

/// Deletes a native Secret in the state that was judged. One that is gone is no error.
async fn delete(api: &Api<Secret>, name: &str, judged: &NativeRevision) -> Result<(), kube::Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(judged.uid.to_string()),
            resource_version: Some(judged.version.to_string()),
        }),
        ..DeleteParams::default()
    };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the native Secret of `view`: whether it went or somebody else claims it, it is not the secret's
/// any more, and the record of it goes next.
pub(crate) async fn release(
    ctx: &Ctx,
    namespace: &str,
    native: &ObjectRef,
    view: &SecretView,
) -> Result<(), kube::Error> {
    let leftover = Leftover {
        namespace,
        name: &native.name,
        written: WrittenSecret {
            uid: Uid::new(native.uid.as_str()),
            secret: view.id.to_string(),
            versions: view
                .versions
                .iter()
                .map(|version| version.id.to_string())
                .collect(),
        },
        object: view
            .object
            .as_ref()
            .map(|object| (object.name.clone(), object.uid.to_string())),
    };
    remove(&ctx.client, &ctx.events, &leftover).await?;
    ctx.cluster.forget_native(namespace, &native.name);
    Ok(())
}

async fn say_claimed(events: &EventWriter, leftover: &Leftover<'_>, uid: String, claim: &ForeignClaim) {
    let (namespace, name) = (leftover.namespace, leftover.name);
    tracing::info!(namespace, name, %claim, "native Secret kept, claimed by another owner");
    let message = EventMessage {
        reason: EventReason::SecretClaimed,
        note: format!(
            "Secret `{name}` is not deleted: {claim}. Strongroom does not look after it any more; delete it yourself if nobody needs it"
        ),
        action: "Release",
        secondary: leftover.object.as_ref().map(|(name, uid)| ObjectReference {
            api_version: Some(ManagedSecret::api_version(&()).into_owned()),
            kind: Some(ManagedSecret::kind(&()).into_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(name.clone()),
            uid: Some(uid.clone()),
            ..ObjectReference::default()
        }),
    };
    let regarding = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Secret".to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid),
        ..ObjectReference::default()
    };
    events.tell(message, &regarding).await;
}
