//! From facts to the one next step. The caller takes the step, reads the facts again and asks again, until
//! the answer is [`SecretStep::Nothing`]; so a crash between any two steps leaves a state from which the same
//! steps follow. It must not read a clock, the cluster or the store.

mod native_secret;

pub use self::native_secret::immutable_native;

use jiff::Timestamp;

use self::native_secret::native;
use super::facts::{
    DesiredKey, DesiredState, ImportState, KeyState, NativeSecretState, Owner, RecordedSecretId, SecretFacts,
    StoredSecret, StoredSecretState, ValueSource,
};
use super::renewal::{CertificateChange, Renewal};
use super::verdict::{Obstacle, SecretBlocker, SecretVerdict};
use crate::object::NamespaceBinding;
use crate::rotation::{RotationFacts, RotationState, RotationStep};
use crate::uid::Uid;

/// What is to be done next, and what there is to say if that is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPlan {
    /// The one next step.
    pub step: SecretStep,
    /// How the object stands. It counts only when `step` is [`SecretStep::Nothing`]; before, the object is
    /// being worked on.
    pub verdict: SecretVerdict,
    /// How its rotation stands.
    pub rotation: RotationState,
    /// When to look again although nothing changed.
    pub wake: Option<Timestamp>,
}

/// One change, small enough to be done or not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretStep {
    /// None: what is wanted is so, or a person has to act.
    Nothing,
    /// Record the namespace's UID.
    BindNamespace,
    /// Give the secrets of the namespace that was deleted to the one of the same name.
    AcceptNamespace,
    /// Record the object's UID at a secret whose object is gone.
    BindObject,
    /// Make the secret with its first version.
    CreateSecret(FirstVersionSource),
    /// Bring the secret's labels and its description in line with the object.
    UpdateMetadata,
    /// Have new versions come under the wanted encryption key.
    UpdateKey,
    /// Add a version, unless one with the id of this cause exists.
    EnsureVersion(VersionReason),
    /// Take the next step of a rotation.
    Rotate(RotationStep),
    /// Take the value that stands sealed in the object, and record that.
    TakeSealed,
    /// Take the secret out of its recovery window.
    Restore,
    /// Destroy the secret before its recovery window ends.
    Purge,
    /// Change the native Secret.
    Native(NativeStep),
}

/// Where a first version comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstVersionSource {
    /// Generators and literals of the spec.
    Generated,
    /// The Secret that the import names.
    Imported,
    /// The native Secret that outlived its lost secret.
    Readopted,
    /// What stands sealed in the object.
    Sealed,
}

/// Why a version is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionReason {
    /// The spec declares other keys or other literals than the current version has. The others keep their
    /// value.
    SpecChanged,
    /// The imported Secret holds what the store does not.
    Imported,
    /// The certificate, or the authority that signed it, says so.
    Certificate(CertificateChange),
}

/// A change of the native Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NativeStep {
    /// A create, which fails if the name is taken, and then its UID recorded; after a rename the old one goes
    /// later.
    Create,
    /// Nothing is written: its UID is recorded, because it holds what it should or was imported.
    Adopt {
        /// The UID that is recorded.
        uid: Uid,
    },
    /// A server-side apply carrying this UID.
    Apply {
        /// The UID of the Secret that was judged; a later one of its name is not written.
        uid: Uid,
    },
    /// A delete with this UID as precondition, and a create as soon as it is gone, with what others set on
    /// it.
    Replace {
        /// The UID that the delete is bound to.
        uid: Uid,
    },
    /// An annotation on the Secret with this UID, which says that it stays as it is and why. Its data are not
    /// touched.
    Hold {
        /// The UID of the Secret that was judged; a later one of its name is not written.
        uid: Uid,
    },
    /// A delete of a Secret that is not wanted any more, under this precondition; then the record of it goes.
    Remove {
        /// `metadata.name` of the native Secret.
        name: String,
        /// The UID that the delete is bound to.
        uid: Uid,
    },
}

