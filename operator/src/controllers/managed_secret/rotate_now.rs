//! Rotations that people ask for by the annotation `strongroom.dev/rotate-now`: which is to be done, and
//! which was.

use jiff::Timestamp;
use kube::ResourceExt;
use strongroom_crds::annotation;
use strongroom_rules::cause::Cause;
use strongroom_rules::managed_secret::facts::RotateNow;
use strongroom_store::vault::SecretView;

use super::labels::{self, RotationRequester};
use super::observe::ObservedSecret;
use crate::controllers::{Ctx, rotation_schedule};

/// The schedule that covers the object, and the rotation that somebody asks for and that was not done yet.
///
/// People ask by an annotation on the object or on its schedule. What was done is recorded in labels of the
/// stored secret, and by the version that came of it, in one commit. The label goes with the annotation, so
/// that the same text later is told from the one that stayed. What was asked before the secret existed is
/// done: its value is as new as can be.
pub(super) fn observe(ctx: &Ctx, observed: &mut ObservedSecret, now: Timestamp) {
    let covered = rotation_schedule::cover(&ctx.cluster, &observed.object, observed.view.as_ref(), now);
    observed.facts.rotation = covered.coverage;
    observed.rotated_keys = covered.keys;
    let Ok(wanted) = &mut observed.facts.wanted else {
        return;
    };
    let view = observed.view.as_ref();
    if let Some(view) = view {
        labels::keep_former_natives(&mut wanted.labels, &view.labels);
    }
    let of_object = observed.object.annotations().get(annotation::ROTATE_NOW).cloned();
    let askers = [
        (RotationRequester::Object, Some(of_object)),
        (RotationRequester::Schedule, covered.rotate_now),
    ];
    for (asker, asked) in askers {
        // Whether a schedule asks is not known where none counts.
        let asked = asked.map(|asked| asked.filter(|asked| !asked.is_empty()));
        let Some(view) = view else {
            if let Some(asked) = asked.flatten() {
                labels::record_rotation(&mut wanted.labels, asker, &asked);
            }
            continue;
        };
        let Some(asked) = asked else {
            labels::keep_recorded_rotation(&mut wanted.labels, &view.labels, asker);
            continue;
        };
        let Some(asked) = asked else { continue };
        let cause = Cause::Now {
            annotation: asked.clone(),
        };
        let version = cause.version_id(view.id.as_bytes());
        labels::keep_recorded_rotation(&mut wanted.labels, &view.labels, asker);
        let rotate_now = &mut observed.facts.object.rotate_now;
        if labels::is_rotation_recorded(&view.labels, asker, &asked) {
            if view.has_version(&version) && *rotate_now == RotateNow::Nothing {
                *rotate_now = RotateNow::Done { version };
            }
        } else if let Some(version) = done_before(view, asker, &asked) {
            if !matches!(rotate_now, RotateNow::Asked(_)) {
                *rotate_now = RotateNow::DoneBefore { version };
            }
        } else {
            match rotate_now {
                RotateNow::Asked(other) if *other != asked => {}
                _ => {
                    *rotate_now = RotateNow::Asked(asked);
                    observed.askers.push(asker);
                }
            }
        }
    }
}

/// The version for which a text was used before, where it is not what this asker asked for last: it is not
/// carried out again.
fn done_before(view: &SecretView, asker: RotationRequester, asked: &str) -> Option<String> {
    let cause = Cause::Now {
        annotation: asked.to_owned(),
    };
    let version = cause.version_id(view.id.as_bytes());
    (view.has_version(&version) && !labels::is_rotation_recorded(&view.labels, asker, asked))
        .then_some(version)
}

/// As a schedule asks it: the version of this secret for which the text was used before.
pub(crate) fn schedule_repeats(view: &SecretView, asked: Option<&String>) -> Option<String> {
    let asked = asked.filter(|asked| !asked.is_empty())?;
    done_before(view, RotationRequester::Schedule, asked)
}
