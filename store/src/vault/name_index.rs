//! Names of secrets by namespace. The file shows none, so that a list needs them in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::RwLock;
use strongroom_model::id::{NamespaceId, SecretId};
use strongroom_model::name::SecretName;

use super::commit_changes::CommitChanges;
use super::heads::{each_head, open_head};
use super::open_error::OpenError;
use super::view::View;
use crate::crypto::Keyring;
use crate::engine::{Snapshot, Table};

type Names = BTreeMap<(NamespaceId, SecretName), SecretId>;

/// The secrets that there are, in order of their names.
pub(super) struct NameIndex(RwLock<Names>);

impl NameIndex {
    /// The index of a store that is opened.
    pub(super) fn load(keyring: &Keyring, snapshot: &dyn Snapshot) -> Result<Self, OpenError> {
        read_names(keyring, snapshot).map(RwLock::new).map(Self)
    }

    /// All was read anew.
    pub(super) fn reload(&self, keyring: &Keyring, snapshot: &dyn Snapshot) -> Result<(), OpenError> {
        let names = read_names(keyring, snapshot)?;
        *self.0.write() = names;
        Ok(())
    }

    /// How many secrets there are.
    pub(super) fn count(&self) -> usize {
        self.0.read().len()
    }

    /// Ids of secrets in order of their names: of one namespace or of all, after `after`, at most `limit`.
    pub(super) fn ids(
        &self,
        namespace: Option<NamespaceId>,
        after: Option<&(NamespaceId, SecretName)>,
        limit: usize,
    ) -> Vec<SecretId> {
        let names = self.0.read();
        let start = after.map_or(Bound::Unbounded, |place| Bound::Excluded(place.clone()));
        names
            .range((start, Bound::Unbounded))
            .skip_while(|((of, _), _)| namespace.is_some_and(|wanted| *of < wanted))
            .take_while(|((of, _), _)| namespace.is_none_or(|wanted| *of == wanted))
            .take(limit)
            .map(|(_, id)| *id)
            .collect()
    }

    /// A commit happened: heads came and went.
    pub(super) fn absorb(&self, keyring: &Keyring, commit: &CommitChanges<'_>) {
        let place = |id: &SecretId, bytes: &[u8]| {
            let head = open_head(keyring, id, bytes).ok()?;
            Some((head.namespace, head.name))
        };
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for row in commit.rows().filter(|row| row.table == Table::Head) {
            let Ok(id) = <[u8; 16]>::try_from(row.key).map(SecretId::from_bytes) else {
                continue;
            };
            match (row.before, row.after) {
                (None, Some(new)) => come.extend(place(&id, new).map(|place| (place, id))),
                (Some(old), None) => gone.extend(place(&id, old)),
                (None, None) | (Some(_), Some(_)) => {}
            }
        }
        let mut names = self.0.write();
        // A name that was freed and taken again in one group must end up taken.
        for place in gone {
            names.remove(&place);
        }
        names.extend(come);
    }
}

/// The index of names, from the heads. The first is also looked up through the index on disk: under another
/// index key it would not be found, and no other either. That no row was changed, the digest has shown.
fn read_names(keyring: &Keyring, snapshot: &dyn Snapshot) -> Result<Names, OpenError> {
    let mut names = Names::new();
    each_head(keyring, snapshot, |head, _| {
        names.insert((head.namespace, head.name), head.id);
    })?;
    let view = View::new(keyring, snapshot);
    if let Some(((namespace, name), id)) = names.iter().next()
        && view.secret_named(namespace, name)?.map(|head| head.id) != Some(*id)
    {
        return Err(OpenError::Tampered);
    }
    Ok(names)
}
