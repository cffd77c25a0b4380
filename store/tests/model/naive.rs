//! The store's rules once more, as plainly as they can be said: what the real one is held against.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a part of a test"
)]

use std::collections::BTreeMap;

use crate::support::DAY;

/// The places where secrets are made; odd ones come under the customer's key.
pub const SLOTS: usize = 5;
const MAX_VERSIONS: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Create {
        slot: usize,
        value: u64,
    },
    Put {
        slot: usize,
        version: u64,
        value: u64,
        stage: Option<&'static str>,
    },
    Ensure {
        slot: usize,
        version: u64,
        value: u64,
        base: Option<u64>,
    },
    Move {
        slot: usize,
        stage: &'static str,
        to: Option<u64>,
        from: Option<u64>,
    },
    Describe {
        slot: usize,
        text: u64,
    },
    Delete {
        slot: usize,
        days: Option<u32>,
        force: bool,
    },
    Restore {
        slot: usize,
    },
    Purge {
        slot: usize,
    },
    PurgeDue,
    Disable,
    Enable,
    NewKeyVersion,
    ScheduleKeyDeletion,
    CancelKeyDeletion,
    Rewrap,
    EnforcePolicy {
        slot: usize,
        generation: i64,
    },
    RemovePolicy {
        slot: usize,
    },
    Wait {
        days: i64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Secret {
    /// Oldest first: number of the version id, and of its value.
    pub versions: Vec<(u64, u64)>,
    pub stages: BTreeMap<String, u64>,
    pub description: String,
    /// When its window closes.
    pub pending: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Enabled,
    Disabled,
    Pending(i64),
    Destroyed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    pub secrets: [Option<Secret>; SLOTS],
    pub key: Key,
    pub key_versions: u32,
    /// Which generation of the policy of each slot is in force.
    pub policies: BTreeMap<usize, i64>,
    pub now: i64,
}

type Answer = Result<(), &'static str>;

impl Model {
    pub const fn new() -> Self {
        Self {
            secrets: [const { None }; SLOTS],
            key: Key::Enabled,
            key_versions: 1,
            policies: BTreeMap::new(),
            now: 0,
        }
    }

    /// Whether values of a slot can be written and read now.
    pub const fn key_of(&self, slot: usize) -> Answer {
        match self.key {
            _ if slot.is_multiple_of(2) => Ok(()),
            Key::Enabled => Ok(()),
            Key::Disabled => Err("KeyDisabled"),
            Key::Pending(_) => Err("KeyPendingDeletion"),
            Key::Destroyed => Err("KeyDestroyed"),
        }
    }

    fn live(&mut self, slot: usize) -> Result<&mut Secret, &'static str> {
        let secret = self.secrets[slot].as_mut().ok_or("SecretNotFound")?;
        match secret.pending {
            None => Ok(secret),
            Some(_) => Err("InRecoveryWindow"),
        }
    }

    /// Carries an operation out: all of it, or, where the rules say no, none of it.
    pub fn apply(&mut self, op: &Op) -> Answer {
        let mut next = self.clone();
        next.carry_out(op)?;
        *self = next;
        Ok(())
    }

    fn carry_out(&mut self, op: &Op) -> Answer {
        let now = self.now;
        match *op {
            Op::Create { slot, value } => {
                match &self.secrets[slot] {
                    Some(Secret { pending: Some(_), .. }) => return Err("InRecoveryWindow"),
                    // The same secret once more: an answer that got lost.
                    Some(secret) => {
                        return match secret.value(0) {
                            Some(found) => self.key_of(slot).and(match found == value {
                                true => Ok(()),
                                false => Err("VersionConflict"),
                            }),
                            None => Err("SecretExists"),
                        };
                    }
                    None => self.key_of(slot)?,
                }
                let mut secret = Secret::default();
                secret.add(0, value, None);
                self.secrets[slot] = Some(secret);
            }
            Op::Put {
                slot,
                version,
                value,
                stage,
            } => {
                let usable = self.key_of(slot);
                let secret = self.live(slot)?;
                usable?;
                match secret.value(version) {
                    Some(found) if found == value => {}
                    Some(_) => return Err("VersionConflict"),
                    None => secret.add(version, value, stage),
                }
            }
            Op::Ensure {
                slot,
                version,
                value,
                base,
            } => {
                let usable = self.key_of(slot);
                let secret = self.live(slot)?;
                usable?;
                if secret.value(version).is_none() {
                    if base.is_some() && base != secret.stages.get("Current").copied() {
                        return Err("BaseMoved");
                    }
                    secret.add(version, value, None);
                }
            }
            Op::Move {
                slot,
                stage,
                to,
                from,
            } => {
                let secret = self.live(slot)?;
                if let Some(from) = from {
                    secret.value(from).ok_or("VersionNotFound")?;
                    if secret.stages.get(stage) != Some(&from) {
                        return Err("StageNotFound");
                    }
                }
                match (to, from) {
                    (Some(to), _) => {
                        secret.value(to).ok_or("VersionNotFound")?;
                        secret.label(stage, to);
                    }
                    (None, Some(_)) if stage == "Current" || stage == "Previous" => {
                        return Err("StageReserved");
                    }
                    (None, Some(_)) => drop(secret.stages.remove(stage)),
                    (None, None) => return Err("StageUnchanged"),
                }
            }
            Op::Describe { slot, text } => self.live(slot)?.description = format!("text {text}"),
            Op::Delete { slot, days, force } => {
                if force && days.is_some() {
                    return Err("WindowAndForce");
                }
                let days = days.unwrap_or(30);
                if !(7..=30).contains(&days) {
                    return Err("WindowOutOfBounds");
                }
                if force {
                    self.secrets[slot].take().ok_or("SecretNotFound")?;
                } else {
                    self.live(slot)?.pending = Some(now + i64::from(days) * DAY);
                }
            }
            Op::Restore { slot } => {
                let secret = self.secrets[slot].as_mut().ok_or("SecretNotFound")?;
                match secret.pending {
                    None => return Err("NotInRecoveryWindow"),
                    Some(until) if now > until => return Err("SecretNotFound"),
                    Some(_) => secret.pending = None,
                }
            }
            Op::Purge { slot } => match &self.secrets[slot] {
                None => return Err("SecretNotFound"),
                Some(Secret { pending: None, .. }) => return Err("NotInRecoveryWindow"),
                Some(_) => self.secrets[slot] = None,
            },
            Op::PurgeDue => {
                for secret in &mut self.secrets {
                    if secret
                        .as_ref()
                        .is_some_and(|secret| secret.pending.is_some_and(|until| until < now))
                    {
                        *secret = None;
                    }
                }
                if matches!(self.key, Key::Pending(until) if until < now) {
                    self.key = Key::Destroyed;
                }
            }
            Op::Disable | Op::Enable => match self.key {
                Key::Pending(_) => return Err("KeyPendingDeletion"),
                Key::Destroyed => return Err("KeyDestroyed"),
                _ if *op == Op::Disable => self.key = Key::Disabled,
                _ => self.key = Key::Enabled,
            },
            Op::NewKeyVersion => {
                self.key_of(1)?;
                self.key_versions += 1;
            }
            Op::ScheduleKeyDeletion => match self.key {
                Key::Pending(_) => return Err("KeyPendingDeletion"),
                Key::Destroyed => return Err("KeyDestroyed"),
                _ => self.key = Key::Pending(now + 7 * DAY),
            },
            Op::CancelKeyDeletion => match self.key {
                Key::Pending(until) if now > until => return Err("KeyDestroyed"),
                Key::Pending(_) => self.key = Key::Enabled,
                Key::Destroyed => return Err("KeyDestroyed"),
                _ => return Err("KeyNotPendingDeletion"),
            },
            Op::EnforcePolicy { slot, generation } => drop(self.policies.insert(slot, generation)),
            Op::RemovePolicy { slot } => drop(self.policies.remove(&slot)),
            // A rewrap is not to be seen.
            Op::Rewrap => {}
            Op::Wait { days } => self.now += days * DAY,
        }
        Ok(())
    }
}

impl Secret {
    pub fn value(&self, version: u64) -> Option<u64> {
        self.versions
            .iter()
            .find(|(id, _)| *id == version)
            .map(|(_, value)| *value)
    }

    fn label(&mut self, stage: &str, version: u64) {
        let before = self.stages.insert(stage.to_owned(), version);
        match before {
            Some(before) if stage == "Current" && before != version => {
                self.stages.insert("Previous".to_owned(), before);
            }
            _ => {}
        }
    }

    fn add(&mut self, version: u64, value: u64, stage: Option<&str>) {
        self.versions.push((version, value));
        self.label(stage.unwrap_or("Current"), version);
        if self.versions.len() > MAX_VERSIONS {
            let stages = &self.stages;
            let oldest = self
                .versions
                .iter()
                .position(|(id, _)| !stages.values().any(|held| held == id));
            self.versions.remove(oldest.unwrap());
        }
    }
}
