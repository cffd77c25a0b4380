//! What to do about the Lease, as a pure decision.

use std::time::Duration;

/// The Lease as it was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ObservedLease {
    /// Who holds it; empty where nobody does.
    pub(super) holder: String,
    /// For how long a holder is believed without a sign of life.
    pub(super) duration: Duration,
    /// How often it changed hands.
    pub(super) transitions: i32,
    /// For how long it has not changed, by our clock.
    pub(super) unchanged_for: Duration,
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Make it.
    Create,
    /// Take it, with this count of transitions.
    Take(i32),
    /// Say that we live.
    Renew,
    /// Somebody else has it; look again then.
    Wait(Duration),
    /// Somebody else took it from us.
    Lost,
}

/// Decides by what was seen, who we are, and whether we already hold it.
pub(super) fn decide(seen: Option<&ObservedLease>, me: &str, holding: bool) -> Step {
    let Some(seen) = seen else { return Step::Create };
    if seen.holder == me {
        // The same name without holding it is an earlier life of ours: the lock proves that it is over.
        return if holding {
            Step::Renew
        } else {
            Step::Take(seen.transitions.saturating_add(1))
        };
    }
    if holding {
        return Step::Lost;
    }
    match seen.duration.checked_sub(seen.unchanged_for) {
        Some(left) if !seen.holder.is_empty() && !left.is_zero() => Step::Wait(left),
        _ => Step::Take(seen.transitions.saturating_add(1)),
    }
}