/// The next step for one `ManagedSecret`.
pub fn plan(facts: &SecretFacts, now: Timestamp) -> SecretPlan {
    let certificate = facts.certificate.as_ref();
    let wake = certificate.and_then(|certificate| certificate.wake(&facts.object.uid, now));
    let mut plan = plan_value(facts, now);
    if matches!(
        plan.verdict,
        SecretVerdict::Ready { .. } | SecretVerdict::Suspended { stored: true }
    ) && let Some(certificate) =
        certificate.filter(|certificate| certificate.is_ours() && certificate.has_ended(now))
    {
        plan.verdict = SecretVerdict::Blocked(SecretBlocker::CertificateExpired {
            key: certificate.key.clone(),
            ended: certificate.not_after,
            suspended: matches!(plan.verdict, SecretVerdict::Suspended { .. }),
        });
    }
    plan.wake = plan.wake.into_iter().chain(wake).min();
    plan
}

fn plan_value(facts: &SecretFacts, now: Timestamp) -> SecretPlan {
    match decide(facts, now) {
        Ok((secret, rotation)) => SecretPlan {
            step: SecretStep::Nothing,
            verdict: match (required_key(facts), orphaned_key(facts)) {
                (Some(block), _) => SecretVerdict::Blocked(block),
                (None, None) => SecretVerdict::Ready {
                    secret: secret.id.clone(),
                },
                (None, Some(key)) => {
                    SecretVerdict::Blocked(SecretBlocker::KeyObjectMissing { name: key.to_owned() })
                }
            },
            wake: rotation.wake(now),
            rotation,
        },
        Err(Stop::Step(step)) => SecretPlan {
            step,
            verdict: SecretVerdict::Working,
            rotation: rotation(facts, now),
            wake: None,
        },
        Err(Stop::Say(verdict)) => SecretPlan {
            step: SecretStep::Nothing,
            wake: verdict.wake(now),
            verdict,
            rotation: rotation(facts, now),
        },
    }
}

/// Why the walk through the rules ends early: something to do, or something to say.
enum Stop {
    Step(SecretStep),
    Say(SecretVerdict),
}

impl From<SecretBlocker> for Stop {
    fn from(block: SecretBlocker) -> Self {
        Self::Say(SecretVerdict::Blocked(block))
    }
}

impl From<SecretStep> for Stop {
    fn from(step: SecretStep) -> Self {
        Self::Step(step)
    }
}

/// The rules in order: each one lets pass, acts, or blocks.
fn decide(facts: &SecretFacts, now: Timestamp) -> Result<(&StoredSecret, RotationState), Stop> {
    if facts.object.leaving {
        return Err(Stop::Say(SecretVerdict::Leaving));
    }
    let wanted = facts
        .wanted
        .as_ref()
        .map_err(|invalid| SecretBlocker::SpecInvalid(invalid.clone()))?;
    if wanted.suspend {
        retention(facts, wanted)?;
        return Err(Stop::Say(SecretVerdict::Suspended {
            stored: matches!(facts.stored, StoredSecretState::Live(_)),
        }));
    }
    namespace(facts)?;
    product(facts)?;
    lost(facts, wanted)?;
    let secret = stored(facts, wanted)?;
    retention(facts, wanted)?;
    key(facts, wanted, secret)?;
    content(facts, wanted, secret)?;
    native(facts, wanted, secret, now)?;
    let rotation = rotation(facts, now);
    if let RotationState::Due(step) = rotation {
        return Err(SecretStep::Rotate(step).into());
    }
    renewal(facts, now)?;
    Ok((secret, rotation))
}

/// Whether the certificate needs a new version.
fn renewal(facts: &SecretFacts, now: Timestamp) -> Result<(), Stop> {
    let certificate = facts.certificate.as_ref();
    match certificate.map(|certificate| certificate.renewal(&facts.object.uid, now)) {
        Some(Renewal::Due(change)) => {
            Err(SecretStep::EnsureVersion(VersionReason::Certificate(change)).into())
        }
        _ => Ok(()),
    }
}

