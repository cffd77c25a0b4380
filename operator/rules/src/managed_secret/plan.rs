//! From facts to the one next step. The caller takes the step, looks again and asks again, until the answer is [`Step::Nothing`]; so a crash
//! between any two steps leaves a state from which the same steps follow. It must not read a clock, the cluster or the store.

use jiff::Timestamp;

use super::facts::{
    Facts, Holder, Import, KeyState, Materialized, NamespaceBinding, Native, NativeSecret, Owner, Recorded,
    RotateNow, Source, Stored, StoredSecret, Wanted, WantedKey,
};
use super::renewal::{CertificateChange, Renewal};
use super::verdict::{Block, Obstacle, Rotation, Verdict};
use crate::native_secret::owners::Part;
use crate::native_secret::{Drift, Fixed};
use crate::rotation_schedule::Coverage;
use crate::uid::Uid;

/// What is to be done next, and what there is to say if that is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The one next step.
    pub step: Step,
    /// How the object stands. It counts only when `step` is [`Step::Nothing`]; before, the object is being worked on.
    pub verdict: Verdict,
    /// How its rotation stands.
    pub rotation: Rotation,
    /// When to look again although nothing changed.
    pub wake: Option<Timestamp>,
}

/// One change, small enough to be done or not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// None: what is wanted is so, or a person has to act.
    Nothing,
    /// Record the namespace's UID.
    BindNamespace,
    /// Give the secrets of the namespace that was deleted to the one of the same name.
    AcceptNamespace,
    /// Record the object's UID at a secret whose object is gone.
    BindObject,
    /// Make the secret with its first version.
    CreateSecret(First),
    /// Bring the secret's labels and its description in line with the object.
    UpdateMetadata,
    /// Have new versions come under the wanted encryption key.
    UpdateKey,
    /// Add a version, unless one with the id of this cause exists.
    EnsureVersion(Why),
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
pub enum First {
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
pub enum Why {
    /// The spec declares other keys or other literals than the current version has. The others keep their value.
    SpecChanged,
    /// The imported Secret holds what the store does not.
    Imported,
    /// The certificate, or the authority that signed it, says so.
    Certificate(CertificateChange),
    /// A schedule says so.
    Due {
        /// UID of the schedule.
        schedule: Uid,
        /// The time that it was due.
        at: Timestamp,
    },
    /// The annotation `strongroom.dev/rotate-now` says so.
    Asked(String),
}

/// A change of the native Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NativeStep {
    /// A create, which fails if the name is taken, and then its UID recorded; after a rename the old one goes later.
    Create,
    /// Nothing is written: its UID is recorded, because it holds what it should or was imported.
    Adopt {
        /// Its UID.
        uid: Uid,
    },
    /// A server-side apply carrying this UID.
    Apply {
        /// Its UID.
        uid: Uid,
    },
    /// A delete with this UID as precondition, and a create as soon as it is gone, with what others set on it.
    Replace {
        /// Its UID.
        uid: Uid,
    },
    /// An annotation on the Secret with this UID, which says that it stays as it is and why. Its data are not touched.
    Hold {
        /// Its UID.
        uid: Uid,
    },
    /// A delete of a Secret that is not wanted any more, under this precondition; then the record of it goes.
    Remove {
        /// Its name.
        name: String,
        /// Its UID.
        uid: Uid,
    },
}

/// The next step for one `ManagedSecret`.
pub fn plan(facts: &Facts, now: Timestamp) -> Plan {
    let certificate = facts.certificate.as_ref();
    let wake = certificate.and_then(|certificate| certificate.wake(&facts.object.uid, now));
    let mut plan = plan_value(facts, now);
    if matches!(
        plan.verdict,
        Verdict::Ready { .. } | Verdict::Suspended { stored: true }
    ) && let Some(certificate) =
        certificate.filter(|certificate| certificate.is_ours() && certificate.has_ended(now))
    {
        plan.verdict = Verdict::Blocked(Block::CertificateExpired {
            key: certificate.key.clone(),
            ended: certificate.not_after,
            suspended: matches!(plan.verdict, Verdict::Suspended { .. }),
        });
    }
    plan.wake = plan.wake.into_iter().chain(wake).min();
    plan
}

