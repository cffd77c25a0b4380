//! From how a `ManagedSecret` stands to its conditions. The only place that knows which cause is which reason.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strongroom_crds::condition::{ConditionStatus, ConditionType, Healing, Reason, condition};

use super::facts::RotateNow;
use super::verdict::{Block, Rotation, Verdict, awaiting};
use crate::rotation_schedule::Refusal;

/// What there is to say about the object as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The status of `Ready`.
    pub ready: ConditionStatus,
    /// The cause.
    pub reason: Reason,
    /// The cause in words, with what to do about it.
    pub message: String,
}

impl Standing {
    /// An attempt ended with an error, whose cause is `reason`.
    pub fn failed(reason: Reason, message: String) -> Self {
        let ready = match reason.healing() {
            Healing::Fine => ConditionStatus::Unknown,
            Healing::Retry | Healing::Person => ConditionStatus::False,
        };
        Self {
            ready,
            reason,
            message,
        }
    }

    /// What a verdict says. `None`: nothing is to be said any more.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        let standing = match verdict {
            Verdict::Leaving => return None,
            Verdict::Ready { .. } => Self {
                ready: ConditionStatus::True,
                reason: Reason::Ready,
                message:
                    "the secret is stored, and its native Secret, if one is wanted, holds the current version"
                        .to_owned(),
            },
            Verdict::AwaitingValue { name } => Self {
                ready: ConditionStatus::True,
                reason: Reason::AwaitingValue,
                message: awaiting(name),
            },
            Verdict::Working => Self {
                ready: ConditionStatus::Unknown,
                reason: Reason::Progressing,
                message: "steps are left to do".to_owned(),
            },
            Verdict::Suspended { stored } => Self {
                ready: if *stored {
                    ConditionStatus::True
                } else {
                    ConditionStatus::False
                },
                reason: Reason::Suspended,
                message: "`spec.suspend` is true: nothing is changed until it is false".to_owned(),
            },
            Verdict::Blocked(block) => Self {
                ready: ConditionStatus::False,
                reason: reason_of(block),
                message: block.to_string(),
            },
        };
        Some(standing)
    }
}

fn reason_of(block: &Block) -> Reason {
    match block {
        Block::SpecInvalid(invalid) => invalid.reason,
        Block::NamespaceTerminating => Reason::NamespaceTerminating,
        Block::NamespaceRecreated { .. } => Reason::NamespaceRecreated,
        Block::StoreLost { .. } => Reason::StoreLost,
        Block::InRecoveryWindow { .. } => Reason::InRecoveryWindow,
        Block::StoreNameTaken { .. } => Reason::DuplicateStoreName,
        Block::NameTaken { .. } => Reason::NameTaken,
        Block::AwaitingValue { .. } => Reason::AwaitingValue,
        Block::KeyNotReady { .. } => Reason::KeyNotReady,
        Block::KeyRequired { .. } => Reason::KeyRequired,
        Block::KeyDisabled { .. } => Reason::KeyDisabled,
        Block::KeyObjectMissing { .. } => Reason::KeyObjectMissing,
        Block::ImportMissing { .. } => Reason::ImportSourceMissing,
        Block::ImportRefused { .. } => Reason::ImportRefused,
        Block::ReplacementUnasked { .. } => Reason::ReplacementUnasked,
        Block::Immutable { .. } | Block::ImmutableContent { .. } => Reason::ImmutableNotRotatable,
        Block::CertificateExpired { .. } => Reason::CertificateExpired,
        Block::TargetNotOwned { .. } => Reason::TargetNotOwned,
        Block::NativeTerminating { .. } => Reason::NativeSecretTerminating,
        Block::NativeContested { .. } => Reason::NativeSecretContested,
        Block::NativeMutated { .. } => Reason::NativeSecretMutated,
    }
}

/// `Ready`, and `Reconciling` or `Stalled` as kstatus defines them: the first while time alone may help, the second while a person must act.
pub fn standing_conditions(standing: &Standing, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let make = |type_, status| {
        condition(
            type_,
            status,
            standing.reason,
            standing.message.clone(),
            generation,
            Time(now),
        )
    };
    let mut conditions = vec![make(ConditionType::Ready, standing.ready)];
    match (standing.ready, standing.reason.healing()) {
        (ConditionStatus::True, _) | (ConditionStatus::False, Healing::Fine) => {}
        (ConditionStatus::Unknown, _) | (ConditionStatus::False, Healing::Retry) => {
            conditions.push(make(ConditionType::Reconciling, ConditionStatus::True));
        }
        (ConditionStatus::False, Healing::Person) => {
            conditions.push(make(ConditionType::Stalled, ConditionStatus::True));
        }
    }
    conditions
}

