//! The label of a Namespace whose deleted secrets have no recovery window.

use kube::{Resource, ResourceExt};

/// The label, and its value.
const RECOVERY_LABEL: (&str, &str) = ("strongroom.dev/recovery", "none");

/// Whether a Namespace says that nothing of it is kept when it is deleted.
pub(crate) fn keeps_nothing(namespace: &impl Resource) -> bool {
    let (label, none) = RECOVERY_LABEL;
    namespace.labels().get(label).is_some_and(|value| value == none)
}
