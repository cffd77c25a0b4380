//! Encryption keys: made, switched, scheduled for destruction, given new versions.

use std::ops::ControlFlow;
use std::time::Duration;

use strongroom_model::RECOVERY_WINDOW_DAYS;
use strongroom_model::id::{KeyId, NamespaceId, SecretId};
use strongroom_model::name::KeyName;
use strongroom_model::time::Timestamp;

use super::{
    Command, Decision, Effect, EntryDraft, KeyRecord, KeyState, KeyVersionState, Refusal, StoreError, View,
    key_view,
};
use crate::audit::Action;
use crate::engine::Table;
use crate::format::StoredDataKey;
use crate::vault::effect::DueTask;
use crate::vault::types::{KeyDeclaration, KeyView};

const DAY: Duration = Duration::from_secs(86_400);

fn about(view: &View<'_>, action: Action, key: &KeyRecord) -> Result<EntryDraft, StoreError> {
    let namespace = view.namespace(&key.namespace)?.name;
    Ok(EntryDraft::new(action).with(|entry| {
        entry.namespace = Some(namespace);
        entry.key = Some(key.id);
    }))
}

fn shown(key: &KeyRecord) -> Result<KeyView, StoreError> {
    // A default key is not configurable: to callers it does not exist.
    key_view(key).ok_or_else(|| Refusal::KeyNotFound.into())
}

/// A customer's key in any state but destroyed.
fn customer_key(view: &View<'_>, namespace: &NamespaceId, id: &KeyId) -> Result<KeyRecord, StoreError> {
    let key = view.key(namespace, id)?;
    if key.name.is_none() {
        return Err(Refusal::KeyNotFound.into());
    }
    if key.state == KeyState::Destroyed {
        return Err(Refusal::KeyDestroyed.into());
    }
    Ok(key)
}

/// Makes a customer's encryption key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateKey {
    /// A new id.
    pub id: KeyId,
    /// The namespace that it is to belong to.
    pub namespace: NamespaceId,
    /// Unique among the namespace's keys that are not destroyed.
    pub name: KeyName,
}

impl Command for CreateKey {
    type Reply = KeyView;
    const ACTION: Action = Action::CreateKey;

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<KeyView>, StoreError> {
        view.namespace(&self.namespace)?;
        if let Some(taken) = view.key_named(&self.namespace, &self.name)? {
            let key = view.key(&self.namespace, &taken)?;
            return match key.state {
                _ if taken == self.id => Ok(Decision::unchanged(shown(&key)?)),
                KeyState::Destroyed => Ok(create(view, self, now)?),
                KeyState::Enabled | KeyState::Disabled | KeyState::PendingDeletion { .. } => {
                    Err(Refusal::KeyExists.into())
                }
            };
        }
        create(view, self, now)
    }

    fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<KeyView>, StoreError> {
        Ok(Decision::unchanged(shown(&view.key(&self.namespace, &self.id)?)?))
    }
}

fn create(view: &View<'_>, wanted: CreateKey, now: Timestamp) -> Result<Decision<KeyView>, StoreError> {
    let key = KeyRecord::new(wanted.id, wanted.namespace, Some(wanted.name), now);
    let reply = shown(&key)?;
    let about = about(view, Action::CreateKey, &key)?;
    let effects = vec![
        Effect::AddMaterial(key.namespace, key.id, 1),
        Effect::PutKey(Box::new(key)),
    ];
    Ok(Decision::new(effects, about, reply))
}

macro_rules! key_commands {
    ($($(#[$doc:meta])* $name:ident $action:ident |$view:ident, $key:ident, $self:ident, $now:ident, $effects:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name {
            /// The namespace that the key is in: a key of another one is not found.
            pub namespace: NamespaceId,
            /// Must be a customer's key.
            pub key: KeyId,
        }

        impl Command for $name {
            type Reply = KeyView;
            const ACTION: Action = Action::$action;

            fn decide($self, $view: &View<'_>, $now: Timestamp) -> Result<Decision<KeyView>, StoreError> {
                let before = customer_key($view, &$self.namespace, &$self.key)?;
                let mut $key = before.clone();
                let mut $effects: Vec<Effect> = Vec::new();
                $body;
                let reply = shown(&$key)?;
                if $key == before {
                    return Ok(Decision::unchanged(reply));
                }
                let about = about($view, Action::$action, &$key)?;
                $effects.push(Effect::PutKey(Box::new($key)));
                Ok(Decision::new($effects, about, reply))
            }

            fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<KeyView>, StoreError> {
                Ok(Decision::unchanged(shown(&view.key(&self.namespace, &self.key)?)?))
            }
        }
    )*};
}

