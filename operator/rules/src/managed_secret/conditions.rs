//! Makes the conditions of a `ManagedSecret` from its state. The only place that maps causes to reasons.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strongroom_crds::condition::{ConditionStatus, ConditionType, Reason, condition};

use super::verdict::{SecretBlocker, SecretVerdict, awaiting};
use crate::object::{ReadySummary, whole_second};
use crate::rotation::{RotateNow, RotationRefusal, RotationState};

impl ReadySummary {
    /// What a verdict says. `None`: nothing is to be said any more.
    pub fn from_verdict(verdict: &SecretVerdict) -> Option<Self> {
        let standing = match verdict {
            SecretVerdict::Leaving => return None,
            SecretVerdict::Ready { .. } => Self {
                ready: ConditionStatus::True,
                reason: Reason::Ready,
                message:
                    "the secret is stored, and its native Secret, if it has one, holds the current version"
                        .to_owned(),
            },
            SecretVerdict::AwaitingValue { name } => Self {
                ready: ConditionStatus::True,
                reason: Reason::AwaitingValue,
                message: awaiting(name),
            },
            SecretVerdict::Working => Self {
                ready: ConditionStatus::Unknown,
                reason: Reason::Progressing,
                message: "steps are left to do".to_owned(),
            },
            SecretVerdict::Suspended { stored } => Self {
                ready: if *stored {
                    ConditionStatus::True
                } else {
                    ConditionStatus::False
                },
                reason: Reason::Suspended,
                message: "`spec.suspend` is true: nothing is changed until it is false".to_owned(),
            },
            SecretVerdict::Blocked(block) => Self {
                ready: ConditionStatus::False,
                reason: reason_of(block),
                message: block.to_string(),
            },
        };
        Some(standing)
    }
}

fn reason_of(block: &SecretBlocker) -> Reason {
    match block {
        SecretBlocker::SpecInvalid(invalid) => invalid.reason,
        SecretBlocker::NamespaceTerminating => Reason::NamespaceTerminating,
        SecretBlocker::NamespaceRecreated { .. } => Reason::NamespaceRecreated,
        SecretBlocker::Product(refusal) => refusal.reason(),
        SecretBlocker::StoreLost { .. } => Reason::StoreLost,
        SecretBlocker::InRecoveryWindow { .. } => Reason::InRecoveryWindow,
        SecretBlocker::StoreNameTaken { .. } => Reason::DuplicateStoreName,
        SecretBlocker::NameTaken { .. } => Reason::NameTaken,
        SecretBlocker::AwaitingValue { .. } => Reason::AwaitingValue,
        SecretBlocker::KeyNotReady { .. } => Reason::KeyNotReady,
        SecretBlocker::KeyRequired { .. } => Reason::KeyRequired,
        SecretBlocker::KeyDisabled { .. } => Reason::KeyDisabled,
        SecretBlocker::KeyObjectMissing { .. } => Reason::KeyObjectMissing,
        SecretBlocker::ImportMissing { .. } => Reason::ImportSourceMissing,
        SecretBlocker::ImportRefused { .. } => Reason::ImportRefused,
        SecretBlocker::ReplacementUnasked { .. } => Reason::ReplacementUnasked,
        SecretBlocker::Immutable { .. } | SecretBlocker::ImmutableContent { .. } => {
            Reason::ImmutableNotRotatable
        }
        SecretBlocker::CertificateExpired { .. } => Reason::CertificateExpired,
        SecretBlocker::TargetNotOwned { .. } => Reason::TargetNotOwned,
        SecretBlocker::NativeTerminating { .. } => Reason::NativeSecretTerminating,
        SecretBlocker::NativeContested { .. } => Reason::NativeSecretContested,
        SecretBlocker::NativeMutated { .. } => Reason::NativeSecretMutated,
    }
}

