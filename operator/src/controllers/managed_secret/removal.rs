//! Gives a native Secret up: deletes it if it is ours, and stops managing it in any case.

use strongroom_model::object_ref::ObjectRef;
use strongroom_rules::native_secret::claim::WrittenSecret;
use strongroom_rules::uid::Uid;
use strongroom_store::vault::SecretView;

use crate::controllers::Ctx;
use crate::kube::{LeftoverSecret, remove_native_secret};

/// Removes the native Secret of `view`: whether it went or somebody else claims it, it is not the secret's
/// any more, and the record of it goes next.
pub(crate) async fn release(
    ctx: &Ctx,
    namespace: &str,
    native: &ObjectRef,
    view: &SecretView,
) -> Result<(), kube::Error> {
    let leftover = LeftoverSecret {
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
    remove_native_secret(&ctx.client, &ctx.events, &leftover).await?;
    ctx.cluster.forget_native(namespace, &native.name);
    Ok(())
}
