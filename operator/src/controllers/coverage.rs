//! Which schedule covers which `ManagedSecret`: one table a namespace, which the reconciles of both kinds
//! read.
//!
//! INVARIANT: a default secret is rotated by schedules that a manager of its product wrote. Nobody else's
//! rotates it, or keeps the product's from it.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use parking_lot::Mutex;
use strongroom_crds::v1alpha1::{ManagedSecret, RotationSchedule};
use strongroom_model::{PRODUCT_SEPARATOR, ProductCode};
use strongroom_rules::policy::Identity;
use strongroom_rules::product::ProductFacts;
use strongroom_rules::rotation::{self, ClaimWinner, Coverage, CoverageTable, CoveringSchedule};
use strongroom_store::vault::SecretView;

use super::Ctx;
use super::cached_object::CachedObject;
use super::failure::Failure;
use crate::rotation::find_rotator;
use crate::store_handle::timestamp;

/// The schedules that the watch has seen, and who of them covers which of the `ManagedSecret`s.
pub(crate) struct CoverageIndex {
    /// Their labels are taken from here, so that a row is never older than what the watch said last.
    managed_secrets: Store<CachedObject<ManagedSecret>>,
    /// By namespace; only where there is a schedule.
    tables: Mutex<HashMap<String, CoverageTable>>,
    /// Who wrote the schedules of namespaces with default secrets, by namespace and name.
    authors: Mutex<HashMap<(String, String), ScheduleAuthor>>,
}

/// Who wrote a schedule as it is in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ScheduleAuthor {
    /// `metadata.resourceVersion` of what is in the table.
    revision: Option<String>,
    /// By attestation; none: nobody attested it.
    identity: Option<Identity>,
}

impl CoverageIndex {
    pub(crate) fn new(managed_secrets: Store<CachedObject<ManagedSecret>>) -> Self {
        Self {
            managed_secrets,
            tables: Mutex::default(),
            authors: Mutex::default(),
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
        let place = (namespace.to_owned(), name.to_owned());
        self.authors.lock().remove(&place);
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
        let mut authors = self.authors.lock();
        authors.retain(|(namespace, name), _| keep(namespace, name));
    }

    /// Takes in who wrote a schedule. What was seen of it since then is by nobody yet. Answers whether that
    /// is news.
    pub(crate) fn note_author(
        &self,
        namespace: &str,
        written: &RotationSchedule,
        identity: Option<Identity>,
    ) -> bool {
        let name = written.name_any();
        let mut schedules = self.schedules(namespace).into_iter();
        let known = schedules.find(|known| {
            known.name_any() == name
                && known.uid() == written.uid()
                && known.spec == written.spec
                && known.annotations() == written.annotations()
        });
        let Some(known) = known else { return false };
        let author = ScheduleAuthor {
            revision: known.resource_version(),
            identity,
        };
        let place = (namespace.to_owned(), name);
        let before = self.authors.lock().insert(place, author.clone());
        before != Some(author)
    }

    /// Whether a manager of the product wrote the schedule as it is.
    fn is_by_manager(&self, namespace: &str, schedule: &RotationSchedule, product: &ProductFacts) -> bool {
        let place = (namespace.to_owned(), schedule.name_any());
        let authors = self.authors.lock();
        authors.get(&place).is_some_and(|author| {
            let is_manager = |identity| product.is_manager(identity);
            author.revision.is_some()
                && author.revision == schedule.resource_version()
                && author.identity.as_ref().is_some_and(is_manager)
        })
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
    pub(crate) fn claimed(
        &self,
        namespace: &str,
        schedule: &RotationSchedule,
    ) -> Vec<Arc<CachedObject<ManagedSecret>>> {
        self.managed_secrets.state_filter(|cached| {
            cached.namespace().as_deref() == Some(namespace)
                && rotation::claim(schedule, &cached.name_any(), cached.labels()).is_some()
        })
    }
}

/// The code of the product whose default secret the object declares; none: it declares an ordinary one.
pub(crate) fn product_code(object: &ManagedSecret) -> Option<&str> {
    let name = object.spec.store_name.as_deref()?;
    let (code, _) = name.split_once(PRODUCT_SEPARATOR)?;
    ProductCode::is_legal(code).then_some(code)
}

/// Who covers the secret that the object declares.
///
/// # Errors
/// [`Failure::NotLoaded`] for a default secret, until the products are loaded.
pub(crate) fn winner_for(
    ctx: &Ctx,
    namespace: &str,
    object: &ManagedSecret,
) -> Result<ClaimWinner<Arc<RotationSchedule>>, Failure> {
    let (index, name) = (&ctx.coverage, object.name_any());
    let Some(code) = product_code(object) else {
        return Ok(index.winner(namespace, &name));
    };
    let products = ctx.products.current();
    let products = products.map_err(|error| Failure::NotLoaded(error.to_string()))?;
    let Some(product) = products.product(code) else {
        return Ok(ClaimWinner::Nobody);
    };
    let schedules = index.schedules(namespace).into_iter();
    let theirs = schedules.filter(|schedule| index.is_by_manager(namespace, schedule, product));
    Ok(rotation::covering(theirs, &name, object.labels()))
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
