//! Namespaces: seen for the first time, made again, accepted.

use std::ops::ControlFlow;

use strongroom_model::id::NamespaceId;
use strongroom_model::name::{ExternalId, NamespaceName};
use strongroom_model::time::Timestamp;

use super::delete_secret::destroy;
use super::destroy_secret::about_destruction;
use super::products::without_namespace_uids;
use super::{Command, Decision, Effect, EntryDraft, Namespace, Refusal, StoreError, View};
use crate::audit::Action;
use crate::engine::Table;
use crate::format::Recovery;

fn about(action: Action, namespace: &Namespace) -> EntryDraft {
    EntryDraft::new(action).with(|entry| entry.namespace = Some(namespace.name.clone()))
}

/// Says which namespace bears a name now. The first time makes it known; another uid than before is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindNamespace {
    /// What the outside calls it.
    pub name: NamespaceName,
    /// `metadata.uid` of the Namespace.
    pub uid: ExternalId,
}

impl Command for BindNamespace {
    type Reply = NamespaceId;
    const ACTION: Action = Action::BindNamespace;

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<NamespaceId>, StoreError> {
        let namespace = match view.namespace_named(&self.name)? {
            Some(known) => match &known.uid {
                Some(uid) if *uid == self.uid => return Ok(Decision::unchanged(known.id)),
                Some(uid) => {
                    return Err(Refusal::NamespaceRecreated {
                        former: uid.to_string(),
                    }
                    .into());
                }
                // A restored store learns the uids of its new cluster.
                None => Namespace {
                    uid: Some(self.uid),
                    ..known
                },
            },
            None => Namespace {
                id: NamespaceId::generate().map_err(|_| crate::crypto::CryptoError::NoRandomness)?,
                name: self.name,
                uid: Some(self.uid),
                default_key: None,
                created: now,
            },
        };
        let (id, about) = (namespace.id, about(Action::BindNamespace, &namespace));
        Ok(Decision::new(
            vec![Effect::PutNamespace(Box::new(namespace))],
            about,
            id,
        ))
    }
}

/// Accepts a namespace that was made again as the old one: its secrets become the new one's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceptNamespace {
    /// One that the store knows, or it is refused.
    pub name: NamespaceName,
    /// `metadata.uid` of the Namespace as it is now.
    pub uid: ExternalId,
}

impl Command for AcceptNamespace {
    type Reply = NamespaceId;
    const ACTION: Action = Action::AcceptNamespace;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<NamespaceId>, StoreError> {
        let mut namespace = view
            .namespace_named(&self.name)?
            .ok_or(Refusal::NamespaceNotFound)?;
        let id = namespace.id;
        if namespace.uid.as_ref() == Some(&self.uid) {
            return Ok(Decision::unchanged(id));
        }
        namespace.uid = Some(self.uid);
        let about = about(Action::AcceptNamespace, &namespace);
        Ok(Decision::new(
            vec![Effect::PutNamespace(Box::new(namespace))],
            about,
            id,
        ))
    }
}

/// Frees the name of a namespace that is gone and in which nothing is kept: what is left in it is destroyed,
/// and the next namespace of this name is bound as if it were the first. A secret with a recovery window, or
/// a customer's key in any state, leaves all as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReleaseNamespace {
    /// One that the store knows, or it is refused.
    pub namespace: NamespaceId,
    /// The outside uid of the one that is gone.
    pub uid: ExternalId,
}

impl Command for ReleaseNamespace {
    /// Whether the name is free.
    type Reply = bool;
    const ACTION: Action = Action::BindNamespace;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<bool>, StoreError> {
        let mut namespace = view.namespace(&self.namespace)?;
        match &namespace.uid {
            None => return Ok(Decision::unchanged(true)),
            // Another one bears the name by now.
            Some(uid) if *uid != self.uid => return Ok(Decision::unchanged(false)),
            Some(_) => {}
        }
        let left = view.heads_of(&self.namespace)?;
        if view.has_customer_key(&self.namespace)?
            || left.iter().any(|head| head.recovery == Recovery::Window)
        {
            return Ok(Decision::unchanged(false));
        }
        let mut decision = Decision::unchanged(true);
        for head in left {
            decision.entries.push(about_destruction(&namespace, &head));
            decision.effects.extend(destroy(head));
        }
        namespace.uid = None;
        decision
            .entries
            .push(about(Action::BindNamespace, &namespace).with(|entry| {
                entry.detail = "it is gone and nothing of it is kept: its name is free".to_owned()
            }));
        decision.effects.push(Effect::PutNamespace(Box::new(namespace)));
        Ok(decision)
    }
}

/// Forgets the uids of all namespaces, those of products' managers too, so that a backup can be restored into
/// a new cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForgetNamespaceUids;

impl Command for ForgetNamespaceUids {
    /// How many namespaces had one.
    type Reply = u64;
    const ACTION: Action = Action::AcceptNamespace;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<u64>, StoreError> {
        let mut ids = Vec::new();
        view.snapshot.visit(Table::Namespace, &mut |key, _| {
            ids.extend(key.try_into().ok().map(NamespaceId::from_bytes));
            ControlFlow::Continue(())
        })?;
        let mut decision = Decision::unchanged(0);
        for id in ids {
            let mut namespace = view.namespace(&id)?;
            if namespace.uid.take().is_some() {
                decision.entries.push(about(Action::AcceptNamespace, &namespace));
                decision.effects.push(Effect::PutNamespace(Box::new(namespace)));
                decision.reply += 1;
            }
        }
        for product in without_namespace_uids(view)? {
            decision
                .entries
                .push(EntryDraft::new(Action::AdoptProduct).with(|entry| {
                    entry.detail = format!(
                        "product {}: the namespaces of its managers are taken over by name",
                        product.code
                    );
                }));
            decision.effects.push(Effect::PutProduct(Box::new(product)));
        }
        Ok(decision)
    }
}
