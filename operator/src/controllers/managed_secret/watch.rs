//! The watch of `ManagedSecret`s, and what each event sets in motion; nothing is decided here.

use std::sync::Arc;

use futures::Stream;
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::{Resource, ResourceExt};
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_crds::view::{PartialObject, SecretAccess};

use crate::controllers::Ctx;
use crate::controllers::cached_object::{CachedObject, Extent};
use crate::controllers::runtime::watch::{KindChange, cached, is_in};
use crate::controllers::triggers::Triggers;
use crate::delivery_policy::DeliveryPolicy;
use crate::external_sources::ExternalDeclaration;

/// The `ManagedSecret`s, kept in `writer`; the answer is what has to be looked at.
pub(in crate::controllers) fn managed_secrets(
    ctx: Arc<Ctx>,
    writer: Writer<CachedObject<ManagedSecret>>,
    triggers: Triggers,
) -> impl Stream<Item = ObjectRef<CachedObject<ManagedSecret>>> + Send {
    let (following, again) = (Arc::clone(&ctx), triggers.clone());
    cached(
        ctx,
        |ctx| &ctx.left_out.managed_secrets,
        writer,
        move |namespace, name| again.managed_secret(namespace, name),
        move |change| follow(&following, &triggers, change),
    )
}

/// Handles a change. Returns whether the object has to be reconciled: a status that we wrote ourselves is no
/// reason.
fn follow(ctx: &Ctx, triggers: &Triggers, change: KindChange<'_, ManagedSecret>) -> bool {
    match change {
        KindChange::Applied {
            object,
            kept,
            before,
            listed,
        } => return applied(ctx, triggers, (object, kept), before, listed),
        KindChange::Deleted(object) => deleted(ctx, triggers, object),
        KindChange::Cached { kept, before, gone } => {
            if gone {
                ctx.deletion_signals.wake();
            }
            if gone || is_relabelled(before, kept) {
                let namespace = kept.namespace().unwrap_or_default();
                ctx.coverage.forget_secret(&namespace, &kept.name_any());
            }
        }
        KindChange::Listed(cache) => {
            ctx.managed_secrets_listed.complete();
            ctx.deletion_signals.wake();
            ctx.coverage.forget_secrets();
            let is_there = is_in(cache);
            ctx.policies.readers_listed(is_there);
            ctx.product_index.retain_secrets(is_there);
            ctx.declared.retain(is_there);
            ctx.terms.retain(is_there);
            ctx.certificates.listed(is_there);
            ctx.metrics.keep_certificates(is_there);
            ctx.left_out.managed_secrets.listed(is_there);
        }
    }
    false
}

fn is_left_out(object: &CachedObject<ManagedSecret>) -> bool {
    matches!(object.extent(), Extent::Nothing(_))
}

/// Whether an object has other labels than the cache had.
fn is_relabelled(before: Option<&CachedObject<ManagedSecret>>, kept: &CachedObject<ManagedSecret>) -> bool {
    before.is_none_or(|before| before.labels() != kept.labels())
}

fn applied(
    ctx: &Ctx,
    triggers: &Triggers,
    (object, kept): (&CachedObject<ManagedSecret>, &CachedObject<ManagedSecret>),
    before: Option<&CachedObject<ManagedSecret>>,
    listed: bool,
) -> bool {
    let namespace = object.namespace().unwrap_or_default();
    let uid = object.uid().unwrap_or_default();
    let same_spec = |before: &CachedObject<ManagedSecret>| {
        before.meta().generation == object.meta().generation
            && before.uid() == object.uid()
            && is_left_out(before) == is_left_out(kept)
    };
    if !before.is_some_and(same_spec) {
        seen_spec(ctx, object, (false, is_left_out(kept)));
    }
    ctx.bundles.want(&namespace);
    ctx.deletion_signals.saw(&namespace, &object.name_any(), &uid);
    let version = |object: &CachedObject<ManagedSecret>| object.meta().resource_version.clone();
    let ours = ctx.expected_status.observe(
        &uid,
        before.and_then(version).as_deref(),
        &version(object).unwrap_or_default(),
        || object.status(),
    );
    let same = |before: &CachedObject<ManagedSecret>| same_spec(before) && before.labels() == object.labels();
    // A status alone changes nothing for the schedules.
    if !before.is_some_and(same) {
        touch_schedules(ctx, triggers, &namespace);
    }
    // A list may lack what changed in between.
    !ours || listed
}