fn namespace(facts: &SecretFacts) -> Result<(), Stop> {
    if facts.namespace.terminating {
        return Err(SecretBlocker::NamespaceTerminating.into());
    }
    match &facts.namespace.binding {
        NamespaceBinding::Unbound | NamespaceBinding::Bound => Ok(()),
        NamespaceBinding::Recreated { recorded } if facts.namespace.accepts.as_ref() == Some(recorded) => {
            Err(SecretStep::AcceptNamespace.into())
        }
        NamespaceBinding::Recreated { recorded } => Err(SecretBlocker::NamespaceRecreated {
            recorded: recorded.clone(),
        }
        .into()),
    }
}

/// INVARIANT: while the product, or its absence, refuses the object, nothing is made, changed, rotated,
/// restored or destroyed, and the native Secret stays as it is.
fn product(facts: &SecretFacts) -> Result<(), Stop> {
    match &facts.product {
        None => Ok(()),
        Some(refusal) => Err(SecretBlocker::Product(Box::new(refusal.clone())).into()),
    }
}

/// INVARIANT: while `status.secretId` names a secret that the store lost, nothing is generated and the native
/// Secret is not touched.
fn lost(facts: &SecretFacts, wanted: &DesiredState) -> Result<(), Stop> {
    let RecordedSecretId::Unknown(id) = &facts.object.recorded else {
        return Ok(());
    };
    let ours = match &facts.stored {
        StoredSecretState::Live(secret) | StoredSecretState::InRecoveryWindow { secret, .. } => {
            secret.owner == Owner::ThisObject
        }
        StoredSecretState::Absent => false,
    };
    // Ours: a new secret was made by a readoption or after a purge, and the status has not caught up.
    if ours || facts.object.purge.as_ref() == Some(id) {
        return Ok(());
    }
    let asked = readopts(facts) && facts.stored == StoredSecretState::Absent;
    let native = match (&wanted.native, &facts.native) {
        (Some(native), NativeSecretState::Present(_)) => Some(native.name.clone()),
        _ => None,
    };
    match (asked, native) {
        (true, Some(_)) if facts.namespace.binding == NamespaceBinding::Unbound => {
            Err(SecretStep::BindNamespace.into())
        }
        (true, Some(_)) => Err(SecretStep::CreateSecret(FirstVersionSource::Readopted).into()),
        (_, native) => Err(SecretBlocker::StoreLost {
            secret: id.clone(),
            native,
        }
        .into()),
    }
}

fn stored<'a>(facts: &'a SecretFacts, wanted: &DesiredState) -> Result<&'a StoredSecret, Stop> {
    if facts.namespace.binding == NamespaceBinding::Unbound {
        importable(facts, wanted)?;
        return Err(SecretStep::BindNamespace.into());
    }
    match &facts.stored {
        StoredSecretState::Absent => {
            required_key(facts).map_or(Ok(()), Err)?;
            usable(wanted.key.as_ref())?;
            importable(facts, wanted)?;
            Err(match wanted.source {
                ValueSource::Generate => SecretStep::CreateSecret(FirstVersionSource::Generated).into(),
                ValueSource::Import { .. } => SecretStep::CreateSecret(FirstVersionSource::Imported).into(),
                ValueSource::Sealed { .. } => SecretStep::CreateSecret(FirstVersionSource::Sealed).into(),
                ValueSource::External { wait: true } => SecretBlocker::AwaitingValue {
                    name: wanted.store_name.clone(),
                }
                .into(),
                ValueSource::External { wait: false } => Stop::Say(SecretVerdict::AwaitingValue {
                    name: wanted.store_name.clone(),
                }),
            })
        }
        StoredSecretState::InRecoveryWindow { secret, until } => {
            if facts.object.restore.as_ref() == Some(&secret.id) {
                Err(SecretStep::Restore.into())
            } else if facts.object.purge.as_ref() == Some(&secret.id) {
                Err(SecretStep::Purge.into())
            } else {
                Err(SecretBlocker::InRecoveryWindow {
                    secret: secret.id.clone(),
                    until: *until,
                }
                .into())
            }
        }
        StoredSecretState::Live(secret) => match &secret.owner {
            Owner::ThisObject => Ok(secret),
            Owner::GoneObject => Err(bind(facts, wanted, secret)),
            Owner::Rival(name) => Err(SecretBlocker::StoreNameTaken {
                name: wanted.store_name.clone(),
                by: Some(name.clone()),
            }
            .into()),
            // Made over the API for whoever declares it.
            Owner::Nobody if matches!(wanted.source, ValueSource::External { .. }) => {
                Err(bind(facts, wanted, secret))
            }
            Owner::Nobody => Err(SecretBlocker::StoreNameTaken {
                name: wanted.store_name.clone(),
                by: None,
            }
            .into()),
        },
    }
}