/// `Rotated`, where there is something to say: a schedule covers the secret, somebody asked, or it was rotated before (at `rotated`).
pub fn rotation_condition(
    rotation: &Rotation,
    rotate_now: &RotateNow,
    rotated: Option<Timestamp>,
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Condition> {
    let (status, reason) = match (rotation, rotated) {
        _ if matches!(rotate_now, RotateNow::DoneBefore { .. }) => {
            (ConditionStatus::False, Reason::RotateNowRepeated)
        }
        (Rotation::None, None) => return None,
        (Rotation::None | Rotation::Scheduled { .. }, Some(_)) => (ConditionStatus::True, Reason::Rotated),
        (Rotation::Scheduled { .. }, None) | (Rotation::Due(_), _) => {
            (ConditionStatus::Unknown, Reason::RotationPending)
        }
        (Rotation::Suspended { .. }, _) => (ConditionStatus::Unknown, Reason::Suspended),
        (Rotation::Unscheduled { .. }, _) => (ConditionStatus::False, Reason::ScheduleInvalid),
        (Rotation::Conflict(_), _) => (ConditionStatus::False, Reason::ScheduleConflict),
        (Rotation::Impossible(refusal), _) => (ConditionStatus::False, refusal.reason()),
    };
    let message = match rotated {
        Some(at) => format!("last rotated at {}; {rotation}", whole_second(at)),
        None => rotation.to_string(),
    };
    let message = match (rotate_now, rotation) {
        (RotateNow::DoneBefore { version }, _) => format!(
            "the text of `strongroom.dev/rotate-now` was used before, for version `{version}`, so nothing is rotated: use a text that \
             was not used before; {message}"
        ),
        (RotateNow::Done { version }, _) => format!(
            "{message}; what `strongroom.dev/rotate-now` asks for was done as version `{version}`, and another text asks again"
        ),
        (RotateNow::Asked(_), Rotation::Suspended { .. }) => {
            format!("what `strongroom.dev/rotate-now` asks for waits: {message}")
        }
        (RotateNow::Asked(_), Rotation::Impossible(_)) => {
            format!("what `strongroom.dev/rotate-now` asks for is not done: {message}")
        }
        (RotateNow::Asked(_) | RotateNow::Nothing, _) => message,
    };
    Some(condition(
        ConditionType::Rotated,
        status,
        reason,
        message,
        generation,
        Time(now),
    ))
}

/// `GeneratorCurrent`, where keys were made by other settings than they have now. Nothing is made anew by itself; the message has the command.
pub fn generator_condition(
    changed: &[String],
    not_rotatable: Option<&Refusal>,
    (namespace, name): (&str, &str),
    generation: i64,
    now: Timestamp,
) -> Option<Condition> {
    if changed.is_empty() {
        return None;
    }
    let keys: Vec<String> = changed.iter().map(|key| format!("`{key}`")).collect();
    let but = not_rotatable
        .map(|refusal| format!(", but {refusal}"))
        .unwrap_or_default();
    let message = format!(
        "the generator of {} changed after the value was made, and an existing value is not made anew by that; a rotation does \
         that: `kubectl -n {namespace} annotate managedsecret {name} strongroom.dev/rotate-now=generation-{generation} \
         --overwrite`{but}",
        keys.join(", ")
    );
    Some(condition(
        ConditionType::GeneratorCurrent,
        ConditionStatus::False,
        Reason::GeneratorChanged,
        message,
        Some(generation),
        Time(now),
    ))
}

/// `SealCurrent`, for values that stand sealed in the object: whether all of them are sealed for the cluster's newest key.
pub fn seal_condition(
    ids: &BTreeSet<String>,
    newest: Option<&str>,
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Condition> {
    let newest = newest?;
    let old: Vec<&str> = ids
        .iter()
        .map(String::as_str)
        .filter(|id| *id != newest)
        .collect();
    let (status, reason, message) = if old.is_empty() {
        let message = format!("sealed for the cluster's newest key `{newest}`");
        (ConditionStatus::True, Reason::SealCurrent, message)
    } else {
        let message = format!(
            "sealed for `{}`, which still opens it; the newest key is `{newest}`: `kubectl strongroom seal --rewrap FILE` renews the file",
            old.join("`, `")
        );
        (ConditionStatus::False, Reason::SealOld, message)
    };
    Some(condition(
        ConditionType::SealCurrent,
        status,
        reason,
        message,
        generation,
        Time(now),
    ))
}

/// How many volumes are named that are behind.
const NAMED: usize = 3;

/// `Delivered`, for a secret in volumes: whether all of them show the version that they follow. `behind` names those that do not, as people would.
pub fn delivery_condition(
    volumes: u32,
    behind: &[String],
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Condition> {
    if volumes == 0 {
        return None;
    }
    let (status, reason, message) = if behind.is_empty() {
        let message = "all volumes show the version that they follow".to_owned();
        (ConditionStatus::True, Reason::Delivered, message)
    } else {
        let named: Vec<&str> = behind.iter().take(NAMED).map(String::as_str).collect();
        let more = behind.len() - named.len();
        let and = if more == 0 {
            String::new()
        } else {
            format!(", and {more} more")
        };
        let message = format!(
            "volumes that show another version than they follow: {}{and}; `kubectl strongroom consumers` names all",
            named.join(", ")
        );
        (ConditionStatus::False, Reason::VolumesBehind, message)
    };
    Some(condition(
        ConditionType::Delivered,
        status,
        reason,
        message,
        generation,
        Time(now),
    ))
}

/// Kubernetes keeps times in whole seconds; messages say no more than the status does.
pub(crate) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_that_are_behind_are_named_but_not_all_of_many() {
        let now = Timestamp::UNIX_EPOCH;
        let says = |volumes, behind: &[String]| {
            let condition = delivery_condition(volumes, behind, Some(1), now)?;
            Some((condition.status, condition.reason, condition.message))
        };
        assert_eq!(says(0, &[]), None);
        let (status, reason, _) = says(2, &[]).unwrap();
        assert_eq!((status.as_str(), reason.as_str()), ("True", "Delivered"));
        let pods: Vec<String> = (1..=5).map(|number| format!("shop/app-{number} on n")).collect();
        let (status, reason, message) = says(9, &pods).unwrap();
        assert_eq!((status.as_str(), reason.as_str()), ("False", "VolumesBehind"));
        assert!(
            message.contains("shop/app-3 on n, and 2 more;") && !message.contains("app-4"),
            "{message}"
        );
        let (_, _, message) = says(9, &pods[..1]).unwrap();
        assert!(message.contains("app-1 on n;"), "{message}");
    }

    fn types(standing: &Standing) -> Vec<(String, String)> {
        standing_conditions(standing, Some(1), Timestamp::UNIX_EPOCH)
            .into_iter()
            .map(|condition| (condition.type_, condition.status))
            .collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(type_, status)| ((*type_).to_owned(), (*status).to_owned()))
            .collect()
    }

    #[test]
    fn conditions_are_as_kstatus_defines_them() {
        let table = [
            (
                Standing::of(&Verdict::Ready {
                    secret: "abc".to_owned(),
                })
                .unwrap(),
                pairs(&[("Ready", "True")]),
            ),
            (
                Standing::of(&Verdict::Suspended { stored: true }).unwrap(),
                pairs(&[("Ready", "True")]),
            ),
            (
                Standing::of(&Verdict::Working).unwrap(),
                pairs(&[("Ready", "Unknown"), ("Reconciling", "True")]),
            ),
            (
                Standing::of(&Verdict::Blocked(Block::TargetNotOwned {
                    name: "db".to_owned(),
                    holder: None,
                }))
                .unwrap(),
                pairs(&[("Ready", "False"), ("Stalled", "True")]),
            ),
            (
                Standing::of(&Verdict::Blocked(Block::ImportMissing {
                    name: "db".to_owned(),
                }))
                .unwrap(),
                pairs(&[("Ready", "False"), ("Reconciling", "True")]),
            ),
            (
                Standing::of(&Verdict::Blocked(Block::NamespaceTerminating)).unwrap(),
                pairs(&[("Ready", "False")]),
            ),
            (
                Standing::failed(Reason::ApiUnavailable, "away".to_owned()),
                pairs(&[("Ready", "False"), ("Reconciling", "True")]),
            ),
            (
                Standing::failed(Reason::StoreFull, "full".to_owned()),
                pairs(&[("Ready", "False"), ("Stalled", "True")]),
            ),
            (
                Standing::failed(Reason::Progressing, "conflict".to_owned()),
                pairs(&[("Ready", "Unknown"), ("Reconciling", "True")]),
            ),
        ];
        for (standing, expected) in table {
            assert_eq!(types(&standing), expected, "{standing:?}");
        }
        assert_eq!(Standing::of(&Verdict::Leaving), None);
    }

    #[test]
    fn the_rotation_speaks_when_there_is_something_to_say() {
        let at = Timestamp::from_second(100).unwrap();
        let say = |rotation: &Rotation, rotated| {
            rotation_condition(rotation, &RotateNow::Nothing, rotated, None, at)
                .map(|condition| (condition.status, condition.reason))
        };
        let scheduled = Rotation::Scheduled {
            schedule: "monthly".to_owned(),
            at,
        };
        let owned = |status: &str, reason: &str| Some((status.to_owned(), reason.to_owned()));
        assert_eq!(say(&Rotation::None, None), None);
        assert_eq!(say(&Rotation::None, Some(at)), owned("True", "Rotated"));
        assert_eq!(say(&scheduled, Some(at)), owned("True", "Rotated"));
        assert_eq!(say(&scheduled, None), owned("Unknown", "RotationPending"));
        assert_eq!(
            say(&Rotation::Conflict(vec![]), Some(at)),
            owned("False", "ScheduleConflict")
        );
        assert_eq!(
            say(&Rotation::Impossible(Refusal::OnlyLiterals), None),
            owned("False", "NothingToRotate")
        );
    }

    #[test]
    fn a_request_that_is_not_carried_out_says_so() {
        let at = Timestamp::from_second(100).unwrap();
        let says = |rotation: &Rotation, rotate_now: &RotateNow| {
            let condition = rotation_condition(rotation, rotate_now, Some(at), None, at).unwrap();
            (condition.reason, condition.message)
        };
        let scheduled = Rotation::Scheduled {
            schedule: "monthly".to_owned(),
            at,
        };
        let version = "v-1".to_owned();
        let (reason, message) = says(
            &scheduled,
            &RotateNow::DoneBefore {
                version: version.clone(),
            },
        );
        assert_eq!(reason, "RotateNowRepeated");
        assert!(
            message.contains("`v-1`") && message.contains("`monthly`"),
            "{message}"
        );
        let (reason, message) = says(&scheduled, &RotateNow::Done { version });
        assert_eq!(reason, "Rotated");
        assert!(message.contains("another text asks again"), "{message}");
        let asked = RotateNow::Asked("x".to_owned());
        let (reason, message) = says(&Rotation::Impossible(Refusal::OnlyLiterals), &asked);
        assert_eq!(reason, "NothingToRotate");
        assert!(
            message.starts_with("what `strongroom.dev/rotate-now` asks for is not done"),
            "{message}"
        );
        let suspended = Rotation::Suspended {
            schedule: "monthly".to_owned(),
        };
        let (reason, message) = says(&suspended, &asked);
        assert_eq!(reason, "Suspended");
        assert!(
            message.starts_with("what `strongroom.dev/rotate-now` asks for waits"),
            "{message}"
        );
    }

    #[test]
    fn a_changed_generator_says_what_applies_it() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(generator_condition(&[], None, ("shop", "db"), 3, now), None);
        let changed = ["password".to_owned()];
        let immutable = Refusal::Immutable { asker: None };
        let condition = generator_condition(&changed, Some(&immutable), ("shop", "db"), 3, now).unwrap();
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            ("False", "GeneratorChanged")
        );
        for part in [
            "`password`",
            "`kubectl -n shop annotate managedsecret db strongroom.dev/rotate-now=generation-3 --overwrite`",
            "remove `spec.secret.immutable`",
        ] {
            assert!(condition.message.contains(part), "{}", condition.message);
        }
    }
}
