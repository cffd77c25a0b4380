//! The rotators, one row each.

use kube::ResourceExt;
use strongroom_crds::v1alpha1::{GenerateRotator, ManagedSecret, RotationSchedule, Rotator as RotatorSpec};
use strongroom_rules::rotation::{self, ClaimWinner, RotationRefusal};

use super::Rotator;

/// Of a secret that no schedule covers and that somebody asks to rotate: all keys that are not literals.
static WITHOUT_SCHEDULE: GenerateRotator = GenerateRotator { keys: None };

/// The rotator that the schedule of a secret names; without a schedule the one that needs none.
pub(crate) fn find_rotator(named: Option<&RotatorSpec>) -> &dyn Rotator {
    match named {
        None => &WITHOUT_SCHEDULE,
        Some(RotatorSpec::Generate(settings)) => settings,
    }
}

/// What a schedule says that is made for somebody who names no rotator.
pub(crate) fn default_rotator() -> RotatorSpec {
    find_rotator(None).applied()
}

/// Why a rotation that a person asks for is not carried out, given the schedules that count for
/// the secret.
pub(crate) fn refusal_on_request(
    object: &ManagedSecret,
    schedules: &[RotationSchedule],
) -> Option<RotationRefusal> {
    let schedule = match rotation::covering(schedules, &object.name_any(), object.labels()) {
        ClaimWinner::One(schedule) => Some(schedule),
        ClaimWinner::Nobody | ClaimWinner::Conflict(_) => None,
    };
    let by_rotator = schedule.and_then(|schedule| {
        find_rotator(Some(&schedule.spec.rotator)).refusal(&schedule.name_any(), &object.spec)
    });
    RotationRefusal::on_request(&object.spec, schedule, by_rotator)
}
