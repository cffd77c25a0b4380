//! What each rotator answers for.

use strongroom_crds::v1alpha1::{KeySource, ManagedSecretSpec, Rotator as RotatorSpec};
use strongroom_rules::rotation::RotationRefusal;

/// A way to make a new version: its settings, as a schedule has them, are what implements it.
pub(crate) trait Rotator: Sync {
    /// Why it makes nothing anew in a secret of this spec, if so; `schedule` is the name of the schedule that
    /// says so.
    fn refusal(&self, schedule: &str, spec: &ManagedSecretSpec) -> Option<RotationRefusal>;

    /// Whether it makes this key of `spec.source.generate` anew. All others keep their bytes.
    fn makes_anew(&self, key: &str, source: &KeySource) -> bool;

    /// What the API applies of it when it changes a schedule that has it: no more than it takes to say which
    /// one it is, so that the settings stay with whoever made them.
    fn applied(&self) -> RotatorSpec;
}
