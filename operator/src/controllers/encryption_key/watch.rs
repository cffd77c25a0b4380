//! The watch of `EncryptionKey`s and what each event sets in motion; nothing is decided here.

use std::sync::Arc;

use futures::Stream;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, store::Writer};
use strongroom_crds::v1alpha1::{EncryptionKey, EncryptionKeyState, ManagedSecret};
use strongroom_crds::view::{KeyReference, KeyRequirement, ObservedKeyState, PartialObject};

use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::controllers::runtime::watch::{KindChange, cached, is_in};
use crate::controllers::triggers::Triggers;

/// The `EncryptionKey`s, kept in `writer`; the answer is what has to be looked at.
pub(in crate::controllers) fn encryption_keys(
    ctx: Arc<Ctx>,
    writer: Writer<CachedObject<EncryptionKey>>,
    triggers: Triggers,
) -> impl Stream<Item = ObjectRef<CachedObject<EncryptionKey>>> + Send {
    let (following, again) = (Arc::clone(&ctx), Arc::clone(&ctx));
    cached(
        ctx,
        |ctx| &ctx.left_out.keys,
        writer,
        move |namespace, name| again.keys.used(namespace, Some(name)),
        move |change| {
            follow(&following, &triggers, change);
            true
        },
    )
}

/// What follows from a change.
fn follow(ctx: &Ctx, triggers: &Triggers, change: KindChange<'_, EncryptionKey>) {
    match change {
        KindChange::Applied { object, before, .. } => {
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            let uid = object.uid().unwrap_or_default();
            ctx.keys.saw_object(&namespace, &name, &uid);
            ctx.key_deletion_signals.saw(&namespace, &name, &uid);
            let state = |key: &CachedObject<EncryptionKey>| (key.uid(), key_state(key));
            if before.map(state) != Some(state(object)) {
                touch_users(ctx, triggers, Some(&namespace), Some(&name));
            }
            require(ctx, triggers, object, before, required_for(object));
        }
        KindChange::Deleted(object) => {
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            ctx.keys.lost_object(&namespace, &name);
            ctx.backoff.forget(&object.uid().unwrap_or_default());
            touch_users(ctx, triggers, Some(&namespace), Some(&name));
            require(ctx, triggers, object, Some(object), None);
        }
        KindChange::Cached { gone: true, .. } => ctx.key_deletion_signals.wake(),
        KindChange::Cached { gone: false, .. } => {}
        KindChange::Listed(cache) => {
            ctx.encryption_keys_listed.complete();
            let is_there = is_in(cache);
            ctx.declared
                .retain_keys(|(namespace, name)| is_there(namespace, name));
            let place =
                |key: &CachedObject<EncryptionKey>| (key.namespace().unwrap_or_default(), key.name_any());
            let there = cache.state();
            let uids = there
                .iter()
                .map(|key| (place(key), key.uid().unwrap_or_default()));
            ctx.keys.listed(uids.collect());
            ctx.key_deletion_signals.wake();
            // A secret whose key's object is gone could not be told from others until now.
            ctx.left_out.keys.listed(is_there);
            touch_users(ctx, triggers, None, None);
        }
    }
}

/// A key requires these secrets to lie under it, where it required others `before`.
fn require(
    ctx: &Ctx,
    triggers: &Triggers,
    key: &CachedObject<EncryptionKey>,
    before: Option<&CachedObject<EncryptionKey>>,
    required: Option<Vec<String>>,
) {
    let namespace = key.namespace().unwrap_or_default();
    let changed = before.and_then(required_for) != required;
    ctx.declared
        .set_required_for(&namespace, &key.name_any(), required);
    if changed {
        for object in ctx
            .managed_secrets
            .state_filter(|object| object.namespace().as_deref() == Some(&namespace))
        {
            triggers.managed_secret(&namespace, &object.name_any());
        }
    }
}

/// `spec.requiredFor` of a key.
fn required_for(key: &CachedObject<EncryptionKey>) -> Option<Vec<String>> {
    let view: PartialObject<KeyRequirement> = key.parse_as().ok()?;
    view.spec.required_for
}

/// The state of a key as its status tells it.
fn key_state(key: &CachedObject<EncryptionKey>) -> Option<EncryptionKeyState> {
    key.status::<ObservedKeyState>()?.state
}

/// Has every `ManagedSecret` looked at that names this key, or any key.
fn touch_users(ctx: &Ctx, triggers: &Triggers, namespace: Option<&str>, name: Option<&str>) {
    let uses = |object: &CachedObject<ManagedSecret>| {
        let key = || {
            let view: PartialObject<KeyReference> = object.parse_as().ok()?;
            view.spec.encryption_key
        };
        namespace.is_none_or(|namespace| object.namespace().as_deref() == Some(namespace))
            && key().is_some_and(|key| name.is_none_or(|name| key == name))
    };
    for object in ctx.managed_secrets.state_filter(uses) {
        triggers.managed_secret(&object.namespace().unwrap_or_default(), &object.name_any());
    }
}