key_commands! {
    /// Lets a disabled key work again; all answers are then as they were.
    EnableKey EnableKey |_view, key, self, _now, _effects| match key.state {
        KeyState::PendingDeletion { until } => return Err(Refusal::KeyPendingDeletion { until }.into()),
        _ => key.state = KeyState::Enabled,
    };
    /// Makes a key refuse: values under it can be neither written nor read.
    DisableKey DisableKey |_view, key, self, _now, _effects| match key.state {
        KeyState::PendingDeletion { until } => return Err(Refusal::KeyPendingDeletion { until }.into()),
        _ => key.state = KeyState::Disabled,
    };
    /// Keeps a key that was to be destroyed; it is enabled afterwards.
    CancelKeyDeletion CancelKeyDeletion |_view, key, self, now, effects| match key.state {
        // After its window a key is as good as gone, whether or not the purge came by.
        KeyState::PendingDeletion { until } if now > until => return Err(Refusal::KeyDestroyed.into()),
        KeyState::PendingDeletion { until } => {
            effects.push(Effect::DropDue(until, DueTask::DestroyKey(key.namespace, key.id)));
            key.state = KeyState::Enabled;
        }
        _ => return Err(Refusal::KeyNotPendingDeletion.into()),
    };
    /// Gives a key a new primary version: new data keys come under it, a rewrap moves the old ones.
    NewKeyVersion RotateKey |view, key, self, now, effects| {
        view.usable_key(&self.namespace, &self.key)?;
        key.primary = key.versions.iter().map(|version| version.version).max().unwrap_or(0).max(key.primary) + 1;
        key.versions.push(KeyVersionState { version: key.primary, created: now });
        effects.push(Effect::AddMaterial(key.namespace, key.id, key.primary));
    };
}

