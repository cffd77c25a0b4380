//! What a sealed record is and where it stands: the headers under which it is sealed. Must name every fact that tells one
//! record from another, and none that a rewrap changes.

use crate::id::{KeyId, NamespaceId, SecretId, StoreId};

/// A record that is sealed under the keyring, and its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context<'a> {
    /// A namespace's record.
    Namespace(&'a NamespaceId),
    /// A secret's head at one of its revisions.
    Head {
        /// The secret.
        secret: &'a SecretId,
        /// Counts changes of the head.
        revision: u64,
    },
    /// An encryption key's record.
    Key {
        /// Where the key belongs.
        namespace: &'a NamespaceId,
        /// The key.
        key: &'a KeyId,
    },
    /// A store-wide fact under its fixed name.
    Meta(&'a str),
    /// A cursor under its name.
    Cursor(&'a str),
    /// An access policy in force, under the index of what the outside calls it.
    Policy(&'a [u8; 32]),
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
        /// The backup.
        backup: &'a [u8; 16],
        /// The part's number.
        part: u64,
        /// Whether it is the last one.
        last: bool,
    },
}

impl Context<'_> {
    /// The headers, each a vector of its own; the nonce comes after them.
    pub(super) fn headers(&self, store: &StoreId) -> Vec<Vec<u8>> {
        let mut headers = Vec::with_capacity(8);
        let mut with = |label: &str, fields: &[&[u8]]| {
            headers.push(label.as_bytes().to_vec());
            headers.push(store.as_bytes().to_vec());
            headers.extend(fields.iter().map(|field| field.to_vec()));
        };
        match self {
            Self::Namespace(namespace) => with("sr/namespace/1", &[namespace.as_bytes()]),
            Self::Head { secret, revision } => {
                with("sr/head/1", &[secret.as_bytes(), &revision.to_be_bytes()])
            }
            Self::Key { namespace, key } => with("sr/key/1", &[namespace.as_bytes(), key.as_bytes()]),
            Self::Meta(name) => with("sr/meta/1", &[name.as_bytes()]),
            Self::Cursor(name) => with("sr/cursor/1", &[name.as_bytes()]),
            Self::Policy(index) => with("sr/policy/1", &[*index]),
            Self::Audit {
                chain,
                epoch,
                sequence,
                previous,
            } => {
                with(
                    "sr/audit/1",
                    &[
                        &[*chain],
                        &epoch.to_be_bytes(),
                        &sequence.to_be_bytes(),
                        *previous,
                    ],
                );
            }
            Self::Backup { backup, part, last } => {
                with("sr/backup/1", &[*backup, &part.to_be_bytes(), &[u8::from(*last)]]);
            }
        }
        headers
    }
}