fn deleted(ctx: &Ctx, triggers: &Triggers, object: &CachedObject<ManagedSecret>) {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let uid = object.uid().unwrap_or_default();
    seen_spec(ctx, object, (true, false));
    ctx.backoff.forget(&uid);
    ctx.refusals.forget(&uid);
    ctx.contests.forget(&uid);
    ctx.replacing.forget(&uid);
    ctx.cluster.stop_awaiting_native(&namespace, &name);
    ctx.cluster.unsettle(&uid);
    ctx.expected_status.forget(&uid);
    ctx.certificates.forget(&namespace, &name);
    ctx.metrics.certificate(&namespace, &name, None);
    touch_schedules(ctx, triggers, &namespace);
}

/// Has every `RotationSchedule` of a namespace looked at.
fn touch_schedules(ctx: &Ctx, triggers: &Triggers, namespace: &str) {
    for schedule in ctx.coverage.schedules(namespace) {
        triggers.schedule(namespace, &schedule.name_any());
    }
}

/// Updates what the API knows of a ManagedSecret: `spec.readers`, and whether its values arrive over the API.
/// One that is left out has no readers.
fn seen_spec(ctx: &Ctx, object: &CachedObject<ManagedSecret>, (gone, left_out): (bool, bool)) {
    // An object that does not fit gives nobody anything.
    let spec = object
        .parse_as::<PartialObject<SecretAccess>>()
        .unwrap_or_default()
        .spec;
    let readers = spec.readers.filter(|_| !gone && !left_out).unwrap_or_default();
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let uid = object.uid().unwrap_or_default();
    let store_name = spec.store_name.as_deref().unwrap_or(&name);
    let terms = (!gone).then(|| DeliveryPolicy::from_spec(spec.delivery.as_ref()));
    if ctx.terms.update(&namespace, (&name, &uid), store_name, terms) {
        ctx.policies.notify_changed(&namespace);
    }
    ctx.policies
        .readers(&namespace, (&name, &uid), store_name, &readers);
    let external = !gone && spec.source.is_external();
    let declaration = external.then(|| ExternalDeclaration {
        object: name.clone(),
        uid,
        created: object.creation_timestamp().map(|time| time.0),
        key: spec.encryption_key.clone(),
        native: spec.secret.map(|native| native.name),
    });
    ctx.declared.update(&namespace, &name, store_name, declaration);
    if gone {
        ctx.product_index.lost_secret(&namespace, &name);
    } else {
        ctx.product_index.saw_secret(&namespace, &name, store_name);
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::unbounded;

    use serde_json::json;

    use super::*;
    use crate::controllers::runtime::Reconciler;
    use crate::controllers::testing::{ControllerFixture, generated, now};

    #[tokio::test]
    async fn other_labels_and_a_deletion_change_who_covers_a_secret_and_nothing_else_does() {
        let mut world = ControllerFixture::new();
        world.apply("db", generated("db"));
        let changes = |world: &ControllerFixture| {
            let now = world.kept("db");
            let before = world.ctx.managed_secrets.get(&ObjectRef::from_obj(&now));
            is_relabelled(before.as_deref(), &now)
        };
        world.annotate("db", "strongroom.dev/rotate-now", "word");
        assert!(!changes(&world));
        let path = ControllerFixture::path("db");
        let mut object = world.api.get(&path).unwrap();
        object["metadata"]["labels"] = json!({"team": "red"});
        world.api.put(&path, object);
        assert!(changes(&world));
        assert!(is_relabelled(None, &world.kept("db")));
        world.watch("db");
        assert!(!changes(&world));
    }

    #[tokio::test]
    async fn our_own_status_is_no_news_and_everything_else_is() {
        let mut world = ControllerFixture::new();
        let triggers = Triggers {
            managed_secrets: unbounded().0,
            schedules: unbounded().0,
        };
        let seen = |world: &ControllerFixture, listed| {
            let now = world.kept("db");
            let before = world.ctx.managed_secrets.get(&ObjectRef::from_obj(&now));
            let change = KindChange::Applied {
                object: &now,
                kept: &now,
                before: before.as_deref(),
                listed,
            };
            follow(&world.ctx, &triggers, change)
        };
        world.apply("db", generated("db"));
        // The cache has the object, and what was written has not come back.
        let write = async |world: &ControllerFixture| {
            let kept = world.kept("db");
            ManagedSecret::reconcile(&kept, &world.ctx, now()).await.unwrap();
            assert_ne!(kept.resource_version(), world.kept("db").resource_version());
        };
        write(&world).await;
        assert!(!seen(&world, false));
        world.watch("db");

        world.annotate("db", "strongroom.dev/rotate-now", "word");
        assert!(seen(&world, false));
        // In a list it stands for all that happened since the cache.
        write(&world).await;
        assert!(seen(&world, true));
    }
}
