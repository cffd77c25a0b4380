//! Which other object has the native Secret that this one asks for. That object may give it up, or may itself
//! wait for ours.

use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector;
use kube::{Resource, ResourceExt};
use strongroom_crds::condition::{ConditionType, Reason};
use strongroom_crds::v1alpha1::{ManagedSecret, ManagedSecretStatus};
use strongroom_model::object_ref::ObjectRef;
use strongroom_rules::managed_secret::facts::Holder;

use super::native;
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;
use crate::kube::{EventMessage, EventReason};

/// How many objects that wait for each other are followed.
const MAX_FOLLOWED: usize = 16;

/// The other object whose native Secret this is, by the store.
pub(super) async fn held_by_another(
    ctx: &Ctx,
    identity: &Identity,
    found: &Secret,
) -> Result<Option<ObjectRef>, Failure> {
    let Some(id) = native::marked_secret_id(found) else {
        return Ok(None);
    };
    let Some(view) = ctx.store.describe(id).await? else {
        return Ok(None);
    };
    let holds = view
        .materialized
        .is_some_and(|native| found.uid().as_deref() == Some(native.uid.as_str()));
    Ok(view
        .object
        .filter(|object| holds && object.uid.as_str() != identity.uid))
}

/// How that object stands to its native Secret; `ours` is the name of the one that is ours now, where we want
/// another.
pub(super) fn holder(
    ctx: &Ctx,
    identity: &Identity,
    (other, held): (&ObjectRef, &str),
    ours: Option<&str>,
) -> Holder {
    let wants = native_demand(ctx, identity, &other.name);
    let gives_up = match &wants {
        // It is gone, or on its way out: what belongs to it goes with it.
        None => true,
        Some(NativeDemand::Nothing) => true,
        Some(NativeDemand::Name { name, .. }) => name != held,
        Some(NativeDemand::Held) => false,
    };
    Holder {
        name: other.name.clone(),
        gives_up,
        exchange: ours.is_some_and(|ours| lets_go(ctx, identity, &other.name, ours)),
    }
}

/// Tells the holder, by an Event, who else wants its native Secret: what is said at that object alone is not
/// seen by whoever keeps this one.
pub(super) async fn tell(ctx: &Ctx, identity: &Identity, holder: &Holder, native: &str) {
    let place = reflector::ObjectRef::new(&holder.name).within(&identity.namespace);
    let Some(kept) = ctx.managed_secrets.get(&place) else {
        return;
    };
    let note = format!(
        "ManagedSecret `{}` wants Secret `{native}` too, which is the native Secret of this object; two cannot share one: choose another \
         `spec.secret.name` here or there",
        identity.name
    );
    let message = EventMessage::new(EventReason::NativeSecretWanted, "Refuse", note);
    ctx.events.tell(message, &kept.object_ref(&())).await;
}

/// What an object wants of a native Secret.
enum NativeDemand {
    /// None.
    Nothing,
    /// One of this name.
    Name {
        name: String,
        /// Nothing but the name is in its way.
        waits: bool,
    },
    /// Whatever it has: it is suspended, or cannot be read.
    Held,
}

fn native_demand(ctx: &Ctx, identity: &Identity, name: &str) -> Option<NativeDemand> {
    let kept = ctx
        .managed_secrets
        .get(&reflector::ObjectRef::new(name).within(&identity.namespace))?;
    let Ok(object) = kept.parse() else {
        return Some(NativeDemand::Held);
    };
    if object.spec.suspend == Some(true) {
        return Some(NativeDemand::Held);
    }
    let waits = waits(&object);
    Some(match object.spec.secret {
        None => NativeDemand::Nothing,
        Some(secret) => NativeDemand::Name {
            name: secret.name,
            waits,
        },
    })
}

/// Whether the object said, of its newest spec, that the name of its native Secret is taken.
fn waits(object: &ManagedSecret) -> bool {
    let status: Option<&ManagedSecretStatus> = object.status.as_ref();
    status.is_some_and(|status| {
        status.observed_generation == object.metadata.generation
            && status.conditions.iter().any(|condition| {
                condition.type_ == ConditionType::Ready.as_str()
                    && condition.reason == Reason::TargetNotOwned.as_str()
            })
    })
}

/// Whether those who wait for each other's native Secrets, from `first` on, wait for ours in the end, all for
/// nothing else, and it is on us to let go: on the first by name, so that one does and no other.
fn lets_go(ctx: &Ctx, identity: &Identity, first: &str, ours: &str) -> bool {
    let mut next = first.to_owned();
    for _ in 0..MAX_FOLLOWED {
        let Some(NativeDemand::Name { name, waits: true }) = native_demand(ctx, identity, &next) else {
            return false;
        };
        if next <= identity.name {
            return false;
        }
        if name == ours {
            return true;
        }
        match ctx.cluster.owner_of_native(&identity.namespace, &name) {
            Some(owner) if owner != next => next = owner,
            _ => return false,
        }
    }
    false
}
