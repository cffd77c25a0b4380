//! Who wrote what outside objects declare. The outside says who writes an object, and what, before the object
//! is there; whoever sees the object joins the two by the object and a digest of what it declares. What
//! nobody said so of is audited as such.

use strongroom_model::name::{ExternalId, NamespaceName};
use strongroom_model::time::Timestamp;

use super::{Command, Decision, Effect, EntryDraft, Refusal, StoreError, View};
use crate::audit::{Action, Author, Requester};
use crate::format::{Attestation, AttestedSince, Declaration};
use crate::vault::types::{AttestationId, DeclarationOutcome, DeclaredObject, ObjectChange, ObjectDigest};

/// Most attestations, or objects that are gone, that one command forgets.
const MAX_FORGOTTEN: usize = 256;
/// Longest kind and name of an object in bytes.
const MAX_NAME_BYTES: usize = 253;

/// From now on a change that nobody attests counts as one. Again changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BeginAttestations;

impl Command for BeginAttestations {
    type Reply = ();
    const ACTION: Action = Action::DeclareObject;

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<()>, StoreError> {
        if view.attested_since()?.is_some() {
            return Ok(Decision::unchanged(()));
        }
        Ok(unrecorded(vec![Effect::PutAttestedSince(AttestedSince(now))], ()))
    }
}

/// Keeps who is about to change an object, in the place of whoever was about to change it likewise. Not on
/// record: nothing may come of it.
#[derive(Clone, Debug)]
pub struct Attest {
    /// What the outside calls the object for good.
    pub uid: ExternalId,
    /// Name of the namespace that it is in.
    pub namespace: NamespaceName,
    /// What happens to it.
    pub change: ObjectChange,
    /// What it declares then, or did last.
    pub digest: ObjectDigest,
    /// Who is about to change it.
    pub author: Author,
    /// What makes room for it; at most 256.
    pub forget: Vec<AttestationId>,
}

impl Command for Attest {
    type Reply = AttestationId;
    const ACTION: Action = Action::DeclareObject;

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<AttestationId>, StoreError> {
        let mut effects = forgotten(self.forget)?;
        let id = view.attestation_id(&self.uid, self.change, &view.keyed_digest(&self.uid, self.digest));
        let attestation = Attestation {
            namespace: self.namespace,
            uid: self.uid,
            at: now,
            author: self.author,
        };
        effects.push(Effect::PutAttestation(id, Box::new(attestation)));
        Ok(unrecorded(effects, id))
    }
}

/// Forgets attestations of which nothing came; at most 256.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForgetAttestations(pub Vec<AttestationId>);

impl Command for ForgetAttestations {
    type Reply = ();
    const ACTION: Action = Action::DeclareObject;

    fn decide(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        Ok(unrecorded(forgotten(self.0)?, ()))
    }
}

/// Takes in what an object declares. What it declared already changes nothing; a change is audited with who
/// wrote it.
#[derive(Clone, Debug)]
pub struct AcceptDeclaration {
    /// The object as it is now.
    pub object: DeclaredObject,
    /// When the outside made it.
    pub created: Timestamp,
    /// What it declares.
    pub digest: ObjectDigest,
}

