//! Carrying out one step for an `EncryptionKey`. Nothing is decided here.

use strongroom_rules::encryption_key::KeyStep;
use strongroom_store::vault::KeyDeclaration;

use super::observe::ObservedKey;
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
    match step {
        KeyStep::Nothing => {}
        KeyStep::BindNamespace => ctx.store.bind_namespace(&identity.namespace, uid).await?,
        KeyStep::AcceptNamespace => ctx.store.accept_namespace(&identity.namespace, uid).await?,
        KeyStep::Create => {
            let namespace = observed
                .namespace
                .ok_or(Failure::Inconsistent("a key without a namespace"))?;
            ctx.store.create_key(namespace, &observed.name).await?;
        }
        KeyStep::Declare => declare(ctx, observed, identity).await?,
        KeyStep::CancelDeletion => change(ctx, observed, KeyChange::CancelDeletion).await?,
        KeyStep::Enable => {
            change(ctx, observed, KeyChange::Enable).await?;
            // What could not move while the key refused.
            ctx.keys.rewrap();
        }
        KeyStep::Disable => change(ctx, observed, KeyChange::Disable).await?,
        KeyStep::Rotate => {
            change(ctx, observed, KeyChange::NewVersion).await?;
            ctx.keys.rewrap();
        }
    }
    Ok(())
}

async fn declare(ctx: &Ctx, observed: &ObservedKey, identity: &Identity) -> Result<(), Failure> {
    let key = observed
        .key
        .as_ref()
        .ok_or(Failure::Inconsistent("a step without a key"))?;
    let wanted = &observed.facts.wanted.declaration;
    let declared = KeyDeclaration {
        object: identity.object_ref()?,
        window_days: wanted.window_days,
        loss_accepted: wanted.loss_accepted,
    };
    Ok(ctx.store.declare_key(key.namespace, key.id, declared).await?)
}

async fn change(ctx: &Ctx, observed: &ObservedKey, change: KeyChange) -> Result<(), Failure> {
    let key = observed
        .key
        .as_ref()
        .ok_or(Failure::Inconsistent("a step without a key"))?;
    Ok(ctx.store.change_key(key.namespace, key.id, change).await?)
}
