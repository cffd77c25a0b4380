//! Which schedule covers one `ManagedSecret`, when that is due, and which keys it makes again.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use strongroom_crds::annotation::ROTATE_NOW;
use strongroom_crds::v1alpha1::{ManagedSecret, RotationSchedule, Rotator, Source};
use strongroom_rules::generate;
use strongroom_rules::rotation_schedule::{Claim, Coverage, Covering, Winner, winner};
use strongroom_rules::schedule::{Timetable, Waiting};
use strongroom_rules::uid::Uid;

use crate::controllers::cluster::Cluster;
use crate::controllers::store::View;

/// The schedule of one `ManagedSecret`.
pub(crate) struct Covered {
    /// In the terms of the rules.
    pub(crate) coverage: Coverage,
    /// The keys that its rotator names.
    pub(crate) keys: Option<Vec<String>>,
    /// Its annotation `strongroom.dev/rotate-now`.
    pub(crate) rotate_now: Option<String>,
}

/// Finds the schedule that covers `object`, whose secret is `view`.
pub(crate) fn cover(
    cluster: &Cluster,
    object: &ManagedSecret,
    view: Option<&View>,
    now: Timestamp,
) -> Covered {
    let namespace = object.namespace().unwrap_or_default();
    let schedules = cluster.schedules(&namespace);
    let claims = schedules.iter().filter_map(|schedule| {
        let claim = claim(schedule, &object.name_any(), object.labels())?;
        Some((schedule.name_any(), claim, Arc::clone(schedule)))
    });
    let schedule = match winner(claims) {
        Winner::Nobody => {
            return Covered {
                coverage: Coverage::None,
                keys: None,
                rotate_now: None,
            };
        }
        Winner::Quarrel(names) => {
            let coverage = Coverage::Conflict(names.into_iter().collect());
            return Covered {
                coverage,
                keys: None,
                rotate_now: None,
            };
        }
        Winner::One(schedule) => schedule,
    };
    let Rotator::Generate(rotator) = &schedule.spec.rotator;
    let suspended = schedule.spec.suspend.unwrap_or(false);
    let due = match unknown_keys(object, rotator.keys.as_deref()) {
        Some(problem) => Err(problem),
        None => view.map_or(Ok(None), |view| due(&schedule, view, now)),
    };
    let coverage = Coverage::One(Covering {
        name: schedule.name_any(),
        uid: Uid::new(schedule.uid().unwrap_or_default()),
        suspended,
        due,
    });
    Covered {
        coverage,
        keys: rotator.keys.clone(),
        rotate_now: schedule
            .annotations()
            .get(ROTATE_NOW)
            .filter(|_| !suspended)
            .cloned(),
    }
}

/// How strongly the schedule claims an object with this name and these labels. A selector that cannot be read claims nothing; its schedule says so.
pub(super) fn claim(
    schedule: &RotationSchedule,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Option<Claim> {
    let secrets = &schedule.spec.secrets;
    if secrets.names.iter().flatten().any(|named| named == name) {
        return Some(Claim::Named);
    }
    let selector = Selector::try_from(secrets.selector.clone()?).ok()?;
    selector.matches(labels).then_some(Claim::Selected)
}

/// When the secret is due next under this schedule.
fn due(schedule: &RotationSchedule, view: &View, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let uid = schedule.uid().unwrap_or_default();
    let who = Waiting {
        schedule_uid: &uid,
        secret_id: view.id.as_bytes(),
    };
    let last = view.rotated.unwrap_or(view.created);
    let timetable = Timetable::parse(&schedule.spec).map_err(|error| error.to_string())?;
    timetable
        .next_due(last, now, who)
        .map(Some)
        .map_err(|error| error.to_string())
}

/// What is wrong with the keys that the rotator names.
fn unknown_keys(object: &ManagedSecret, keys: Option<&[String]>) -> Option<String> {
    let Source::Generate(source) = &object.spec.source else {
        return None;
    };
    let wrong = keys?
        .iter()
        .find(|key| !source.keys.get(*key).is_some_and(generate::rotates))?;
    Some(format!(
        "its rotator names the key `{wrong}`, which spec.source.generate of the ManagedSecret does not make anew"
    ))
}