/// A live secret whose object is gone: it becomes this one's where that shows its value nowhere else than the
/// one before did. For anything more somebody who may grant it has to ask.
fn bind(facts: &SecretFacts, wanted: &DesiredState, secret: &StoredSecret) -> Stop {
    let shown = secret.materialized.as_ref().map(|native| native.name.as_str());
    let obstacle = match &wanted.native {
        _ if facts.object.restore.as_ref() == Some(&secret.id) => None,
        _ if secret.retained => Some(Obstacle::Retained),
        Some(native) if shown != Some(native.name.as_str()) => Some(Obstacle::Shown {
            native: native.name.clone(),
        }),
        _ if secret.other_key => Some(Obstacle::OtherKey),
        _ if secret.new_readers => Some(Obstacle::Readers),
        _ => None,
    };
    match obstacle {
        None => SecretStep::BindObject.into(),
        Some(obstacle) => SecretBlocker::NameTaken {
            name: wanted.store_name.clone(),
            secret: secret.id.clone(),
            obstacle,
        }
        .into(),
    }
}

/// INVARIANT: whether the secret stays when its object goes is on record whatever else stands in the way of
/// that object: once it is gone, its spec cannot be asked any more.
fn retention(facts: &SecretFacts, wanted: &DesiredState) -> Result<(), Stop> {
    let ours = facts.namespace.binding == NamespaceBinding::Bound && facts.product.is_none();
    match &facts.stored {
        StoredSecretState::Live(secret)
            if ours && secret.owner == Owner::ThisObject && secret.retained != wanted.retain =>
        {
            Err(SecretStep::UpdateMetadata.into())
        }
        StoredSecretState::Live(_)
        | StoredSecretState::InRecoveryWindow { .. }
        | StoredSecretState::Absent => Ok(()),
    }
}

/// Whether the wanted key may be used.
fn usable(key: Option<&DesiredKey>) -> Result<(), SecretBlocker> {
    let Some(DesiredKey { name, state }) = key else {
        return Ok(());
    };
    let name = name.clone();
    match state {
        KeyState::Enabled | KeyState::ObjectMissing => Ok(()),
        KeyState::Absent => Err(SecretBlocker::KeyNotReady { name }),
        KeyState::Disabled => Err(SecretBlocker::KeyDisabled { name, until: None }),
        KeyState::PendingDeletion(until) => Err(SecretBlocker::KeyDisabled {
            name,
            until: Some(*until),
        }),
    }
}

/// The key that the secret must lie under, if the spec does not name that.
fn required_key(facts: &SecretFacts) -> Option<SecretBlocker> {
    let name = facts.wanted.as_ref().ok()?.required_key.clone()?;
    Some(SecretBlocker::KeyRequired { name })
}

