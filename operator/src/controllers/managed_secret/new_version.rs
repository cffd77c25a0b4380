//! The steps that every new version of an existing secret begins and ends with.

use strongroom_model::name::VersionId;
use strongroom_store::value::Value;

use super::observed_secret::ObservedSecret;
use super::prepare::VersionTarget;
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::store_handle::StoreFailure;

/// The value of the current version, from which a new one is made. Where that was known to be right and not
/// opened, it is opened into `opened`: a new one keeps some of its keys.
pub(super) async fn current_value<'a>(
    ctx: &Ctx,
    observed: &'a ObservedSecret,
    target: VersionTarget<'a>,
    opened: &'a mut Option<Value>,
) -> Result<&'a Value, Failure> {
    if let Some((_, value)) = &observed.current {
        return Ok(value);
    }
    let value: &Value = opened.insert(ctx.store.open(target.record.id, target.base).await?);
    Ok(value)
}

/// The id of a version that is made here.
pub(super) fn version_id(text: &str) -> Result<VersionId, StoreFailure> {
    Ok(VersionId::new(text)?)
}

/// Tells the controller of keys that another version lies under the object's key.
pub(super) fn used(ctx: &Ctx, observed: &ObservedSecret) {
    ctx.keys.used(
        &observed.identity.namespace,
        observed.object.spec.encryption_key.as_deref(),
    );
}
