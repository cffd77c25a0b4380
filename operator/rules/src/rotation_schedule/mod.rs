//! `RotationSchedule`: which schedule covers which `ManagedSecret`, and why it does not rotate. When a
//! covered one is due is `schedule`'s business.

mod refusal;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use strongroom_crds::v1alpha1::RotationSchedule;

pub use self::refusal::{RotationRefusal, immutable};

use crate::uid::Uid;

/// The schedule, or the conflict of schedules, that covers one `ManagedSecret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// No schedule.
    None,
    /// Just one counts.
    One(CoveringSchedule),
    /// Several with equal right: their names, sorted.
    Conflict(Vec<String>),
}

/// The one schedule that covers a `ManagedSecret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoveringSchedule {
    /// `metadata.name`, in the namespace of the secret.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `spec.suspend` of the schedule.
    pub suspended: bool,
    /// Why its rotator makes nothing anew in this secret, if so.
    pub refusal: Option<RotationRefusal>,
    /// When this secret is due next: the time, none any more, or why it cannot be said.
    pub due: Result<Option<Timestamp>, String>,
}

/// How strongly a schedule claims a secret. Naming beats selecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScheduleClaim {
    /// Its selector matches.
    Selected,
    /// It names the secret.
    Named,
}

/// How strongly a schedule claims a secret with this name and these labels.
#[must_use]
pub fn claim(
    schedule: &RotationSchedule,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Option<ScheduleClaim> {
    let secrets = &schedule.spec.secrets;
    if secrets.names(name) {
        return Some(ScheduleClaim::Named);
    }
    secrets.selects(labels).then_some(ScheduleClaim::Selected)
}

/// Who wins among the schedules that claim one secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimWinner<T> {
    /// No schedule claims it.
    Nobody,
    /// One claim is strongest.
    One(T),
    /// Several claims are equally strong: the names of their schedules.
    Conflict(BTreeSet<String>),
}

/// Picks the winner among `(name, claim, schedule)`.
pub fn winner<T>(claims: impl IntoIterator<Item = (String, ScheduleClaim, T)>) -> ClaimWinner<T> {
    let mut best: Option<(ScheduleClaim, Vec<(String, T)>)> = None;
    for (name, claim, schedule) in claims {
        match &mut best {
            Some((strongest, _)) if *strongest > claim => {}
            Some((strongest, holders)) if *strongest == claim => holders.push((name, schedule)),
            _ => best = Some((claim, vec![(name, schedule)])),
        }
    }
    let Some((_, mut holders)) = best else {
        return ClaimWinner::Nobody;
    };
    match (holders.pop(), holders.is_empty()) {
        (Some((_, schedule)), true) => ClaimWinner::One(schedule),
        (last, _) => ClaimWinner::Conflict(holders.into_iter().chain(last).map(|(name, _)| name).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(list: &[(&str, ScheduleClaim)]) -> ClaimWinner<String> {
        winner(
            list.iter()
                .map(|(name, claim)| ((*name).to_owned(), *claim, (*name).to_owned())),
        )
    }

    #[test]
    fn naming_beats_selecting_and_equals_quarrel() {
        use ScheduleClaim::{Named, Selected};
        let quarrel =
            |names: &[&str]| ClaimWinner::Conflict(names.iter().map(|name| (*name).to_owned()).collect());
        let table = [
            (vec![], ClaimWinner::Nobody),
            (vec![("a", Selected)], ClaimWinner::One("a".to_owned())),
            (
                vec![("a", Selected), ("b", Named)],
                ClaimWinner::One("b".to_owned()),
            ),
            (
                vec![("b", Named), ("a", Selected)],
                ClaimWinner::One("b".to_owned()),
            ),
            (vec![("a", Selected), ("b", Selected)], quarrel(&["a", "b"])),
            (
                vec![("b", Named), ("c", Selected), ("a", Named)],
                quarrel(&["a", "b"]),
            ),
            (
                vec![("a", Selected), ("b", Selected), ("c", Named)],
                ClaimWinner::One("c".to_owned()),
            ),
        ];
        for (input, expected) in table {
            assert_eq!(claims(&input), expected, "{input:?}");
        }
    }
}