/// Whether some data key is wrapped like this.
fn wraps(view: &View<'_>, like: impl Fn(&StoredDataKey) -> bool) -> Result<bool, StoreError> {
    let uses = |bytes: &[u8]| StoredDataKey::decode(bytes).is_ok_and(|stored| like(&stored));
    let mut used = view.pending.iter().any(|((table, _), value)| {
        *table == Table::DataKey && value.as_ref().is_some_and(|bytes| uses(bytes))
    });
    view.snapshot.visit(Table::DataKey, &mut |record, bytes| {
        let replaced = view.pending.contains_key(&(Table::DataKey, record.to_vec()));
        used |= !replaced && uses(bytes);
        if used {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(used)
}

/// Whether a secret comes under the key, or has a version under it.
fn is_used(view: &View<'_>, key: &KeyId) -> Result<bool, StoreError> {
    if wraps(view, |stored| stored.key == *key)? {
        return Ok(true);
    }
    let mut secrets = Vec::new();
    let mut note = |record: &[u8]| secrets.extend(record.try_into().ok().map(SecretId::from_bytes));
    for (table, record) in view.pending.keys() {
        if *table == Table::Head {
            note(record);
        }
    }
    view.snapshot.visit(Table::Head, &mut |record, _| {
        note(record);
        ControlFlow::Continue(())
    })?;
    for secret in secrets {
        if view.head(&secret)?.is_some_and(|head| head.key == *key) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Records what declares a key, in place of what did before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeclareKey {
    /// Where the key belongs; in another namespace it is not found.
    pub namespace: NamespaceId,
    /// In any state but destroyed.
    pub key: KeyId,
    /// What the EncryptionKey object says of it.
    pub declaration: KeyDeclaration,
}

impl Command for DeclareKey {
    type Reply = KeyView;
    const ACTION: Action = Action::BindObject;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<KeyView>, StoreError> {
        if !RECOVERY_WINDOW_DAYS.contains(&self.declaration.window_days) {
            return Err(Refusal::WindowOutOfBounds(self.declaration.window_days).into());
        }
        let mut key = customer_key(view, &self.namespace, &self.key)?;
        if key.declaration.as_ref() == Some(&self.declaration) {
            return Ok(Decision::unchanged(shown(&key)?));
        }
        let detail = format!("EncryptionKey `{}`", self.declaration.object.name);
        key.declaration = Some(self.declaration);
        let about = about(view, Action::BindObject, &key)?.with(|entry| entry.detail = detail);
        let reply = shown(&key)?;
        Ok(Decision::new(vec![Effect::PutKey(Box::new(key))], about, reply))
    }
}

/// Schedules a key's destruction. Until then it refuses like a disabled one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScheduleKeyDeletion {
    /// Where the key belongs; in another namespace it is not found.
    pub namespace: NamespaceId,
    /// Enabled or disabled.
    pub key: KeyId,
    /// 7 to 30.
    pub window_days: u32,
    /// Also where secrets depend on it, which are lost with it.
    pub lose_dependents: bool,
}

impl Command for ScheduleKeyDeletion {
    type Reply = KeyView;
    const ACTION: Action = Action::ScheduleKeyDeletion;

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<KeyView>, StoreError> {
        if !RECOVERY_WINDOW_DAYS.contains(&self.window_days) {
            return Err(Refusal::WindowOutOfBounds(self.window_days).into());
        }
        let mut key = customer_key(view, &self.namespace, &self.key)?;
        if let KeyState::PendingDeletion { until } = key.state {
            return Err(Refusal::KeyPendingDeletion { until }.into());
        }
        if !self.lose_dependents && is_used(view, &self.key)? {
            return Err(Refusal::KeyInUse.into());
        }
        let until = now.plus(DAY * self.window_days);
        key.state = KeyState::PendingDeletion { until };
        let about = about(view, Action::ScheduleKeyDeletion, &key)?
            .with(|entry| entry.detail = format!("until {until}"));
        let reply = shown(&key)?;
        let due = DueTask::DestroyKey(key.namespace, key.id);
        Ok(Decision::new(
            vec![Effect::AddDue(until, due), Effect::PutKey(Box::new(key))],
            about,
            reply,
        ))
    }

    fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<KeyView>, StoreError> {
        Ok(Decision::unchanged(shown(
            &view.key(&self.namespace, &self.key)?,
        )?))
    }
}

/// Destroys the material of an old version that wraps nothing any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DestroyKeyVersion {
    /// Where the key belongs; in another namespace it is not found.
    pub namespace: NamespaceId,
    /// In any state but destroyed.
    pub key: KeyId,
    /// Not the primary one; one that is gone already is a success.
    pub version: u32,
}

impl Command for DestroyKeyVersion {
    type Reply = KeyView;
    const ACTION: Action = Action::DestroyKeyVersion;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<KeyView>, StoreError> {
        let mut key = customer_key(view, &self.namespace, &self.key)?;
        if self.version == key.primary {
            return Err(Refusal::KeyVersionInUse.into());
        }
        if !key.versions.iter().any(|version| version.version == self.version) {
            return Ok(Decision::unchanged(shown(&key)?));
        }
        if wraps(view, |stored| {
            stored.key == self.key && stored.key_version == self.version
        })? {
            return Err(Refusal::KeyVersionInUse.into());
        }
        key.versions.retain(|version| version.version != self.version);
        let about = about(view, Action::DestroyKeyVersion, &key)?
            .with(|entry| entry.detail = format!("version {}", self.version));
        let reply = shown(&key)?;
        let effects = vec![
            Effect::DropMaterial(self.key, self.version),
            Effect::PutKey(Box::new(key)),
        ];
        Ok(Decision::new(effects, about, reply))
    }

    fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<KeyView>, StoreError> {
        Ok(Decision::unchanged(shown(
            &view.key(&self.namespace, &self.key)?,
        )?))
    }
}
