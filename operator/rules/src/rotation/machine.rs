//! The rotation of one secret: from facts and a time to its state and its next step. The caller takes the
//! step, reads the facts again and asks again. It must not read a clock, the cluster or the store.
//!
//! Where nothing outside has to know the new value, as with `generate`, a rotation has one step, because one
//! commit makes the version and promotes it. The version's id follows from the trigger: if the answer of that
//! commit is lost, the next look finds what it made, or the same step asks for the same version again.
//!
//! A rotator that sets its value somewhere else adds each of its steps to [`RotationStep`], and what tells
//! them apart to [`RotationFacts`].

use jiff::Timestamp;

use super::{Coverage, RotateNow, RotationRefusal};
use crate::cause::Cause;
use crate::uid::Uid;

/// What is known of one secret when its rotation is decided.
#[derive(Clone, Copy, Debug)]
pub struct RotationFacts<'a> {
    /// Why its value is never made anew, whoever asks, if so.
    pub never: Option<&'a RotationRefusal>,
    /// What people ask for.
    pub rotate_now: &'a RotateNow,
    /// Who covers it.
    pub coverage: &'a Coverage,
}

/// What sets off one rotation: it rotates once, however often it is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationTrigger {
    /// A schedule's time has come.
    Due {
        /// UID of the schedule.
        schedule: Uid,
        /// The time that it was due.
        at: Timestamp,
    },
    /// The annotation `strongroom.dev/rotate-now` asks, in these words.
    Asked(String),
}

impl RotationTrigger {
    /// From which the id of the new version follows.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Due { schedule, at } => Cause::Rotate {
                schedule_uid: schedule.as_str().to_owned(),
                due: *at,
            },
            Self::Asked(text) => Cause::Now {
                annotation: text.clone(),
            },
        }
    }
}

/// One change of a rotation, small enough to be done or not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// Make the version of this trigger, unless it is there, and make it Current, the one before Previous, in
    /// one commit.
    Promote(RotationTrigger),
}

/// How the rotation of a secret stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationState {
    /// Nobody asks for one.
    None,
    /// It is time: this is next.
    Due(RotationStep),
    /// It is not time yet.
    Scheduled {
        /// Name of the RotationSchedule.
        schedule: String,
        /// When it is time.
        at: Timestamp,
    },
    /// The schedule is suspended.
    Suspended {
        /// Name of the RotationSchedule.
        schedule: String,
    },
    /// The schedule gives no time.
    Unscheduled {
        /// Name of the RotationSchedule.
        schedule: String,
        /// What is wrong with it, for the message.
        why: String,
    },
    /// Several schedules claim the object with equal right; none rotates it.
    Conflict(Vec<String>),
    /// The value is not made anew here.
    Impossible(RotationRefusal),
}

impl RotationState {
    /// How it stands now. What people ask for comes before what a schedule says; only a suspended schedule
    /// stops both.
    #[must_use]
    pub fn from_facts(facts: &RotationFacts<'_>, now: Timestamp) -> Self {
        match facts.rotate_now {
            RotateNow::Asked(text) => Self::on_request(facts, text),
            RotateNow::Nothing | RotateNow::Done { .. } | RotateNow::DoneBefore { .. } => {
                Self::by_schedule(facts, now)
            }
        }
    }

    fn on_request(facts: &RotationFacts<'_>, text: &str) -> Self {
        let schedule = match facts.coverage {
            Coverage::None | Coverage::Conflict(_) => None,
            Coverage::One(schedule) => Some(schedule),
        };
        let by_annotation = || "the annotation `strongroom.dev/rotate-now`".to_owned();
        let refusal = facts
            .never
            .map(|refusal| refusal.clone().asked_by(by_annotation))
            .or_else(|| schedule.and_then(|schedule| schedule.refusal.clone()));
        match (refusal, schedule.filter(|schedule| schedule.suspended)) {
            (Some(refusal), _) => Self::Impossible(refusal),
            (None, Some(schedule)) => Self::Suspended {
                schedule: schedule.name.clone(),
            },
            (None, None) => Self::Due(RotationStep::Promote(RotationTrigger::Asked(text.to_owned()))),
        }
    }

    fn by_schedule(facts: &RotationFacts<'_>, now: Timestamp) -> Self {
        let schedule = match facts.coverage {
            Coverage::None => return Self::None,
            Coverage::Conflict(schedules) => return Self::Conflict(schedules.clone()),
            Coverage::One(schedule) => schedule,
        };
        let name = schedule.name.clone();
        let refusal = facts.never.or(schedule.refusal.as_ref());
        match (refusal, &schedule.due) {
            (Some(refusal), _) => {
                Self::Impossible(refusal.clone().asked_by(|| format!("RotationSchedule `{name}`")))
            }
            (None, Err(why)) => Self::Unscheduled {
                schedule: name,
                why: why.clone(),
            },
            (None, Ok(_)) if schedule.suspended => Self::Suspended { schedule: name },
            (None, Ok(None)) => Self::Unscheduled {
                schedule: name,
                why: "the schedule names no further time".to_owned(),
            },
            (None, Ok(Some(at))) if *at <= now => Self::Due(RotationStep::Promote(RotationTrigger::Due {
                schedule: schedule.uid.clone(),
                at: *at,
            })),
            (None, Ok(Some(at))) => Self::Scheduled {
                schedule: name,
                at: *at,
            },
        }
    }

    /// When to look again.
    pub(crate) fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Scheduled { at, .. } => Some((*at).max(now)),
            Self::None
            | Self::Due(_)
            | Self::Suspended { .. }
            | Self::Unscheduled { .. }
            | Self::Conflict(_)
            | Self::Impossible(_) => None,
        }
    }

    /// When the next one is due, for the status.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        match self {
            Self::Scheduled { at, .. }
            | Self::Due(RotationStep::Promote(RotationTrigger::Due { at, .. })) => Some(*at),
            Self::Due(RotationStep::Promote(RotationTrigger::Asked(_)))
            | Self::None
            | Self::Suspended { .. }
            | Self::Unscheduled { .. }
            | Self::Conflict(_)
            | Self::Impossible(_) => None,
        }
    }
}
