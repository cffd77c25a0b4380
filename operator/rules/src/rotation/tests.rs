//! The machine by a table, and by walks over a small store whose answers get lost.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use strongroom_crds::v1alpha1::RotationSchedule;

use super::*;
use crate::uid::Uid;

/// The id of the secret.
const SECRET: [u8; 16] = [7; 16];

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_000_000 + seconds, 0).unwrap()
}

fn covering_schedule(due: Result<Option<i64>, String>) -> CoveringSchedule {
    CoveringSchedule {
        name: "monthly".to_owned(),
        uid: Uid::new("schedule"),
        suspended: false,
        refusal: None,
        due: due.map(|due| due.map(at)),
    }
}

#[test]
fn a_state_follows_from_who_asks_who_covers_and_what_refuses() {
    let asked = RotateNow::Asked("word".to_owned());
    let done = RotateNow::Done {
        version: "v-1".to_owned(),
    };
    let never = RotationRefusal::Imported;
    let by_rotator = RotationRefusal::UnknownKey {
        schedule: "monthly".to_owned(),
        key: "passwrd".to_owned(),
        made: vec!["password".to_owned()],
    };
    let name = || "monthly".to_owned();
    let due = Coverage::One(covering_schedule(Ok(Some(0))));
    let later = Coverage::One(covering_schedule(Ok(Some(1))));
    let no_time = Coverage::One(covering_schedule(Ok(None)));
    let invalid = Coverage::One(covering_schedule(Err("no zone".to_owned())));
    let suspended = Coverage::One(CoveringSchedule {
        suspended: true,
        ..covering_schedule(Ok(Some(0)))
    });
    let refusing = Coverage::One(CoveringSchedule {
        refusal: Some(by_rotator.clone()),
        ..covering_schedule(Ok(Some(0)))
    });
    let conflict = Coverage::Conflict(vec!["a".to_owned(), "b".to_owned()]);
    let promote = |trigger| RotationState::Due(RotationStep::Promote(trigger));
    let by_request = || promote(RotationTrigger::Asked("word".to_owned()));
    let by_schedule = promote(RotationTrigger::Due {
        schedule: Uid::new("schedule"),
        at: at(0),
    });
    let unscheduled = |why: &str| RotationState::Unscheduled {
        schedule: name(),
        why: why.to_owned(),
    };
    let waits = || RotationState::Suspended { schedule: name() };
    let no_one = RotateNow::Nothing;
    let table = [
        (None, &no_one, &Coverage::None, RotationState::None),
        (Some(&never), &no_one, &Coverage::None, RotationState::None),
        (None, &no_one, &due, by_schedule.clone()),
        (None, &done, &due, by_schedule),
        (
            None,
            &no_one,
            &later,
            RotationState::Scheduled {
                schedule: name(),
                at: at(1),
            },
        ),
        (
            None,
            &no_one,
            &no_time,
            unscheduled("the schedule names no further time"),
        ),
        (None, &no_one, &invalid, unscheduled("no zone")),
        (None, &no_one, &suspended, waits()),
        (
            None,
            &no_one,
            &refusing,
            RotationState::Impossible(by_rotator.clone()),
        ),
        (
            None,
            &no_one,
            &conflict,
            RotationState::Conflict(vec!["a".to_owned(), "b".to_owned()]),
        ),
        (
            Some(&never),
            &no_one,
            &due,
            RotationState::Impossible(never.clone()),
        ),
        (None, &asked, &Coverage::None, by_request()),
        (None, &asked, &conflict, by_request()),
        (None, &asked, &later, by_request()),
        (None, &asked, &invalid, by_request()),
        (None, &asked, &suspended, waits()),
        (None, &asked, &refusing, RotationState::Impossible(by_rotator)),
        (
            Some(&never),
            &asked,
            &Coverage::None,
            RotationState::Impossible(never.clone()),
        ),
    ];
    for (never, rotate_now, coverage, expected) in table {
        let facts = RotationFacts {
            never,
            rotate_now,
            coverage,
        };
        assert_eq!(RotationState::from_facts(&facts, at(0)), expected, "{facts:?}");
    }
}

/// A version of the model's secret, with the stages that point at it.
#[derive(Debug)]
struct ModelVersion {
    id: String,
    stages: Vec<&'static str>,
}

/// What the store holds of the one secret. A version is made and promoted in one commit, and one of the same
/// id is left as it is.
#[derive(Debug)]
struct ModelStore {
    versions: Vec<ModelVersion>,
    labels: BTreeMap<String, String>,
    rotated: Timestamp,
    /// How many values were ever made for a version id.
    values: BTreeMap<String, u32>,
}

impl ModelStore {
    fn new() -> Self {
        Self {
            versions: vec![ModelVersion {
                id: "first".to_owned(),
                stages: vec!["Current"],
            }],
            labels: BTreeMap::new(),
            rotated: at(0),
            values: BTreeMap::new(),
        }
    }

    fn has(&self, id: &str) -> bool {
        self.versions.iter().any(|version| version.id == id)
    }

    fn holders(&self, stage: &str) -> usize {
        let holds = |version: &&ModelVersion| version.stages.contains(&stage);
        self.versions.iter().filter(holds).count()
    }

    fn commit(&mut self, trigger: &RotationTrigger, labels: BTreeMap<String, String>, now: Timestamp) {
        let id = trigger.cause().version_id(&SECRET);
        if self.has(&id) {
            return;
        }
        for version in &mut self.versions {
            let was_current = version.stages.contains(&"Current");
            version.stages = if was_current { vec!["Previous"] } else { Vec::new() };
        }
        *self.values.entry(id.clone()).or_default() += 1;
        self.versions.push(ModelVersion {
            id,
            stages: vec!["Current"],
        });
        (self.labels, self.rotated) = (labels, now);
    }
}