fn plan_value(facts: &Facts, now: Timestamp) -> Plan {
    match decide(facts, now) {
        Ok((secret, rotation)) => Plan {
            step: Step::Nothing,
            verdict: match (required_key(facts), orphaned_key(facts)) {
                (Some(block), _) => Verdict::Blocked(block),
                (None, None) => Verdict::Ready {
                    secret: secret.id.clone(),
                },
                (None, Some(key)) => Verdict::Blocked(Block::KeyObjectMissing { name: key.to_owned() }),
            },
            wake: rotation.wake(now),
            rotation,
        },
        Err(Stop::Step(step)) => Plan {
            step,
            verdict: Verdict::Working,
            rotation: rotation(facts, now),
            wake: None,
        },
        Err(Stop::Say(verdict)) => Plan {
            step: Step::Nothing,
            wake: verdict.wake(now),
            verdict,
            rotation: rotation(facts, now),
        },
    }
}

/// Why the walk through the rules ends early: something to do, or something to say.
enum Stop {
    Step(Step),
    Say(Verdict),
}

impl From<Block> for Stop {
    fn from(block: Block) -> Self {
        Self::Say(Verdict::Blocked(block))
    }
}

impl From<Step> for Stop {
    fn from(step: Step) -> Self {
        Self::Step(step)
    }
}

/// The rules in order: each one lets pass, acts, or blocks.
fn decide(facts: &Facts, now: Timestamp) -> Result<(&StoredSecret, Rotation), Stop> {
    if facts.object.leaving {
        return Err(Stop::Say(Verdict::Leaving));
    }
    let wanted = facts
        .wanted
        .as_ref()
        .map_err(|invalid| Block::SpecInvalid(invalid.clone()))?;
    if wanted.suspend {
        return Err(Stop::Say(Verdict::Suspended {
            stored: matches!(facts.stored, Stored::Live(_)),
        }));
    }
    namespace(facts)?;
    lost(facts, wanted)?;
    let secret = stored(facts, wanted)?;
    key(facts, wanted, secret)?;
    content(facts, wanted, secret)?;
    native(facts, wanted, secret, now)?;
    let rotation = rotation(facts, now);
    if let Rotation::Due(why) = rotation {
        return Err(Step::EnsureVersion(why).into());
    }
    renewal(facts, now)?;
    Ok((secret, rotation))
}

/// Whether the certificate needs a new version.
fn renewal(facts: &Facts, now: Timestamp) -> Result<(), Stop> {
    let certificate = facts.certificate.as_ref();
    match certificate.map(|certificate| certificate.renewal(&facts.object.uid, now)) {
        Some(Renewal::Due(change)) => Err(Step::EnsureVersion(Why::Certificate(change)).into()),
        _ => Ok(()),
    }
}

fn namespace(facts: &Facts) -> Result<(), Stop> {
    if facts.namespace.terminating {
        return Err(Block::NamespaceTerminating.into());
    }
    match &facts.namespace.binding {
        NamespaceBinding::Unbound | NamespaceBinding::Bound => Ok(()),
        NamespaceBinding::Recreated { recorded } if facts.namespace.accepts.as_ref() == Some(recorded) => {
            Err(Step::AcceptNamespace.into())
        }
        NamespaceBinding::Recreated { recorded } => Err(Block::NamespaceRecreated {
            recorded: recorded.clone(),
        }
        .into()),
    }
}

/// INVARIANT: while `status.secretId` names a secret that the store lost, nothing is generated and the native Secret is not touched.
fn lost(facts: &Facts, wanted: &Wanted) -> Result<(), Stop> {
    let Recorded::Unknown(id) = &facts.object.recorded else {
        return Ok(());
    };
    let ours = match &facts.stored {
        Stored::Live(secret) | Stored::InRecoveryWindow { secret, .. } => secret.owner == Owner::ThisObject,
        Stored::Absent => false,
    };
    // Ours: a new secret was made by a readoption or after a purge, and the status has not caught up.
    if ours || facts.object.purge.as_ref() == Some(id) {
        return Ok(());
    }
    let asked = readopts(facts) && facts.stored == Stored::Absent;
    let native = match (&wanted.native, &facts.native) {
        (Some(native), Native::Present(_)) => Some(native.name.clone()),
        _ => None,
    };
    match (asked, native) {
        (true, Some(_)) if facts.namespace.binding == NamespaceBinding::Unbound => {
            Err(Step::BindNamespace.into())
        }
        (true, Some(_)) => Err(Step::CreateSecret(First::Readopted).into()),
        (_, native) => Err(Block::StoreLost {
            secret: id.clone(),
            native,
        }
        .into()),
    }
}

