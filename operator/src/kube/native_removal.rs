//! Deletes a native Secret: reads it, decides, and then deletes exactly the version that was read. One that
//! somebody else claims stays, and an Event says so.

use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::api::{DeleteParams, Preconditions};
use kube::core::ObjectMeta;
use kube::{Api, Client, Resource};
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_rules::native_secret::claim::{self, ForeignClaim, WrittenSecret};

use super::{EventMessage, EventReason, EventWriter};

/// How often a Secret that changes under our hands is judged anew.
const MAX_ATTEMPTS: u8 = 3;

/// A native Secret that is not wanted any more.
#[derive(Debug)]
pub(crate) struct LeftoverSecret<'a> {
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
pub(crate) async fn remove_native_secret(
    client: &Client,
    events: &EventWriter,
    leftover: &LeftoverSecret<'_>,
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
        match delete(&api, leftover.name, found.metadata).await {
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < MAX_ATTEMPTS => attempt += 1,
            answer => return answer,
        }
    }
}

/// Deletes a native Secret in the state that was judged. One that is gone is no error.
async fn delete(api: &Api<Secret>, name: &str, judged: ObjectMeta) -> Result<(), kube::Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(judged.uid.unwrap_or_default()),
            resource_version: Some(judged.resource_version.unwrap_or_default()),
        }),
        ..DeleteParams::default()
    };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

async fn say_claimed(events: &EventWriter, leftover: &LeftoverSecret<'_>, uid: String, claim: &ForeignClaim) {
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