impl Command for AcceptDeclaration {
    type Reply = DeclarationOutcome;
    const ACTION: Action = Action::DeclareObject;

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<DeclarationOutcome>, StoreError> {
        let Self {
            object,
            created,
            digest,
        } = self;
        checked(&object)?;
        let mark = view.keyed_digest(&object.uid, digest);
        // One that was gone and is there again is seen for the first time.
        let before = taken(view, &object.uid)?.filter(|before| !before.gone);
        if let Some(before) = &before
            && before.mark == mark
        {
            return Ok(Decision::unchanged(DeclarationOutcome {
                requester: before.requester.clone(),
                changed: false,
                joined: None,
            }));
        }
        let (requester, joined) = match attested(view, &object.uid, ObjectChange::Written, &mark)? {
            Some((author, id)) => (Some(Requester::Attested(author)), Some(id)),
            // Seen for the first time, and older than the time since which it is known who writes.
            None if before.is_none() && created <= view.attested_since()?.map_or(now, |since| since.0) => {
                (None, None)
            }
            None => (Some(Requester::Unattested), None),
        };
        let mut effects: Vec<Effect> = joined.map(Effect::DropAttestation).into_iter().collect();
        let entry = requester
            .as_ref()
            .map(|requester| about(Action::DeclareObject, &object, requester));
        effects.push(Effect::PutDeclaration(Box::new(Declaration {
            object,
            mark,
            requester: requester.clone(),
            approved: before.and_then(|before| before.approved),
            gone: false,
        })));
        Ok(Decision {
            effects,
            entries: entry.into_iter().collect(),
            reply: DeclarationOutcome {
                requester,
                changed: true,
                joined,
            },
            takes: None,
        })
    }
}

/// Remembers which declaration of an object was approved, in place of the one before, until the object is
/// gone. It is not audited, because it changes no secret. For an object without a recorded declaration,
/// nothing happens.
#[derive(Clone, Debug)]
pub struct ApproveDeclaration {
    /// What the outside calls the object for good.
    pub uid: ExternalId,
    /// What of it is approved. Whoever approves says what that is a digest of.
    pub digest: ObjectDigest,
}

impl Command for ApproveDeclaration {
    type Reply = ();
    const ACTION: Action = Action::DeclareObject;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        let approved = Some(view.keyed_digest(&self.uid, self.digest));
        match taken(view, &self.uid)? {
            Some(declaration) if declaration.approved != approved => {
                let approved = Declaration {
                    approved,
                    ..declaration
                };
                Ok(unrecorded(vec![Effect::PutDeclaration(Box::new(approved))], ()))
            }
            _ => Ok(Decision::unchanged(())),
        }
    }
}

/// Records that an object is gone, and who deleted it. One of which nothing was taken in changes nothing,
/// unless its last state is known. Who deleted it is kept for as long as something is still to be done
/// because of that: of an access policy until it is removed, else until [`ForgetWithdrawn`].
#[derive(Clone, Debug)]
pub struct WithdrawDeclaration {
    /// The object as it was last.
    pub object: DeclaredObject,
    /// What it declared last, where that was seen.
    pub digest: Option<ObjectDigest>,
    /// Something may belong to it that goes later, and then names who deleted the object.
    pub awaited: bool,
}

impl Command for WithdrawDeclaration {
    type Reply = DeclarationOutcome;
    const ACTION: Action = Action::WithdrawObject;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<DeclarationOutcome>, StoreError> {
        let Self {
            object,
            digest,
            awaited,
        } = self;
        checked(&object)?;
        let before = taken(view, &object.uid)?;
        if let Some(gone) = before.as_ref().filter(|before| before.gone) {
            return Ok(Decision::unchanged(DeclarationOutcome {
                requester: gone.requester.clone(),
                changed: false,
                joined: None,
            }));
        }
        let seen = digest.map(|digest| view.keyed_digest(&object.uid, digest));
        let Some(mark) = seen.or(before.as_ref().map(|before| before.mark)) else {
            return Ok(Decision::unchanged(DeclarationOutcome {
                requester: None,
                changed: false,
                joined: None,
            }));
        };
        let (requester, joined) = match attested(view, &object.uid, ObjectChange::Deleted, &mark)? {
            Some((author, id)) => (Requester::Attested(author), Some(id)),
            None => (Requester::Unattested, None),
        };
        let mut effects: Vec<Effect> = joined.map(Effect::DropAttestation).into_iter().collect();
        let entry = about(Action::WithdrawObject, &object, &requester);
        if awaited || has_policy(view, &object.uid)? {
            effects.push(Effect::PutDeclaration(Box::new(Declaration {
                object,
                mark,
                requester: Some(requester.clone()),
                approved: None,
                gone: true,
            })));
        } else if before.is_some() {
            effects.push(Effect::DropDeclaration(object.uid));
        }
        Ok(Decision {
            effects,
            entries: vec![entry],
            reply: DeclarationOutcome {
                requester: Some(requester),
                changed: true,
                joined,
            },
            takes: None,
        })
    }