fn stored<'a>(facts: &'a Facts, wanted: &Wanted) -> Result<&'a StoredSecret, Stop> {
    if facts.namespace.binding == NamespaceBinding::Unbound {
        importable(facts, wanted)?;
        return Err(Step::BindNamespace.into());
    }
    match &facts.stored {
        Stored::Absent => {
            required_key(facts).map_or(Ok(()), Err)?;
            usable(wanted.key.as_ref())?;
            importable(facts, wanted)?;
            Err(match wanted.source {
                Source::Generate => Step::CreateSecret(First::Generated).into(),
                Source::Import { .. } => Step::CreateSecret(First::Imported).into(),
                Source::Sealed { .. } => Step::CreateSecret(First::Sealed).into(),
                Source::External { wait: true } => Block::AwaitingValue {
                    name: wanted.store_name.clone(),
                }
                .into(),
                Source::External { wait: false } => Stop::Say(Verdict::AwaitingValue {
                    name: wanted.store_name.clone(),
                }),
            })
        }
        Stored::InRecoveryWindow { secret, until } => {
            if facts.object.restore.as_ref() == Some(&secret.id) {
                Err(Step::Restore.into())
            } else if facts.object.purge.as_ref() == Some(&secret.id) {
                Err(Step::Purge.into())
            } else {
                Err(Block::InRecoveryWindow {
                    secret: secret.id.clone(),
                    until: *until,
                }
                .into())
            }
        }
        Stored::Live(secret) => match &secret.owner {
            Owner::ThisObject => Ok(secret),
            Owner::GoneObject => Err(bind(facts, wanted, secret)),
            Owner::Rival(name) => Err(Block::StoreNameTaken {
                name: wanted.store_name.clone(),
                by: Some(name.clone()),
            }
            .into()),
            // Made over the API for whoever declares it.
            Owner::Nobody if matches!(wanted.source, Source::External { .. }) => {
                Err(bind(facts, wanted, secret))
            }
            Owner::Nobody => Err(Block::StoreNameTaken {
                name: wanted.store_name.clone(),
                by: None,
            }
            .into()),
        },
    }
}

/// A live secret whose object is gone: it becomes this one's where that shows its value nowhere else than the one before did. For anything more
/// somebody who may grant it has to ask.
fn bind(facts: &Facts, wanted: &Wanted, secret: &StoredSecret) -> Stop {
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
        None => Step::BindObject.into(),
        Some(obstacle) => Block::NameTaken {
            name: wanted.store_name.clone(),
            secret: secret.id.clone(),
            obstacle,
        }
        .into(),
    }
}

/// Whether the wanted key may be used.
fn usable(key: Option<&WantedKey>) -> Result<(), Block> {
    let Some(WantedKey { name, state }) = key else {
        return Ok(());
    };
    let name = name.clone();
    match state {
        KeyState::Enabled | KeyState::ObjectMissing => Ok(()),
        KeyState::Absent => Err(Block::KeyNotReady { name }),
        KeyState::Disabled => Err(Block::KeyDisabled { name, until: None }),
        KeyState::PendingDeletion(until) => Err(Block::KeyDisabled {
            name,
            until: Some(*until),
        }),
    }
}

/// The key that the secret must lie under, if the spec does not name that.
fn required_key(facts: &Facts) -> Option<Block> {
    let name = facts.wanted.as_ref().ok()?.required_key.clone()?;
    Some(Block::KeyRequired { name })
}

/// The key whose object is gone, if that is so.
fn orphaned_key(facts: &Facts) -> Option<&str> {
    let key = facts.wanted.as_ref().ok()?.key.as_ref()?;
    (key.state == KeyState::ObjectMissing).then_some(key.name.as_str())
}

/// The encryption key of a secret. While it does not work, the native Secret stays as it is and says so.
fn key(facts: &Facts, wanted: &Wanted, secret: &StoredSecret) -> Result<(), Stop> {
    match usable(wanted.key.as_ref()) {
        Ok(()) if secret.other_key => Err(required_key(facts).map_or(Step::UpdateKey.into(), Stop::from)),
        Ok(()) => Ok(()),
        Err(block) => {
            if let (Some(ours), Native::Present(found)) = (&secret.materialized, &facts.native)
                && ours.uid == found.uid
                && !found.held
            {
                return Err(Step::Native(NativeStep::Hold {
                    uid: found.uid.clone(),
                })
                .into());
            }
            Err(block.into())
        }
    }
}

