//! Records that are kept sealed under a blind index: access policies in force, what objects declare, and
//! attestations. Must not know what refers to them.

use std::ops::ControlFlow;

use super::error::StoreError;
use super::types::EnforcedPolicy;
use crate::codec::DecodeError;
use crate::crypto::{Context, Keyring};
use crate::engine::{Snapshot, Table};
use crate::format::{Attestation, Declaration};

/// A record whose key is a blind index of 32 bytes.
pub(crate) trait IndexedRecord: Sized {
    /// Where the records are.
    const TABLE: Table;
    /// What an error calls one of them.
    const NAME: &'static str;

    /// What binds a sealed record to its place.
    fn context(index: &[u8; 32]) -> Context<'_>;

    /// Reads the record.
    ///
    /// # Errors
    /// [`DecodeError`]: it is none.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError>;

    /// Opens the record that is kept under this index.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    fn open(keyring: &Keyring, index: &[u8; 32], sealed: &[u8]) -> Result<Self, StoreError> {
        let bytes = keyring
            .open(&Self::context(index), sealed)
            .map_err(|_| damaged::<Self>())?;
        Self::from_bytes(bytes.expose()).map_err(|_| damaged::<Self>())
    }

    /// Visits all of them with their indexes, or why one cannot be read.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn each(
        keyring: &Keyring,
        snapshot: &dyn Snapshot,
        mut visit: impl FnMut(Result<([u8; 32], Self), StoreError>),
    ) -> Result<(), StoreError> {
        snapshot.visit(Self::TABLE, &mut |key, sealed| {
            let index = <[u8; 32]>::try_from(key).map_err(|_| damaged::<Self>());
            visit(index.and_then(|index| Ok((index, Self::open(keyring, &index, sealed)?))));
            ControlFlow::Continue(())
        })?;
        Ok(())
    }
}

fn damaged<R: IndexedRecord>() -> StoreError {
    StoreError::Damaged {
        record: R::NAME.to_owned(),
    }
}

impl IndexedRecord for EnforcedPolicy {
    const TABLE: Table = Table::Policy;
    const NAME: &'static str = "an access policy in force";

    fn context(index: &[u8; 32]) -> Context<'_> {
        Context::Policy(index)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode(bytes)
    }
}

impl IndexedRecord for Declaration {
    const TABLE: Table = Table::Declaration;
    const NAME: &'static str = "what an object declares";

    fn context(index: &[u8; 32]) -> Context<'_> {
        Context::Declaration(index)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode(bytes)
    }
}

impl IndexedRecord for Attestation {
    const TABLE: Table = Table::Attestation;
    const NAME: &'static str = "who wrote an object";

    fn context(index: &[u8; 32]) -> Context<'_> {
        Context::Attestation(index)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode(bytes)
    }
}
