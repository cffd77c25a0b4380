//! A check as a value, and the words that all checks share. Pure.

use jiff::Timestamp;
use strongroom_api::installation_status::{CheckName, CheckState, StatusCheck};

use super::facts::Facts;
use crate::fact::Fact;

/// A check, or why nothing can be said of it.
pub(super) type CheckResult<T = StatusCheck> = Result<T, StatusCheck>;

/// A check that is as it should be.
pub(super) fn ok(check: CheckName, detail: impl Into<String>) -> StatusCheck {
    StatusCheck {
        check,
        item: None,
        state: CheckState::Ok,
        detail: detail.into(),
        action: None,
    }
}

/// One that somebody should look at.
pub(super) fn warning(check: CheckName, detail: impl Into<String>, action: impl Into<String>) -> StatusCheck {
    StatusCheck {
        state: CheckState::Warning,
        action: Some(action.into()),
        ..ok(check, detail)
    }
}

/// One that does not work.
pub(super) fn failing(check: CheckName, detail: impl Into<String>, action: impl Into<String>) -> StatusCheck {
    StatusCheck {
        state: CheckState::Failing,
        ..warning(check, detail, action)
    }
}

/// One that nothing is known of.
pub(super) fn unknown(check: CheckName, detail: impl Into<String>) -> StatusCheck {
    StatusCheck {
        state: CheckState::Unknown,
        ..ok(check, detail)
    }
}

/// It is about this one of several.
pub(super) fn of_item(item: &str, check: StatusCheck) -> StatusCheck {
    StatusCheck {
        item: Some(item.to_owned()),
        ..check
    }
}

/// The fact, or a check that says why it is not known.
pub(super) fn known<'a, T>(check: CheckName, fact: &'a Fact<T>, absent: &str) -> CheckResult<&'a T> {
    Err(match fact {
        Fact::Seen(seen) => return Ok(seen),
        Fact::Absent => unknown(check, absent),
        Fact::Hidden(right) => unknown(check, format!("not visible to you: this takes {right}")),
        Fact::Unreadable(reason) => unknown(check, reason.as_str()),
    })
}

/// How long ago something was.
pub(super) fn ago(now: Timestamp, at: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..259_200 => format!("{} hours ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// How much of something there is, in percent; none where it has no end.
pub(super) fn percent(used: u64, limit: Option<u64>) -> Option<u64> {
    used.saturating_mul(100).checked_div(limit?)
}

/// A command with the namespace and the pod of this installation.
pub(super) fn in_place(facts: &Facts, command: &str) -> String {
    match &facts.place {
        Some(place) => command
            .replace("-n strongroom ", &format!("-n {} ", place.namespace))
            .replace(" POD", &format!(" {}-0", place.name)),
        None => command.to_owned(),
    }
}