/// Whether the content to import is there and may be taken.
fn importable(facts: &Facts, wanted: &Wanted) -> Result<(), Stop> {
    let Source::Import { secret } = &wanted.source else {
        return Ok(());
    };
    match &facts.import {
        Import::Unread | Import::Absent => Err(Block::ImportMissing { name: secret.clone() }.into()),
        Import::Present {
            refusal: Some(why), ..
        } => Err(Block::ImportRefused {
            name: secret.clone(),
            why: why.clone(),
        }
        .into()),
        Import::Present { refusal: None, .. } => Ok(()),
    }
}

/// The secret's labels and the keys of its current version.
fn content(facts: &Facts, wanted: &Wanted, secret: &StoredSecret) -> Result<(), Stop> {
    if secret.labels != wanted.labels || secret.description != wanted.description {
        return Err(Step::UpdateMetadata.into());
    }
    if wanted.source == Source::Generate && !secret.differences.is_empty() {
        if let Some(name) = immutable_native(facts) {
            return Err(Block::Immutable {
                name: name.to_owned(),
                keys: secret.differences.names().map(str::to_owned).collect(),
            }
            .into());
        }
        return Err(Step::EnsureVersion(Why::SpecChanged).into());
    }
    if wanted.source == (Source::Sealed { taken: false }) {
        return Err(Step::TakeSealed.into());
    }
    // A foreign Secret of the wanted name, named by the import as well, is adopted; first the store takes what it holds.
    if let (Some(native), Source::Import { secret: imported }) = (&wanted.native, &wanted.source)
        && native.name == *imported
        && secret
            .materialized
            .as_ref()
            .is_none_or(|ours| ours.name != native.name)
        && let Native::Present(found) = &facts.native
        && !found.recorded
        && !(found.drift.is_none() && found.marked)
    {
        importable(facts, wanted)?;
        return Err(Step::EnsureVersion(Why::Imported).into());
    }
    if let Some(invalid) = &secret.unrenderable {
        return Err(Block::SpecInvalid(invalid.clone()).into());
    }
    Ok(())
}

/// The immutable native Secret whose value a new version would change: it keeps the value that it holds.
pub fn immutable_native(facts: &Facts) -> Option<&str> {
    let (Ok(wanted), Stored::Live(secret), Native::Present(found)) =
        (&facts.wanted, &facts.stored, &facts.native)
    else {
        return None;
    };
    let (target, ours) = (wanted.native.as_ref()?, secret.materialized.as_ref()?);
    let keeps = target.immutable && found.immutable && target.name == ours.name && ours.uid == found.uid;
    keeps.then_some(ours.name.as_str())
}

fn native(facts: &Facts, wanted: &Wanted, secret: &StoredSecret, now: Timestamp) -> Result<(), Stop> {
    let ours = secret.materialized.as_ref();
    // A rename that has arrived: the new one is recorded, and what is left of the old one goes.
    if let Some(former) = &secret.former
        && ours.is_none_or(|ours| ours.uid != former.uid)
    {
        return Err(remove(former).into());
    }
    let Some(target) = &wanted.native else {
        return ours.map_or(Ok(()), |old| Err(remove(old).into()));
    };
    let found = match &facts.native {
        Native::Present(found) => found,
        // A rename writes the new one before the old one goes.
        Native::Absent | Native::Unread => return Err(Step::Native(NativeStep::Create).into()),
    };
    if let Some(finalizers) = &found.terminating {
        return Err(Block::NativeTerminating {
            name: target.name.clone(),
            finalizers: finalizers.clone(),
        }
        .into());
    }
    let of_this_name = ours.filter(|ours| ours.name == target.name);
    if of_this_name.is_some_and(|ours| ours.uid == found.uid) {
        return owned(found, &target.name, now);
    }
    // Its content is in the store because somebody asked for that, or our create succeeded and the record of it was lost.
    let taken_over = of_this_name.is_none() && (found.recorded || readopts(facts));
    let created = found.drift.is_none() && found.marked;
    if taken_over || created {
        return Err(Step::Native(NativeStep::Adopt {
            uid: found.uid.clone(),
        })
        .into());
    }
    match (&found.holder, ours) {
        // Each of several objects waits for another one's name: it takes one that lets go.
        (Some(Holder { exchange: true, .. }), Some(old)) if old.name != target.name => {
            Err(remove(old).into())
        }
        (holder, _) => Err(Block::TargetNotOwned {
            name: target.name.clone(),
            holder: holder.clone(),
        }
        .into()),
    }
}

fn remove(native: &Materialized) -> Step {
    Step::Native(NativeStep::Remove {
        name: native.name.clone(),
        uid: native.uid.clone(),
    })
}

