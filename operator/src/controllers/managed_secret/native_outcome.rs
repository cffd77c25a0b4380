//! How native Secrets are merged, and what is remembered of one that was written.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PatchParams;

use super::native::{self, RenderedSecret};
use super::observed_secret::ObservedSecret;
use crate::controllers::Ctx;
use crate::controllers::cluster::{NativeRevision, SettledState};
use crate::kube::field_manager;

/// A merge in our name.
pub(super) fn merging() -> PatchParams {
    PatchParams {
        field_manager: Some(field_manager::CONTROLLERS.to_owned()),
        ..PatchParams::default()
    }
}

/// Remembers what was written, so that nothing has to be read to know that it is right.
pub(super) fn wrote(
    ctx: &Ctx,
    observed: &ObservedSecret,
    desired: &RenderedSecret,
    mut written: Secret,
    since: u64,
    now: Timestamp,
) {
    let identity = &observed.identity;
    let revision = NativeRevision::from_object(&written);
    if desired.drift(&written).is_none() {
        ctx.cluster.saw_native(
            &identity.namespace,
            &desired.name,
            (identity.name.as_str(), since),
            revision.clone(),
        );
        let settled = SettledState {
            generation: identity.generation,
            version: desired.version.as_str().into(),
            native: Some(revision),
            adopted: desired.adopted(),
            at: now,
        };
        ctx.cluster.settle(&identity.uid, settled);
    }
    native::wipe(&mut written);
}