/// What is declared beside the store: the schedule, and what people ask for.
#[derive(Debug)]
struct ModelWorld {
    store: ModelStore,
    schedule: RotationSchedule,
    now: Timestamp,
    words: [Option<String>; 2],
}

static REQUESTERS: [RotationRequester; 2] = [RotationRequester::Object, RotationRequester::Schedule];

impl ModelWorld {
    fn new() -> Self {
        let schedule = json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "RotationSchedule",
            "metadata": {"name": "hourly", "uid": "schedule"},
            "spec": {"secrets": {"names": ["db"]}, "schedule": {"every": "1h"}, "rotator": {"generate": {}}},
        });
        Self {
            store: ModelStore::new(),
            schedule: serde_json::from_value(schedule).unwrap(),
            now: at(0),
            words: [None, None],
        }
    }

    /// The one next step, and the labels that its commit records.
    fn look(&self) -> Option<(RotationTrigger, BTreeMap<String, String>)> {
        let asks = || REQUESTERS.iter().zip(&self.words);
        let mut labels = BTreeMap::new();
        for (requester, _) in asks().filter(|(_, word)| word.is_some()) {
            keep_record(&mut labels, &self.store.labels, *requester);
        }
        let requests = asks().filter_map(|(requester, word)| {
            let stored = (&SECRET, &self.store.labels);
            let word = word.as_deref()?;
            Some(RotationRequest::new((*requester, word), stored, |id| {
                self.store.has(id)
            }))
        });
        let (rotate_now, requesters) = RotateNow::from_requests(requests);
        let stored = Some((&SECRET, self.store.rotated));
        let covering = CoveringSchedule::new(&self.schedule, None, stored, self.now);
        let facts = RotationFacts {
            never: None,
            rotate_now: &rotate_now,
            coverage: &Coverage::One(covering),
        };
        match RotationState::from_facts(&facts, self.now) {
            RotationState::Due(RotationStep::Promote(trigger)) => {
                if let RotationTrigger::Asked(text) = &trigger {
                    for requester in requesters {
                        record(&mut labels, requester, text);
                    }
                }
                Some((trigger, labels))
            }
            _ => None,
        }
    }
}

/// What becomes of a commit.
#[derive(Clone, Copy, Debug)]
enum CommitFate {
    Answered,
    LandedUnanswered,
    Lost,
}

#[derive(Clone, Debug)]
enum ModelEvent {
    Wait(i64),
    Ask { requester: usize, word: Option<u8> },
    Reconcile(CommitFate),
}

fn event() -> impl Strategy<Value = ModelEvent> {
    let fate = prop_oneof![
        Just(CommitFate::Answered),
        Just(CommitFate::LandedUnanswered),
        Just(CommitFate::Lost)
    ];
    prop_oneof![
        (1..90_i64).prop_map(ModelEvent::Wait),
        (0..2_usize, proptest::option::of(0..3_u8))
            .prop_map(|(requester, word)| ModelEvent::Ask { requester, word }),
        fate.prop_map(ModelEvent::Reconcile),
    ]
}

proptest! {
    /// One Current at any time; one value for a trigger, whatever becomes of the answers; what landed is not
    /// done again, and what did not is the same step again.
    #[test]
    fn a_lost_answer_makes_no_second_value(events in vec(event(), 1..60)) {
        let mut world = ModelWorld::new();
        for event in events {
            match event {
                ModelEvent::Wait(minutes) => {
                    world.now = world.now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
                }
                ModelEvent::Ask { requester, word } => {
                    world.words[requester] = word.map(|word| format!("word {word}"));
                }
                ModelEvent::Reconcile(fate) => {
                    let (step, again) = (world.look(), world.look());
                    prop_assert_eq!(&step, &again, "the same facts give the same step");
                    let Some((trigger, labels)) = step else { continue };
                    let before = world.store.versions.len();
                    match fate {
                        CommitFate::Answered | CommitFate::LandedUnanswered => {
                            world.store.commit(&trigger, labels, world.now);
                            let next = world.look().map(|(trigger, _)| trigger);
                            prop_assert_ne!(next, Some(trigger), "what landed is not done again");
                            prop_assert_eq!(world.store.versions.len(), before + 1);
                        }
                        CommitFate::Lost => {
                            let next = world.look().map(|(trigger, _)| trigger);
                            prop_assert_eq!(next, Some(trigger), "what did not land is done again");
                        }
                    }
                }
            }
            prop_assert_eq!(world.store.holders("Current"), 1);
            prop_assert!(world.store.holders("Previous") <= 1);
            prop_assert!(world.store.values.values().all(|made| *made == 1));
        }
    }

    /// A commit that lands once more, however late, changes nothing.
    #[test]
    fn a_commit_that_is_repeated_changes_nothing(minutes in 60..600_i64, repeats in 1..4_usize) {
        let mut world = ModelWorld::new();
        world.now = world.now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        let (trigger, labels) = world.look().unwrap();
        world.store.commit(&trigger, labels.clone(), world.now);
        let (versions, rotated) = (world.store.versions.len(), world.store.rotated);
        for _ in 0..repeats {
            world.now = world.now.checked_add(SignedDuration::from_mins(1)).unwrap();
            world.store.commit(&trigger, labels.clone(), world.now);
        }
        prop_assert_eq!((world.store.versions.len(), world.store.rotated), (versions, rotated));
    }
}