/// What a Secret of ours still needs. What others change is put back, later each time while they insist.
fn owned(found: &NativeSecret, name: &str, now: Timestamp) -> Result<(), Stop> {
    let Some(drift) = found.drift else {
        return Ok(());
    };
    if let Some(until) = found.repair_from.filter(|until| *until > now) {
        let name = name.to_owned();
        if !found.edits.is_empty() {
            let edits = found.edits.clone();
            return Err(Block::NativeContested { name, edits, until }.into());
        }
        if !found.mutated.is_empty() {
            let keys = found.mutated.clone();
            return Err(Block::NativeMutated { name, keys, until }.into());
        }
    }
    let uid = found.uid.clone();
    Err(match drift {
        Drift::Content => Step::Native(NativeStep::Apply { uid }).into(),
        Drift::Replace if found.marked && keeps_data(found) => Block::ImmutableContent {
            name: name.to_owned(),
        }
        .into(),
        Drift::Replace if found.marked => Step::Native(NativeStep::Replace { uid }).into(),
        // We never wrote it: it was taken over, or somebody replaced it.
        Drift::Replace => Block::ReplacementUnasked {
            name: name.to_owned(),
            fixed: found.fixed.clone(),
        }
        .into(),
    })
}

/// Whether this Secret of ours keeps its data: it is immutable, stays so, and it is not others who changed them. So it is whatever brings the new ones.
fn keeps_data(found: &NativeSecret) -> bool {
    let by_others = !found.mutated.is_empty() || found.edits.iter().any(|edit| edit.key.part == Part::Data);
    found.fixed.contains(&Fixed::Data) && !found.fixed.contains(&Fixed::Immutable) && !by_others
}

/// The annotation that asks for readoption still names the lost secret that the status does.
fn readopts(facts: &Facts) -> bool {
    matches!(&facts.object.recorded, Recorded::Unknown(id) if facts.object.readopt.as_ref() == Some(id))
}

/// How the rotation stands, whether or not anything else is wrong.
fn rotation(facts: &Facts, now: Timestamp) -> Rotation {
    let Ok(wanted) = &facts.wanted else {
        return Rotation::None;
    };
    let never = wanted.not_rotatable.as_ref();
    let asked = match &facts.object.rotate_now {
        RotateNow::Asked(asked) => Some(asked),
        RotateNow::Nothing | RotateNow::Done { .. } | RotateNow::DoneBefore { .. } => None,
    };
    let schedule = match &facts.rotation {
        Coverage::None | Coverage::Conflict(_) => None,
        Coverage::One(schedule) => Some(schedule),
    };
    if let Some(asked) = asked {
        let by_annotation = || "the annotation `strongroom.dev/rotate-now`".to_owned();
        let refusal = never
            .cloned()
            .map(|refusal| refusal.asked_by(by_annotation))
            .or_else(|| schedule.and_then(|schedule| schedule.refusal.clone()));
        return match (refusal, schedule.filter(|schedule| schedule.suspended)) {
            (Some(refusal), _) => Rotation::Impossible(refusal),
            (None, Some(schedule)) => Rotation::Suspended {
                schedule: schedule.name.clone(),
            },
            (None, None) => Rotation::Due(Why::Asked(asked.clone())),
        };
    }
    let schedule = match &facts.rotation {
        Coverage::None => return Rotation::None,
        Coverage::Conflict(schedules) => return Rotation::Conflict(schedules.clone()),
        Coverage::One(schedule) => schedule,
    };
    let by_schedule = || format!("RotationSchedule `{}`", schedule.name);
    let refusal = never.or(schedule.refusal.as_ref());
    match (refusal, &schedule.due) {
        (Some(refusal), _) => Rotation::Impossible(refusal.clone().asked_by(by_schedule)),
        (None, Err(why)) => Rotation::Unscheduled {
            schedule: schedule.name.clone(),
            why: why.clone(),
        },
        (None, Ok(_)) if schedule.suspended => Rotation::Suspended {
            schedule: schedule.name.clone(),
        },
        (None, Ok(None)) => Rotation::Unscheduled {
            schedule: schedule.name.clone(),
            why: "the schedule names no further time".to_owned(),
        },
        (None, Ok(Some(at))) if *at <= now => Rotation::Due(Why::Due {
            schedule: schedule.uid.clone(),
            at: *at,
        }),
        (None, Ok(Some(at))) => Rotation::Scheduled {
            schedule: schedule.name.clone(),
            at: *at,
        },
    }
}
