//! A step of the plan together with the data that was read for it, so that the code that carries it out need
//! not check whether the data is there.

use strongroom_model::id::NamespaceId;
use strongroom_rules::encryption_key::KeyStep;
use strongroom_store::vault::KeyView;

use super::observe::ObservedKey;
use crate::store_handle::KeyChange;

/// A step that can be carried out.
pub(super) enum PreparedKeyStep<'a> {
    Nothing,
    BindNamespace,
    AcceptNamespace,
    Create(NamespaceId),
    Declare(&'a KeyView),
    Change(&'a KeyView, KeyChange),
}

/// The step with what was read; none where that lacks something, which the facts then said was there: a
/// defect here.
pub(super) fn prepare(observed: &ObservedKey, step: KeyStep) -> Option<PreparedKeyStep<'_>> {
    let key = observed.key.as_ref();
    Some(match step {
        KeyStep::Nothing => PreparedKeyStep::Nothing,
        KeyStep::BindNamespace => PreparedKeyStep::BindNamespace,
        KeyStep::AcceptNamespace => PreparedKeyStep::AcceptNamespace,
        KeyStep::Create => PreparedKeyStep::Create(observed.namespace?),
        KeyStep::Declare => PreparedKeyStep::Declare(key?),
        KeyStep::CancelDeletion => PreparedKeyStep::Change(key?, KeyChange::CancelDeletion),
        KeyStep::Enable => PreparedKeyStep::Change(key?, KeyChange::Enable),
        KeyStep::Disable => PreparedKeyStep::Change(key?, KeyChange::Disable),
        KeyStep::Rotate => PreparedKeyStep::Change(key?, KeyChange::NewVersion),
    })
}
