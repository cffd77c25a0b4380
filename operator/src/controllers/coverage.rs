//! Which schedule covers which `ManagedSecret`: one table a namespace, which the reconciles of both kinds
//! read.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use parking_lot::Mutex;
use strongroom_crds::v1alpha1::{ManagedSecret, RotationSchedule};
use strongroom_rules::rotation::{self, ClaimWinner, Coverage, CoverageTable, CoveringSchedule};
use strongroom_store::vault::SecretView;

use super::cached_object::CachedObject;
use crate::rotation::find_rotator;
use crate::store_handle::timestamp;

/// The schedules that the watch has seen, and who of them covers which of the `ManagedSecret`s.
pub(crate) struct CoverageIndex {
    /// Their labels are taken from here, so that a row is never older than what the watch said last.
    managed_secrets: Store<CachedObject<ManagedSecret>>,
    /// By namespace; only where there is a schedule.
    tables: Mutex<HashMap<String, CoverageTable>>,
}

/// A `ManagedSecret` that a schedule claims, and who covers it.
pub(crate) struct ClaimedSecret {
    pub(crate) cached: Arc<CachedObject<ManagedSecret>>,
    pub(crate) winner: ClaimWinner<Arc<RotationSchedule>>,
}

impl CoverageIndex {
    pub(crate) fn new(managed_secrets: Store<CachedObject<ManagedSecret>>) -> Self {
        Self {
            managed_secrets,
            tables: Mutex::default(),
        }
    }

    /// The schedules of a namespace.
    pub(crate) fn schedules(&self, namespace: &str) -> Vec<Arc<RotationSchedule>> {
        self.tables
            .lock()
            .get(namespace)
            .map(|table| table.schedules().cloned().collect())
            .unwrap_or_default()
    }

    /// Takes in a schedule.
    pub(crate) fn saw_schedule(&self, namespace: &str, schedule: Arc<RotationSchedule>) {
        self.tables
            .lock()
            .entry(namespace.to_owned())
            .or_default()
            .insert(schedule);
    }

    /// Forgets a schedule.
    pub(crate) fn lost_schedule(&self, namespace: &str, name: &str) {
        let mut tables = self.tables.lock();
        if let Some(table) = tables.get_mut(namespace) {
            table.retain(|own| own != name);
            if table.is_empty() {
                tables.remove(namespace);
            }
        }
    }

    /// Keeps only these schedules, each given by namespace and name: a complete list has come.
    pub(crate) fn keep_schedules(&self, keep: impl Fn(&str, &str) -> bool) {
        self.tables.lock().retain(|namespace, table| {
            table.retain(|name| keep(namespace, name));
            !table.is_empty()
        });
    }

    /// The cache says that a `ManagedSecret` has other labels, or is gone.
    pub(crate) fn forget_secret(&self, namespace: &str, name: &str) {
        if let Some(table) = self.tables.lock().get_mut(namespace) {
            table.forget_secret(name);
        }
    }

    /// The cache has taken in a complete list of the `ManagedSecret`s.
    pub(crate) fn forget_secrets(&self) {
        self.tables
            .lock()
            .values_mut()
            .for_each(CoverageTable::forget_secrets);
    }

    /// Who covers a `ManagedSecret` that is there.
    pub(crate) fn winner(&self, namespace: &str, name: &str) -> ClaimWinner<Arc<RotationSchedule>> {
        let mut tables = self.tables.lock();
        let object = ObjectRef::new(name).within(namespace);
        match (tables.get_mut(namespace), self.managed_secrets.get(&object)) {
            (Some(table), Some(cached)) => table.winner(name, cached.labels()),
            (None, _) | (_, None) => ClaimWinner::Nobody,
        }
    }

    /// The `ManagedSecret`s of its namespace that this schedule claims.
    pub(crate) fn claimed(&self, namespace: &str, schedule: &RotationSchedule) -> Vec<ClaimedSecret> {
        let claimed = self.managed_secrets.state_filter(|cached| {
            cached.namespace().as_deref() == Some(namespace)
                && rotation::claim(schedule, &cached.name_any(), cached.labels()).is_some()
        });
        let with_winner = |cached: Arc<CachedObject<ManagedSecret>>| ClaimedSecret {
            winner: self.winner(namespace, &cached.name_any()),
            cached,
        };
        claimed.into_iter().map(with_winner).collect()
    }
}

/// The coverage of `object`, whose secret is `stored`, in the terms of the rules.
pub(crate) fn coverage(
    winner: &ClaimWinner<Arc<RotationSchedule>>,
    object: &ManagedSecret,
    stored: Option<&SecretView>,
    now: Timestamp,
) -> Coverage {
    match winner {
        ClaimWinner::Nobody => Coverage::None,
        ClaimWinner::Conflict(names) => Coverage::Conflict(names.iter().cloned().collect()),
        ClaimWinner::One(schedule) => {
            let refusal =
                find_rotator(Some(&schedule.spec.rotator)).refusal(&schedule.name_any(), &object.spec);
            let stored = stored.map(|stored| (stored.id.as_bytes(), timestamp(stored.last_rotation())));
            Coverage::One(CoveringSchedule::new(schedule, refusal, stored, now))
        }
    }
}