    /// It was audited, with whoever it was.
    fn repeated(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<DeclarationOutcome>, StoreError> {
        Ok(Decision::unchanged(DeclarationOutcome {
            requester: None,
            changed: false,
            joined: None,
        }))
    }
}

/// Forgets who deleted these objects: nothing is to be done any more because of that. At most 256; one that
/// is there changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForgetWithdrawn(pub Vec<ExternalId>);

impl Command for ForgetWithdrawn {
    type Reply = ();
    const ACTION: Action = Action::WithdrawObject;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        if self.0.len() > MAX_FORGOTTEN {
            return Err(Refusal::MetadataTooLarge("at most 256 objects are forgotten at once").into());
        }
        let mut effects = Vec::new();
        for uid in self.0 {
            effects.extend(forgotten_object(view, uid)?);
        }
        Ok(unrecorded(effects, ()))
    }
}

/// What forgets who deleted this object; none where it is there, or nothing is kept of it.
pub(super) fn forgotten_object(view: &View<'_>, uid: ExternalId) -> Result<Option<Effect>, StoreError> {
    let gone = taken(view, &uid)?.is_some_and(|kept| kept.gone);
    Ok(gone.then_some(Effect::DropDeclaration(uid)))
}

/// Effects that are on nobody's record.
const fn unrecorded<T>(effects: Vec<Effect>, reply: T) -> Decision<T> {
    Decision {
        effects,
        entries: Vec::new(),
        reply,
        takes: None,
    }
}

fn forgotten(ids: Vec<AttestationId>) -> Result<Vec<Effect>, StoreError> {
    if ids.len() > MAX_FORGOTTEN {
        return Err(Refusal::MetadataTooLarge("at most 256 attestations are forgotten at once").into());
    }
    Ok(ids.into_iter().map(Effect::DropAttestation).collect())
}

fn checked(object: &DeclaredObject) -> Result<(), Refusal> {
    if object.kind.len() > MAX_NAME_BYTES || object.name.len() > MAX_NAME_BYTES {
        return Err(Refusal::MetadataTooLarge(
            "kind and name of an object have at most 253 bytes each",
        ));
    }
    Ok(())
}

/// What of an object was taken in last. What cannot be read gives way.
fn taken(view: &View<'_>, uid: &ExternalId) -> Result<Option<Declaration>, StoreError> {
    match view.declaration(uid) {
        Err(StoreError::Damaged { .. }) => Ok(None),
        read => read,
    }
}

/// Whether the object is an access policy that is in force. One that cannot be read is.
fn has_policy(view: &View<'_>, uid: &ExternalId) -> Result<bool, StoreError> {
    match view.policy(uid) {
        Ok(kept) => Ok(kept.is_some()),
        Err(StoreError::Damaged { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Who was about to do that. One that cannot be read says nothing.
fn attested(
    view: &View<'_>,
    uid: &ExternalId,
    change: ObjectChange,
    mark: &[u8; 32],
) -> Result<Option<(Author, AttestationId)>, StoreError> {
    let id = view.attestation_id(uid, change, mark);
    match view.attestation(id) {
        Ok(found) => Ok(found.map(|found| (found.author, id))),
        Err(StoreError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn about(action: Action, object: &DeclaredObject, requester: &Requester) -> EntryDraft {
    EntryDraft::new(action).with(|entry| {
        entry.namespace = Some(object.namespace.clone());
        entry.detail = format!("{} {}", object.kind, object.name);
        entry.requester = Some(requester.clone());
    })
}
