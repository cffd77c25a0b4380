//! What every new version of a secret that is there begins with and ends with.

use std::collections::BTreeMap;

use strongroom_model::name::VersionId;
use strongroom_store::value::Value;
use strongroom_store::vault::SecretView;

use super::observe::ObservedSecret;
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::store_handle::StoreFailure;

/// The secret that the step speaks of. The plan never takes such a step without one.
pub(super) fn secret(observed: &ObservedSecret) -> Result<&SecretView, Failure> {
    observed
        .view
        .as_ref()
        .ok_or(Failure::Inconsistent("a step without a secret"))
}

/// The secret with id and value of its current version, from which a new one is made. Where that was known to
/// be right and not opened, it is opened into `opened`: a new one keeps some of its keys.
pub(super) async fn base<'a>(
    ctx: &Ctx,
    observed: &'a ObservedSecret,
    opened: &'a mut Option<Value>,
) -> Result<(&'a SecretView, &'a VersionId, &'a Value), Failure> {
    let view = secret(observed)?;
    if let Some((version, value)) = &observed.current {
        return Ok((view, version, value));
    }
    let version = view
        .current_id()
        .ok_or(Failure::Inconsistent("a secret without a current version"))?;
    let value: &Value = opened.insert(ctx.store.open(view.id, version).await?);
    Ok((view, version, value))
}

/// The id of a version that is made here.
pub(super) fn version_id(text: &str) -> Result<VersionId, StoreFailure> {
    Ok(VersionId::new(text)?)
}

/// The labels that the secret has with a new version, beside what that adds.
pub(super) fn wanted_labels(observed: &ObservedSecret) -> Result<BTreeMap<String, String>, Failure> {
    let wanted = observed.facts.wanted.as_ref();
    wanted
        .map(|wanted| wanted.labels.clone())
        .map_err(|_| Failure::Inconsistent("a version without a spec"))
}

/// Tells the controller of keys that another version lies under the object's key.
pub(super) fn used(ctx: &Ctx, observed: &ObservedSecret) {
    ctx.keys.used(
        &observed.identity.namespace,
        observed.object.spec.encryption_key.as_deref(),
    );
}