/// The key whose object is gone, if that is so.
fn orphaned_key(facts: &SecretFacts) -> Option<&str> {
    let key = facts.wanted.as_ref().ok()?.key.as_ref()?;
    (key.state == KeyState::ObjectMissing).then_some(key.name.as_str())
}

/// The encryption key of a secret. While it does not work, the native Secret stays as it is and says so.
fn key(facts: &SecretFacts, wanted: &DesiredState, secret: &StoredSecret) -> Result<(), Stop> {
    match usable(wanted.key.as_ref()) {
        Ok(()) if secret.other_key => {
            Err(required_key(facts).map_or(SecretStep::UpdateKey.into(), Stop::from))
        }
        Ok(()) => Ok(()),
        Err(block) => {
            if let (Some(ours), NativeSecretState::Present(found)) = (&secret.materialized, &facts.native)
                && ours.uid == found.uid
                && !found.held
            {
                return Err(SecretStep::Native(NativeStep::Hold {
                    uid: found.uid.clone(),
                })
                .into());
            }
            Err(block.into())
        }
    }
}

/// Whether the content to import is there and may be taken.
fn importable(facts: &SecretFacts, wanted: &DesiredState) -> Result<(), Stop> {
    let ValueSource::Import { secret } = &wanted.source else {
        return Ok(());
    };
    match &facts.import {
        ImportState::Unread | ImportState::Absent => {
            Err(SecretBlocker::ImportMissing { name: secret.clone() }.into())
        }
        ImportState::Present {
            refusal: Some(why), ..
        } => Err(SecretBlocker::ImportRefused {
            name: secret.clone(),
            why: why.clone(),
        }
        .into()),
        ImportState::Present { refusal: None, .. } => Ok(()),
    }
}

/// The secret's labels and the keys of its current version.
fn content(facts: &SecretFacts, wanted: &DesiredState, secret: &StoredSecret) -> Result<(), Stop> {
    if secret.labels != wanted.labels || secret.description != wanted.description {
        return Err(SecretStep::UpdateMetadata.into());
    }
    if wanted.source == ValueSource::Generate && !secret.differences.is_empty() {
        if let Some(name) = immutable_native(facts) {
            return Err(SecretBlocker::Immutable {
                name: name.to_owned(),
                keys: secret.differences.names().map(str::to_owned).collect(),
            }
            .into());
        }
        return Err(SecretStep::EnsureVersion(VersionReason::SpecChanged).into());
    }
    if wanted.source == (ValueSource::Sealed { taken: false }) {
        return Err(SecretStep::TakeSealed.into());
    }
    // A foreign Secret of the wanted name, named by the import as well, is adopted; first the store takes
    // what it holds.
    if let (Some(native), ValueSource::Import { secret: imported }) = (&wanted.native, &wanted.source)
        && native.name == *imported
        && secret
            .materialized
            .as_ref()
            .is_none_or(|ours| ours.name != native.name)
        && let NativeSecretState::Present(found) = &facts.native
        && !found.recorded
        && !(found.drift.is_none() && found.marked)
    {
        importable(facts, wanted)?;
        return Err(SecretStep::EnsureVersion(VersionReason::Imported).into());
    }
    if let Some(invalid) = &secret.unrenderable {
        return Err(SecretBlocker::SpecInvalid(invalid.clone()).into());
    }
    Ok(())
}

/// The annotation that asks for readoption still names the lost secret that the status does.
fn readopts(facts: &SecretFacts) -> bool {
    matches!(&facts.object.recorded, RecordedSecretId::Unknown(id) if facts.object.readopt.as_ref() == Some(id))
}

/// How the rotation stands, whether or not anything else is wrong.
fn rotation(facts: &SecretFacts, now: Timestamp) -> RotationState {
    let Ok(wanted) = &facts.wanted else {
        return RotationState::None;
    };
    let facts = RotationFacts {
        never: wanted.not_rotatable.as_ref(),
        rotate_now: &facts.object.rotate_now,
        coverage: &facts.rotation,
    };
    RotationState::from_facts(&facts, now)
}