/// `Rotated`, where there is something to say: a schedule covers the secret, somebody asked, or it was
/// rotated before (at `rotated`).
pub fn rotation_condition(
    rotation: &RotationState,
    rotate_now: &RotateNow,
    rotated: Option<Timestamp>,
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Condition> {
    let (status, reason) = match (rotation, rotated) {
        _ if matches!(rotate_now, RotateNow::DoneBefore { .. }) => {
            (ConditionStatus::False, Reason::RotateNowRepeated)
        }
        (RotationState::None, None) => return None,
        (RotationState::None | RotationState::Scheduled { .. }, Some(_)) => {
            (ConditionStatus::True, Reason::Rotated)
        }
        (RotationState::Scheduled { .. }, None) | (RotationState::Due(_), _) => {
            (ConditionStatus::Unknown, Reason::RotationPending)
        }
        (RotationState::Suspended { .. }, _) => (ConditionStatus::Unknown, Reason::Suspended),
        (RotationState::Unscheduled { .. }, _) => (ConditionStatus::False, Reason::ScheduleInvalid),
        (RotationState::Conflict(_), _) => (ConditionStatus::False, Reason::ScheduleConflict),
        (RotationState::Impossible(refusal), _) => (ConditionStatus::False, refusal.reason()),
    };
    let message = match rotated {
        Some(at) => format!("last rotated at {}; {rotation}", whole_second(at)),
        None => rotation.to_string(),
    };
    let message = match (rotate_now, rotation) {
        (RotateNow::DoneBefore { version }, _) => format!(
            "the text of `strongroom.dev/rotate-now` was used before, for version `{version}`, so nothing is rotated: use a new text; {message}"
        ),
        (RotateNow::Done { version }, _) => format!(
            "{message}; the rotation by `strongroom.dev/rotate-now` was done as version `{version}`; use another text to rotate again"
        ),
        (RotateNow::Asked(_), RotationState::Suspended { .. }) => {
            format!("what `strongroom.dev/rotate-now` asks for waits: {message}")
        }
        (RotateNow::Asked(_), RotationState::Impossible(_)) => {
            format!("what `strongroom.dev/rotate-now` asks for is not done: {message}")
        }
        (RotateNow::Asked(_) | RotateNow::Nothing, _) => message,
    };
    let type_ = ConditionType::Rotated;
    Some(condition(type_, status, reason, message, generation, Time(now)))
}

/// `GeneratorCurrent`, where keys were made by other settings than they have now. Nothing is made anew by
/// itself; the message has the command.
pub fn generator_condition(
    changed: &[String],
    not_rotatable: Option<&RotationRefusal>,
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
        "the generator of {} changed after the value was generated; an existing value is only regenerated by a \
         rotation: `kubectl -n {namespace} annotate managedsecret {name} strongroom.dev/rotate-now=generation-{generation} \
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

/// `SealCurrent`, for values that stand sealed in the object: whether all of them are sealed for the
/// cluster's newest key.
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
    let type_ = ConditionType::SealCurrent;
    Some(condition(type_, status, reason, message, generation, Time(now)))
}

/// How many volumes are named that are behind.
const MAX_NAMED: usize = 3;

/// `Delivered`, for a secret in volumes: whether all of them show the version that they follow. `behind`
/// names those that do not, as people would.
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
        let named: Vec<&str> = behind.iter().take(MAX_NAMED).map(String::as_str).collect();
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
    let type_ = ConditionType::Delivered;
    Some(condition(type_, status, reason, message, generation, Time(now)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ready_conditions;

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

    fn types(standing: &ReadySummary) -> Vec<(String, String)> {
        ready_conditions(standing, Some(1), Timestamp::UNIX_EPOCH)
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
                ReadySummary::from_verdict(&SecretVerdict::Ready {
                    secret: "abc".to_owned(),
                })
                .unwrap(),
                pairs(&[("Ready", "True")]),
            ),
            (
                ReadySummary::from_verdict(&SecretVerdict::Suspended { stored: true }).unwrap(),
                pairs(&[("Ready", "True")]),
            ),
            (
                ReadySummary::from_verdict(&SecretVerdict::Working).unwrap(),
                pairs(&[("Ready", "Unknown"), ("Reconciling", "True")]),
            ),
            (
                ReadySummary::from_verdict(&SecretVerdict::Blocked(SecretBlocker::TargetNotOwned {
                    name: "db".to_owned(),
                    holder: None,
                }))
                .unwrap(),
                pairs(&[("Ready", "False"), ("Stalled", "True")]),
            ),
            (
                ReadySummary::from_verdict(&SecretVerdict::Blocked(SecretBlocker::ImportMissing {
                    name: "db".to_owned(),
                }))
                .unwrap(),
                pairs(&[("Ready", "False"), ("Reconciling", "True")]),
            ),
            (
                ReadySummary::from_verdict(&SecretVerdict::Blocked(SecretBlocker::NamespaceTerminating))
                    .unwrap(),
                pairs(&[("Ready", "False")]),
            ),
            (
                ReadySummary::failed(Reason::ApiUnavailable, "away".to_owned()),
                pairs(&[("Ready", "False"), ("Reconciling", "True")]),
            ),
            (
                ReadySummary::failed(Reason::StoreFull, "full".to_owned()),
                pairs(&[("Ready", "False"), ("Stalled", "True")]),
            ),
            (
                ReadySummary::failed(Reason::Progressing, "conflict".to_owned()),
                pairs(&[("Ready", "Unknown"), ("Reconciling", "True")]),
            ),
        ];
        for (standing, expected) in table {
            assert_eq!(types(&standing), expected, "{standing:?}");
        }
        assert_eq!(ReadySummary::from_verdict(&SecretVerdict::Leaving), None);
    }

    #[test]
    fn the_rotation_speaks_when_there_is_something_to_say() {
        let at = Timestamp::from_second(100).unwrap();
        let say = |rotation: &RotationState, rotated| {
            rotation_condition(rotation, &RotateNow::Nothing, rotated, None, at)
                .map(|condition| (condition.status, condition.reason))
        };
        let scheduled = RotationState::Scheduled {
            schedule: "monthly".to_owned(),
            at,
        };
        let owned = |status: &str, reason: &str| Some((status.to_owned(), reason.to_owned()));
        assert_eq!(say(&RotationState::None, None), None);
        assert_eq!(say(&RotationState::None, Some(at)), owned("True", "Rotated"));
        assert_eq!(say(&scheduled, Some(at)), owned("True", "Rotated"));
        assert_eq!(say(&scheduled, None), owned("Unknown", "RotationPending"));
        assert_eq!(
            say(&RotationState::Conflict(vec![]), Some(at)),
            owned("False", "ScheduleConflict")
        );
        assert_eq!(
            say(&RotationState::Impossible(RotationRefusal::OnlyLiterals), None),
            owned("False", "NothingToRotate")
        );
    }

    #[test]
    fn a_request_that_is_not_carried_out_says_so() {
        let at = Timestamp::from_second(100).unwrap();
        let says = |rotation: &RotationState, rotate_now: &RotateNow| {
            let condition = rotation_condition(rotation, rotate_now, Some(at), None, at).unwrap();
            (condition.reason, condition.message)
        };
        let scheduled = RotationState::Scheduled {
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
        assert!(message.contains("use another text to rotate again"), "{message}");
        let asked = RotateNow::Asked("x".to_owned());
        let (reason, message) = says(&RotationState::Impossible(RotationRefusal::OnlyLiterals), &asked);
        assert_eq!(reason, "NothingToRotate");
        assert!(
            message.starts_with("what `strongroom.dev/rotate-now` asks for is not done"),
            "{message}"
        );
        let suspended = RotationState::Suspended {
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
        let immutable = RotationRefusal::Immutable { asker: None };
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
