//! The watch of `EncryptionKey`s and what each event sets in motion; nothing is decided here.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::Event;
use strongroom_crds::v1alpha1::{EncryptionKey, EncryptionKeyState, ManagedSecret};
use strongroom_crds::view::{KeyReference, KeyRequirement, ObservedKeyState, PartialObject};

use crate::controllers::cached_object::CachedObject;
use crate::controllers::watches::{cached_event, events_of_kind, reflected};
use crate::controllers::{Ctx, Triggers};

/// The `EncryptionKey`s, kept in `writer`; the answer is what has to be looked at.
pub(in crate::controllers) fn encryption_keys(
    ctx: Arc<Ctx>,
    writer: Writer<CachedObject<EncryptionKey>>,
    triggers: Triggers,
) -> impl Stream<Item = ObjectRef<CachedObject<EncryptionKey>>> {
    let cache = writer.as_reader();
    let events = events_of_kind(&ctx, "EncryptionKey", |ctx| &ctx.left_out.keys, &cache);
    let telling = Arc::clone(&ctx);
    let mut listed = HashMap::new();
    // Before the cache takes the event in, it still holds the object as it was.
    let events = events.map(move |whole| {
        let room = |namespace: &str, name: &str| ctx.keys.used(namespace, Some(name));
        let kept = cached_event(&ctx, &ctx.left_out.keys, &cache, &whole, room);
        follow(&ctx, &triggers, &cache, &mut listed, &whole);
        kept
    });
    reflected(telling, "EncryptionKey", writer, events)
}

/// What follows from an event.
fn follow(
    ctx: &Ctx,
    triggers: &Triggers,
    cache: &Store<CachedObject<EncryptionKey>>,
    listed: &mut HashMap<(String, String), String>,
    event: &Event<CachedObject<EncryptionKey>>,
) {
    let (key, gone) = match event {
        Event::Init => return listed.clear(),
        Event::InitDone => {
            ctx.declared.retain_keys(|place| listed.contains_key(place));
            ctx.keys.listed(std::mem::take(listed));
            ctx.key_deletion_signals.wake();
            // A secret whose key's object is gone could not be told from others until now.
            let is_there = |namespace: &str, name: &str| ctx.keys.has_object(namespace, name);
            ctx.left_out.keys.listed(is_there);
            return touch_users(ctx, triggers, None, None);
        }
        Event::InitApply(key) => {
            let place = (key.namespace().unwrap_or_default(), key.name_any());
            listed.insert(place, key.uid().unwrap_or_default());
            (key, false)
        }
        Event::Apply(key) => (key, false),
        Event::Delete(key) => (key, true),
    };
    let (namespace, name) = (key.namespace().unwrap_or_default(), key.name_any());
    let before = cache.get(&ObjectRef::from_obj(key));
    if gone {
        ctx.keys.lost_object(&namespace, &name);
        ctx.backoff.forget(&key.uid().unwrap_or_default());
        ctx.key_deletion_signals.wake();
    } else {
        let uid = key.uid().unwrap_or_default();
        ctx.keys.saw_object(&namespace, &name, &uid);
        ctx.key_deletion_signals.saw(&namespace, &name, &uid);
    }
    let state = |key: &CachedObject<EncryptionKey>| (key.uid(), key_state(key));
    if gone || before.as_deref().map(state) != Some(state(key)) {
        touch_users(ctx, triggers, Some(&namespace), Some(&name));
    }
    let required = if gone { None } else { required_for(key) };
    ctx.declared.set_required_for(&namespace, &name, required.clone());
    if before.as_deref().and_then(required_for) != required {
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
