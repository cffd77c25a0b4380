//! The rotators: what `spec.rotator` of a RotationSchedule may name. One file each, and one row of
//! `registry`.
//!
//! When a secret rotates, and by which steps, `strongroom_rules::rotation` decides; a reconcile takes them.

mod generate;
mod registry;
mod rotator;

pub(crate) use self::registry::{default_rotator, find_rotator, refusal_on_request};
pub(crate) use self::rotator::Rotator;
