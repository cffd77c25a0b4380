//! Which schedule covers one `ManagedSecret`, when that is due, and which keys it makes again.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use strongroom_crds::annotation::ROTATE_NOW;
use strongroom_crds::v1alpha1::{ManagedSecret, RotationSchedule, Rotator};
use strongroom_rules::rotation_schedule::{
    ClaimWinner, Coverage, CoveringSchedule, RotationRefusal, claim, winner,
};
use strongroom_rules::schedule::{JitterSeed, Timetable};
use strongroom_rules::uid::Uid;
use strongroom_store::vault::SecretView;

use crate::controllers::cluster::ClusterCache;
use crate::store_handle::timestamp;

/// The schedule of one `ManagedSecret`.
pub(crate) struct ScheduleCoverage {
    /// In the terms of the rules.
    pub(crate) coverage: Coverage,
    /// The keys that its rotator names.
    pub(crate) keys: Option<Vec<String>>,
    /// Its annotation `strongroom.dev/rotate-now`, where one schedule counts.
    pub(crate) rotate_now: Option<Option<String>>,
}

/// Finds the schedule that covers `object`, whose secret is `view`.
pub(crate) fn cover(
    cluster: &ClusterCache,
    object: &ManagedSecret,
    view: Option<&SecretView>,
    now: Timestamp,
) -> ScheduleCoverage {
    let namespace = object.namespace().unwrap_or_default();
    let schedules = cluster.schedules(&namespace);
    let claims = schedules.iter().filter_map(|schedule| {
        let claim = claim(schedule, &object.name_any(), object.labels())?;
        Some((schedule.name_any(), claim, Arc::clone(schedule)))
    });
    let schedule = match winner(claims) {
        ClaimWinner::Nobody => {
            return ScheduleCoverage {
                coverage: Coverage::None,
                keys: None,
                rotate_now: None,
            };
        }
        ClaimWinner::Conflict(names) => {
            let coverage = Coverage::Conflict(names.into_iter().collect());
            return ScheduleCoverage {
                coverage,
                keys: None,
                rotate_now: None,
            };
        }
        ClaimWinner::One(schedule) => schedule,
    };
    let Rotator::Generate(rotator) = &schedule.spec.rotator;
    let suspended = schedule.spec.suspend.unwrap_or(false);
    let coverage = Coverage::One(CoveringSchedule {
        name: schedule.name_any(),
        uid: Uid::new(schedule.uid().unwrap_or_default()),
        suspended,
        refusal: RotationRefusal::by_schedule(&schedule, &object.spec),
        due: view.map_or(Ok(None), |view| due(&schedule, view, now)),
    });
    ScheduleCoverage {
        coverage,
        keys: rotator.keys.clone(),
        rotate_now: Some(schedule.annotations().get(ROTATE_NOW).cloned()),
    }
}

/// When the secret is due next under this schedule.
fn due(schedule: &RotationSchedule, view: &SecretView, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let uid = schedule.uid().unwrap_or_default();
    let who = JitterSeed {
        schedule_uid: &uid,
        secret_id: view.id.as_bytes(),
    };
    let last = timestamp(view.last_rotation());
    let timetable = Timetable::parse(&schedule.spec).map_err(|error| error.to_string())?;
    timetable
        .next_due(last, now, who)
        .map(Some)
        .map_err(|error| error.to_string())
}
