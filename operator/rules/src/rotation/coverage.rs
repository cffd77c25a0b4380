//! Which schedule covers which secret. A schedule that names a secret wins over one that selects it. If
//! several equal ones claim it, none counts, and all of them say so.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use strongroom_crds::v1alpha1::RotationSchedule;

use super::RotationRefusal;
use crate::schedule::{JitterSeed, ScheduleError, Timetable};
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

impl CoveringSchedule {
    /// What `schedule` says of a secret that its rotator refuses or not. Of a stored one the id is known, and
    /// when it was last rotated or else made.
    #[must_use]
    pub fn new(
        schedule: &RotationSchedule,
        refusal: Option<RotationRefusal>,
        stored: Option<(&[u8; 16], Timestamp)>,
        now: Timestamp,
    ) -> Self {
        let metadata = &schedule.metadata;
        let uid = metadata.uid.clone().unwrap_or_default();
        let due: Result<Option<Timestamp>, ScheduleError> = stored
            .map(|(secret_id, last)| {
                let seed = JitterSeed {
                    schedule_uid: &uid,
                    secret_id,
                };
                Timetable::parse(&schedule.spec)?.next_due(last, now, seed)
            })
            .transpose();
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            suspended: schedule.spec.suspend.unwrap_or(false),
            refusal,
            due: due.map_err(|error| error.to_string()),
            uid: Uid::new(uid),
        }
    }
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

/// Who of these schedules covers a secret with this name and these labels.
pub fn covering<S: Borrow<RotationSchedule>>(
    schedules: impl IntoIterator<Item = S>,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> ClaimWinner<S> {
    winner(schedules.into_iter().filter_map(|schedule| {
        let candidate: &RotationSchedule = schedule.borrow();
        let strength = claim(candidate, name, labels)?;
        let own_name = candidate.metadata.name.clone().unwrap_or_default();
        Some((own_name, strength, schedule))
    }))
}

/// Picks the winner among `(name, claim, schedule)`.
fn winner<T>(claims: impl IntoIterator<Item = (String, ScheduleClaim, T)>) -> ClaimWinner<T> {
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

/// The schedules of one namespace, and which of them covers each secret.
///
/// A row is made when it is read first, and goes when a schedule changes; whoever learns that a secret has
/// other labels, or is gone, says so.
#[derive(Debug, Default)]
pub struct CoverageTable {
    schedules: BTreeMap<String, Arc<RotationSchedule>>,
    rows: HashMap<String, ClaimWinner<Arc<RotationSchedule>>>,
}

impl CoverageTable {
    /// All of the namespace, by name.
    pub fn schedules(&self) -> impl Iterator<Item = &Arc<RotationSchedule>> {
        self.schedules.values()
    }

    /// Whether the namespace has no schedule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.schedules.is_empty()
    }

    /// Takes in a schedule, in the place of the one of its name.
    pub fn insert(&mut self, schedule: Arc<RotationSchedule>) {
        self.rows.clear();
        let name = schedule.metadata.name.clone().unwrap_or_default();
        self.schedules.insert(name, schedule);
    }

    /// Keeps the schedules for whose names `keep` holds.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let before = self.schedules.len();
        self.schedules.retain(|name, _| keep(name));
        if self.schedules.len() != before {
            self.rows.clear();
        }
    }

    /// The secret of this name has other labels, or is gone.
    pub fn forget_secret(&mut self, name: &str) {
        self.rows.remove(name);
    }

    /// Any secret may have other labels.
    pub fn forget_secrets(&mut self) {
        self.rows.clear();
    }

    /// Who covers the secret of this name, which has these labels.
    pub fn winner(
        &mut self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> ClaimWinner<Arc<RotationSchedule>> {
        if let Some(row) = self.rows.get(name) {
            return row.clone();
        }
        let row = covering(self.schedules.values().cloned(), name, labels);
        self.rows.insert(name.to_owned(), row.clone());
        row
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn claims(list: &[(&str, ScheduleClaim)]) -> ClaimWinner<String> {
        winner(
            list.iter()
                .map(|(name, claim)| ((*name).to_owned(), *claim, (*name).to_owned())),
        )
    }

    #[test]
    fn naming_beats_selecting_and_equals_conflict() {
        use ScheduleClaim::{Named, Selected};
        let conflict =
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
            (vec![("a", Selected), ("b", Selected)], conflict(&["a", "b"])),
            (
                vec![("b", Named), ("c", Selected), ("a", Named)],
                conflict(&["a", "b"]),
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

    /// A schedule that names these, or selects by the label `team`.
    fn schedule(name: &str, names: &[&str], team: &str) -> Arc<RotationSchedule> {
        let secrets = if names.is_empty() {
            json!({"selector": {"matchLabels": {"team": team}}})
        } else {
            json!({"names": names})
        };
        let object = json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "RotationSchedule", "metadata": {"name": name},
            "spec": {"secrets": secrets, "schedule": {"every": "1d"}, "rotator": {"generate": {}}},
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    const SECRETS: [&str; 3] = ["db", "web", "mail"];
    const SCHEDULES: [&str; 3] = ["a", "b", "c"];
    const TEAMS: [&str; 2] = ["red", "blue"];

    /// What happens in a namespace.
    #[derive(Clone, Debug)]
    enum TableEvent {
        Apply {
            schedule: usize,
            named: Vec<usize>,
            team: usize,
        },
        Remove(usize),
        Label {
            secret: usize,
            team: usize,
        },
        Read(usize),
    }

    fn event() -> impl Strategy<Value = TableEvent> {
        prop_oneof![
            (0..3_usize, vec(0..3_usize, 0..3), 0..2_usize).prop_map(|(schedule, named, team)| {
                TableEvent::Apply {
                    schedule,
                    named,
                    team,
                }
            }),
            (0..3_usize).prop_map(TableEvent::Remove),
            (0..3_usize, 0..2_usize).prop_map(|(secret, team)| TableEvent::Label { secret, team }),
            (0..3_usize).prop_map(TableEvent::Read),
        ]
    }

    proptest! {
        /// The rows that were kept are those that would be made anew.
        #[test]
        fn the_table_says_what_all_claims_together_say(events in vec(event(), 1..40)) {
            let mut table = CoverageTable::default();
            let mut all: BTreeMap<String, Arc<RotationSchedule>> = BTreeMap::new();
            let team_label = |team: usize| BTreeMap::from([("team".to_owned(), TEAMS[team].to_owned())]);
            let mut labels = [0, 0, 0].map(team_label);
            for event in events {
                match event {
                    TableEvent::Apply { schedule: index, named, team } => {
                        let names: Vec<&str> = named.iter().map(|index| SECRETS[*index]).collect();
                        let applied = schedule(SCHEDULES[index], &names, TEAMS[team]);
                        table.insert(Arc::clone(&applied));
                        all.insert(SCHEDULES[index].to_owned(), applied);
                    }
                    TableEvent::Remove(index) => {
                        table.retain(|name| name != SCHEDULES[index]);
                        all.remove(SCHEDULES[index]);
                    }
                    TableEvent::Label { secret, team } => {
                        labels[secret] = team_label(team);
                        table.forget_secret(SECRETS[secret]);
                    }
                    TableEvent::Read(secret) => {
                        let anew = covering(all.values().cloned(), SECRETS[secret], &labels[secret]);
                        prop_assert_eq!(table.winner(SECRETS[secret], &labels[secret]), anew);
                    }
                }
                prop_assert_eq!(table.is_empty(), all.is_empty());
            }
        }
    }
}
