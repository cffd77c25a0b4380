//! Carrying out one step for an `EncryptionKey`. Nothing is decided here.

use strongroom_rules::encryption_key::KeyStep;
use strongroom_store::vault::{KeyDeclaration, KeyView};

use super::observe::ObservedKey;
use super::prepare::{PreparedKeyStep, prepare};
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;
use crate::store_handle::KeyChange;

pub(super) async fn apply(
    ctx: &Ctx,
    observed: &ObservedKey,
    identity: &Identity,
    step: KeyStep,
) -> Result<(), Failure> {
    let uid = observed.facts.namespace.uid.as_str();
    match prepare(observed, step).ok_or(Failure::Inconsistent)? {
        PreparedKeyStep::Nothing => {}
        PreparedKeyStep::BindNamespace => ctx.store.bind_namespace(&identity.namespace, uid).await?,
        PreparedKeyStep::AcceptNamespace => ctx.store.accept_namespace(&identity.namespace, uid).await?,
        PreparedKeyStep::Create(namespace) => {
            ctx.store.create_key(namespace, &observed.name).await?;
        }
        PreparedKeyStep::Declare(key) => declare(ctx, observed, identity, key).await?,
        PreparedKeyStep::Change(key, change) => {
            ctx.store.change_key(key.namespace, key.id, change).await?;
            if matches!(change, KeyChange::Enable | KeyChange::NewVersion) {
                // What could not move while the key refused, and what lies under its older versions.
                ctx.keys.rewrap();
            }
        }
    }
    Ok(())
}

async fn declare(
    ctx: &Ctx,
    observed: &ObservedKey,
    identity: &Identity,
    key: &KeyView,
) -> Result<(), Failure> {
    let wanted = &observed.facts.wanted.declaration;
    let declared = KeyDeclaration {
        object: identity.object_ref()?,
        window_days: wanted.window_days,
        loss_accepted: wanted.loss_accepted,
    };
    Ok(ctx.store.declare_key(key.namespace, key.id, declared).await?)
}
