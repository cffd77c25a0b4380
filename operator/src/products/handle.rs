//! The directory in force, and when another one takes its place.

use std::sync::Arc;

use parking_lot::RwLock;
use strongroom_rules::product::ProductDirectory;
use tokio::sync::watch;

use super::sightings::ManagerSightings;

/// The products in force; cheap to clone.
///
/// A request takes one snapshot and decides all of its questions on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProductDirectoryHandle {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    current: RwLock<Option<Arc<ProductDirectory>>>,
    /// Counts the directories.
    changed: watch::Sender<u64>,
    sightings: ManagerSightings,
}

/// The lists that the directory is made of are not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the products are not loaded yet; try again in a moment")]
pub(crate) struct ProductsNotLoaded;

impl ProductDirectoryHandle {
    /// The products as they are now.
    ///
    /// # Errors
    /// [`ProductsNotLoaded`]: no directory was published since the process started.
    pub(crate) fn current(&self) -> Result<Arc<ProductDirectory>, ProductsNotLoaded> {
        self.inner.current.read().clone().ok_or(ProductsNotLoaded)
    }

    /// Says when the products may have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// When managers were last seen, which requests and objects tell.
    pub(crate) fn sightings(&self) -> &ManagerSightings {
        &self.inner.sightings
    }

    /// Puts a directory in force. Returns whether it differs from the one before.
    pub(crate) fn publish(&self, directory: ProductDirectory) -> bool {
        {
            let mut current = self.inner.current.write();
            if current.as_deref() == Some(&directory) {
                return false;
            }
            *current = Some(Arc::new(directory));
        }
        self.inner.changed.send_modify(|count| *count += 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_directory_before_the_first_and_the_same_again_is_no_change() {
        let products = ProductDirectoryHandle::default();
        let mut changes = products.changes();
        assert_eq!(products.current().unwrap_err(), ProductsNotLoaded);
        assert!(products.publish(ProductDirectory::default()));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!(*products.current().unwrap(), ProductDirectory::default());
        assert!(!products.publish(ProductDirectory::default()));
        assert!(!changes.has_changed().unwrap());
    }
}
