//! The headers under which a record is sealed: what the record is, and where it is stored. Must name every
//! fact that tells one record from another, and none that a rewrap changes.

use strongroom_model::id::{KeyId, NamespaceId, SecretId, StoreId};

/// A record that is sealed under the keyring, and its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context<'a> {
    /// A namespace's record.
    Namespace(&'a NamespaceId),
    /// A secret's head at one of its revisions.
    Head {
        /// Whose head it is.
        secret: &'a SecretId,
        /// Counts changes of the head.
        revision: u64,
    },
    /// An encryption key's record.
    Key {
        /// Where the key belongs.
        namespace: &'a NamespaceId,
        /// Which key of that namespace.
        key: &'a KeyId,
    },
    /// A store-wide fact under its fixed name.
    Meta(&'a str),
    /// A cursor under its name.
    Cursor(&'a str),
    /// An access policy in force, under the index of what the outside calls it.
    Policy(&'a [u8; 32]),
    /// What an outside object declares, under the index of the object.
    Declaration(&'a [u8; 32]),
    /// Who wrote or deleted an outside object, under the index of that.
    Attestation(&'a [u8; 32]),
    /// A product as it was last seen, under the index of its code.
    Product(&'a [u8; 32]),
    /// An entry of an audit chain.
    Audit {
        /// 1: mutations, 2: reads.
        chain: u8,
        /// The writer's epoch.
        epoch: u32,
        /// The entry's number.
        sequence: u64,
        /// The chain's hash before this entry.
        previous: &'a [u8; 32],
    },
    /// One part of a backup.
    Backup {
        /// Random, chosen when the backup begins.
        backup: &'a [u8; 16],
        /// The part's number.
        part: u64,
        /// Whether it is the last one.
        last: bool,
    },
}

impl Context<'_> {
    /// The headers, each a vector of its own, for as long as `then` runs; the nonce comes after them.
    pub(super) fn headers<T>(&self, store: &StoreId, then: impl FnOnce(&[&[u8]]) -> T) -> T {
        let store = store.as_bytes();
        match self {
            Self::Namespace(namespace) => then(&[b"sr/namespace/1", store, namespace.as_bytes()]),
            Self::Head { secret, revision } => {
                then(&[b"sr/head/1", store, secret.as_bytes(), &revision.to_be_bytes()])
            }
            Self::Key { namespace, key } => then(&[b"sr/key/1", store, namespace.as_bytes(), key.as_bytes()]),
            Self::Meta(name) => then(&[b"sr/meta/1", store, name.as_bytes()]),
            Self::Cursor(name) => then(&[b"sr/cursor/1", store, name.as_bytes()]),
            Self::Policy(index) => then(&[b"sr/policy/1", store, *index]),
            Self::Declaration(index) => then(&[b"sr/declaration/1", store, *index]),
            Self::Attestation(index) => then(&[b"sr/attestation/1", store, *index]),
            Self::Product(index) => then(&[b"sr/product/1", store, *index]),
            Self::Audit {
                chain,
                epoch,
                sequence,
                previous,
            } => then(&[
                b"sr/audit/1",
                store,
                &[*chain],
                &epoch.to_be_bytes(),
                &sequence.to_be_bytes(),
                *previous,
            ]),
            Self::Backup { backup, part, last } => then(&[
                b"sr/backup/1",
                store,
                *backup,
                &part.to_be_bytes(),
                &[u8::from(*last)],
            ]),
        }
    }
}
