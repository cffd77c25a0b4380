//! The CAs that the store keeps, brought up to date whenever they are read.

use jiff::Timestamp;
use strongroom_store::vault::Store;

use super::TlsError;
use super::authority::Authorities;
use crate::own_secret::{OwnSecret, OwnSecretData, OwnSecretError};

/// Where the authorities are kept; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct CaStore(OwnSecret);

impl From<OwnSecretError> for TlsError {
    fn from(error: OwnSecretError) -> Self {
        Self::Store(error.to_string())
    }
}

impl CaStore {
    /// In the process's own namespace: its name and its UID.
    pub(in crate::gateway) fn new(store: Store, namespace: (String, String)) -> Self {
        let description = "the authority of the API's certificates";
        Self(OwnSecret::new(store, namespace, "strongroom!ca", description))
    }

    /// The CAs as they should be now, and whether they changed. Waits for the disk.
    ///
    /// # Errors
    /// [`TlsError::Store`], [`TlsError::Make`].
    pub(super) fn authorities(&self, now: Timestamp) -> Result<(Authorities, bool), TlsError> {
        let rekeyed = self.0.rekeyed();
        let next = |parts: &OwnSecretData| {
            let after = Authorities(OwnSecretData::clone(parts)).advance(now, rekeyed)?;
            Ok::<_, TlsError>(after.map(|after| after.0))
        };
        let (parts, changed) = self.0.advance(now, next)?;
        Ok((Authorities(parts), changed))
    }
}
