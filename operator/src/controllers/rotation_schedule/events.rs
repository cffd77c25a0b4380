//! What of a schedule's status is told by Events: each change once, and those of one kind together.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::{ManagedSecret, RotatedSecret, RotationSchedule, RotationScheduleStatus};

use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::kube::{EventMessage, EventReason};

/// Most secrets that a note names.
const MAX_NAMED: usize = 5;

/// Reasons that are nobody's failure, that pass by themselves, or that have an Event of their own.
const UNTOLD: [Reason; 6] = [
    Reason::Suspended,
    Reason::SecretsNotReady,
    Reason::NothingSelected,
    Reason::ScheduleTooLong,
    Reason::RotateNowRepeated,
    Reason::RotationOverdue,
];

/// Tells what is new in a status.
pub(super) async fn tell(
    ctx: &Ctx,
    kept: &CachedObject<RotationSchedule>,
    before: &RotationScheduleStatus,
    status: &RotationScheduleStatus,
) {
    let regarding = kept.object_ref(&());
    for ScheduleEvent { reason, first, note } in news(before, status) {
        let message = EventMessage {
            // Events that differ in nothing but their text count as one and keep the first text.
            secondary: Some(ObjectReference {
                kind: Some(ManagedSecret::kind(&()).into_owned()),
                name: Some(first.to_owned()),
                uid: None,
                ..regarding.clone()
            }),
            ..EventMessage::new(reason, "Rotate", note)
        };
        ctx.events.tell(message, &regarding).await;
    }
}

/// Something new of some of a schedule's secrets.
struct ScheduleEvent<'a> {
    reason: EventReason,
    /// Name of the first of them.
    first: &'a str,
    note: String,
}

/// What is new in a status, in words.
fn news<'a>(before: &RotationScheduleStatus, status: &'a RotationScheduleStatus) -> Vec<ScheduleEvent<'a>> {
    let known = |row: &RotatedSecret| before.secrets.iter().find(|known| known.name == row.name);
    let rows_that = |is_new: &dyn Fn(&RotatedSecret) -> bool| -> Vec<&'a RotatedSecret> {
        status.secrets.iter().filter(|row| is_new(row)).collect()
    };
    // What is said of it now was not said before.
    let newly = |row: &RotatedSecret| {
        known(row).is_none_or(|known| (&known.reason, &known.message) != (&row.reason, &row.message))
    };
    let rotated = rows_that(&|row| {
        row.last_rotation.is_some()
            && known(row).is_some_and(|known| known.last_rotation != row.last_rotation)
    });
    let failed = rows_that(&|row| is_failure(row) && newly(row));
    let overdue = rows_that(&|row| has_reason(row, Reason::RotationOverdue) && newly(row));
    let repeated = rows_that(&|row| has_reason(row, Reason::RotateNowRepeated) && newly(row));
    let told = [
        (
            EventReason::SecretsRotated,
            &rotated,
            format!("rotated: {}", names(&rotated)),
        ),
        (
            EventReason::RotationFailed,
            &failed,
            format!("not rotated: {}", reasons(&failed)),
        ),
        (
            EventReason::RotationOverdue,
            &overdue,
            format!("overdue: {}", reasons(&overdue)),
        ),
        (
            EventReason::RotateNowRepeated,
            &repeated,
            format!("nothing is rotated in {}; use a new text", reasons(&repeated)),
        ),
    ];
    told.into_iter()
        .filter_map(|(reason, rows, note)| {
            let first = rows.first()?.name.as_str();
            Some(ScheduleEvent { reason, first, note })
        })
        .collect()
}

fn has_reason(row: &RotatedSecret, reason: Reason) -> bool {
    row.reason.as_deref() == Some(reason.as_str())
}

fn is_failure(row: &RotatedSecret) -> bool {
    row.reason.is_some() && !UNTOLD.iter().any(|reason| has_reason(row, *reason))
}

/// The first with what is said of it, and how many others there are.
fn reasons(rows: &[&RotatedSecret]) -> String {
    let Some((first, rest)) = rows.split_first() else {
        return String::new();
    };
    let more = match rest.len() {
        0 => String::new(),
        more => format!(" (and {more} more, see status.secrets)"),
    };
    let message = first.message.as_deref().unwrap_or_default();
    format!("ManagedSecret `{}`: {message}{more}", first.name)
}

fn names(rows: &[&RotatedSecret]) -> String {
    let named: Vec<String> = rows
        .iter()
        .take(MAX_NAMED)
        .map(|row| format!("`{}`", row.name))
        .collect();
    match rows.len().saturating_sub(MAX_NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn status(secrets: Json) -> RotationScheduleStatus {
        serde_json::from_value(json!({"secrets": secrets})).unwrap()
    }

    fn told(before: &Json, after: &Json) -> Vec<(&'static str, String)> {
        let (before, after) = (status(before.clone()), status(after.clone()));
        let all = news(&before, &after);
        let told = |news: ScheduleEvent<'_>| (news.reason.as_str(), news.note);
        all.into_iter().map(told).collect()
    }

    #[test]
    fn a_rotation_is_told_once_and_with_the_others_of_its_time() {
        let at = |hour: u32| format!("2026-11-23T{hour:02}:00:00Z");
        let rows = |hour: u32| -> Json {
            (0..7)
                .map(|n| json!({"name": format!("s{n}"), "lastRotation": at(hour)}))
                .collect()
        };
        let note = "rotated: `s0`, `s1`, `s2`, `s3`, `s4` and 2 more".to_owned();
        assert_eq!(told(&rows(1), &rows(2)), [("SecretsRotated", note)]);
        assert_eq!(told(&rows(2), &rows(2)), []);
        // What a schedule finds is no rotation of its.
        assert_eq!(told(&json!([]), &rows(2)), []);
        assert_eq!(
            told(
                &json!([{"name": "s0"}]),
                &json!([{"name": "s0", "lastRotation": at(2)}])
            ),
            [("SecretsRotated", "rotated: `s0`".to_owned())]
        );
    }

    #[test]
    fn a_failure_is_told_once_and_what_passes_by_itself_is_not() {
        let row = |name: &str, reason: &str| json!({"name": name, "reason": reason, "message": "because"});
        let failing = json!([
            row("a", "NothingToRotate"),
            row("b", "ScheduleConflict"),
            row("c", "Suspended")
        ]);
        let note = "not rotated: ManagedSecret `a`: because (and 1 more, see status.secrets)".to_owned();
        assert_eq!(told(&json!([]), &failing), [("RotationFailed", note)]);
        assert_eq!(told(&failing, &failing), []);
        let overdue = json!([row("a", "RotationOverdue")]);
        assert_eq!(
            told(&failing, &overdue),
            [(
                "RotationOverdue",
                "overdue: ManagedSecret `a`: because".to_owned()
            )]
        );
        for quiet in [
            "Suspended",
            "SecretsNotReady",
            "NothingSelected",
            "ScheduleTooLong",
        ] {
            assert_eq!(told(&json!([]), &json!([row("a", quiet)])), [], "{quiet}");
        }
    }
}
