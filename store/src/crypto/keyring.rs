//! The keys that come from the root key, and what may be done with each. Key bytes never leave this file.

use std::fmt;

use strongroom_model::id::StoreId;
use strongroom_model::{SecretBytes, public_random};

use super::context::Context;
use super::locked::LockedBytes;
use super::material::{KeyMaterial, MaterialContext};
use super::root_key::RootKey;
use super::signing::{PublicKey, Signer};
use super::state_digest::{StateDigest, Term};
use super::{CryptoError, Siv, kdf};

/// Bytes of the random nonce in front of a sealed record.
const NONCE_BYTES: usize = 16;

/// What the key of marks is sealed under.
const MARKS: &str = "marks";

/// What a blind index is an index of: equal names of different kinds must not look alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexDomain {
    /// Namespaces by name.
    Namespace,
    /// Secrets by namespace and name.
    Secret,
    /// Encryption keys by namespace and name.
    Key,
    /// Cursors by name.
    Cursor,
    /// Access policies by what the outside calls them.
    Policy,
    /// Outside objects by what the outside calls them.
    Declaration,
    /// Changes of outside objects: by the object, whether it goes, and the mark of what it declares.
    Attestation,
    /// Products by their codes.
    Product,
    /// What an outside object declares, by the object and a digest.
    Mark,
}

impl IndexDomain {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Namespace => b"namespace",
            Self::Secret => b"secret",
            Self::Key => b"key",
            Self::Cursor => b"cursor",
            Self::Policy => b"policy",
            Self::Declaration => b"declaration",
            Self::Attestation => b"attestation",
            Self::Product => b"product",
            Self::Mark => b"mark",
        }
    }
}

/// The keys of one open store.
pub struct Keyring {
    store: StoreId,
    wrap: LockedBytes<64>,
    metadata: LockedBytes<64>,
    audit: LockedBytes<64>,
    backup: LockedBytes<64>,
    index: LockedBytes<32>,
    /// Of marks, which cannot be made anew: they outlive the root key that they were made under.
    marks: LockedBytes<32>,
    state: LockedBytes<32>,
    anchor: LockedBytes<32>,
    seal_file: LockedBytes<32>,
    signer: Signer,
}

impl Keyring {
    /// Derives the keys of `store`: HKDF-Expand of the root key with the label of each key and the store's
    /// id.
    #[must_use]
    pub fn derive(root: &RootKey, store: StoreId) -> Self {
        fn key<const N: usize>(root: &RootKey, store: StoreId, label: &[u8]) -> LockedBytes<N> {
            root.with(|seed| LockedBytes::new(&kdf::expand(seed, &[b"sr/root/1", label, store.as_bytes()])))
        }
        Self {
            store,
            wrap: key(root, store, b"wrap"),
            metadata: key(root, store, b"metadata"),
            audit: key(root, store, b"audit"),
            backup: key(root, store, b"backup"),
            index: key(root, store, b"index"),
            marks: key(root, store, b"index"),
            state: key(root, store, b"state"),
            anchor: key(root, store, b"anchor"),
            seal_file: key(root, store, b"seal-file"),
            signer: Signer::from_seed(key(root, store, b"audit-signing").expose()),
        }
    }

    /// The store whose keys these are.
    #[must_use]
    pub const fn store(&self) -> StoreId {
        self.store
    }

    fn key_of(&self, context: &Context<'_>) -> &[u8; 64] {
        match context {
            Context::Audit { .. } => self.audit.expose(),
            Context::Backup { .. } => self.backup.expose(),
            Context::Namespace(_)
            | Context::Head { .. }
            | Context::Key { .. }
            | Context::Meta(_)
            | Context::Cursor(_)
            | Context::Policy(_)
            | Context::Declaration(_)
            | Context::Attestation(_)
            | Context::Product(_) => self.metadata.expose(),
        }
    }

    /// Seals a record in its place: a random nonce of 16 bytes, then the synthetic IV and the ciphertext. The
    /// nonce is no secret, and where one came twice only equal records of one place would look alike.
    ///
    /// # Errors
    /// [`CryptoError::NoRandomness`].
    pub fn seal(&self, context: &Context<'_>, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let nonce = public_random::<NONCE_BYTES>().map_err(|_| CryptoError::NoRandomness)?;
        let sealed = context.headers(&self.store, |headers| {
            let vectors = headers.iter().copied().chain([nonce.as_slice()]);
            Siv::new(self.key_of(context)).seal(vectors, plaintext)
        })?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens a record that was sealed in this place.
    ///
    /// # Errors
    /// [`CryptoError::Forged`] where it was not.
    pub fn open(&self, context: &Context<'_>, sealed: &[u8]) -> Result<SecretBytes, CryptoError> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or(CryptoError::Forged)?;
        context.headers(&self.store, |headers| {
            let vectors = headers.iter().copied().chain([nonce]);
            Siv::new(self.key_of(context)).open(vectors, sealed)
        })
    }

    /// Wraps the material of an encryption key's version. Deterministic key wrap (RFC 5297 section 1.1): the
    /// material is random.
    ///
    /// # Errors
    /// None in practice; the cipher's limit is far above 64 bytes.
    pub fn wrap(&self, context: &MaterialContext, material: &KeyMaterial) -> Result<Vec<u8>, CryptoError> {
        context.headers(&self.store, |headers| {
            Siv::new(self.wrap.expose()).seal(headers, material.bytes())
        })
    }

    /// Unwraps the material of an encryption key's version.
    ///
    /// # Errors
    /// [`CryptoError::Forged`] where it was wrapped for another place or key.
    pub fn unwrap(&self, context: &MaterialContext, wrapped: &[u8]) -> Result<KeyMaterial, CryptoError> {
        let bytes = context.headers(&self.store, |headers| {
            Siv::new(self.wrap.expose()).open(headers, wrapped)
        })?;
        KeyMaterial::from_secret(&bytes)
    }

    /// A name's place in an index that does not show the name.
    #[must_use]
    pub fn blind_index(&self, domain: IndexDomain, parts: &[&[u8]]) -> [u8; 32] {
        let mut all = Vec::with_capacity(parts.len() + 1);
        all.push(domain.label());
        all.extend_from_slice(parts);
        let key = match domain {
            IndexDomain::Mark => &self.marks,
            IndexDomain::Namespace
            | IndexDomain::Secret
            | IndexDomain::Key
            | IndexDomain::Cursor
            | IndexDomain::Policy
            | IndexDomain::Declaration
            | IndexDomain::Attestation
            | IndexDomain::Product => &self.index,
        };
        kdf::mac(key.expose(), &all)
    }

    /// The key of another keyring's marks, sealed for a store of this one: an object is told from what it was
    /// by a mark, and of what is marked the store has nothing else.
    ///
    /// # Errors
    /// [`CryptoError::NoRandomness`].
    pub fn seal_marks(&self, of: &Self) -> Result<Vec<u8>, CryptoError> {
        self.seal(&Context::Meta(MARKS), of.marks.expose())
    }

    /// Makes marks with the key that was sealed, from now on.
    ///
    /// # Errors
    /// [`CryptoError::Forged`].
    pub fn adopt_marks(&mut self, sealed: &[u8]) -> Result<(), CryptoError> {
        let opened = self.open(&Context::Meta(MARKS), sealed)?;
        let key: &[u8; 32] = opened.expose().try_into().map_err(|_| CryptoError::Forged)?;
        self.marks = LockedBytes::new(key);
        Ok(())
    }

    /// A record's part of the state digest.
    #[must_use]
    pub fn record_term(&self, table: u8, key: &[u8], value: &[u8]) -> Term {
        Term::from_bytes(kdf::mac(self.state.expose(), &[&[table], key, value]))
    }

    /// What an anchor outside the store holds: it shows neither the digest nor the key.
    #[must_use]
    pub fn anchor_mac(&self, counter: u64, digest: &StateDigest) -> [u8; 32] {
        kdf::mac(
            self.anchor.expose(),
            &[self.store.as_bytes(), &counter.to_be_bytes(), &digest.to_bytes()],
        )
    }

    /// A digest of the seal file that only the root key's holder can make.
    #[must_use]
    pub fn seal_file_mac(&self, bytes: &[u8]) -> [u8; 32] {
        kdf::mac(self.seal_file.expose(), &[bytes])
    }

    /// Signs checkpoints of the audit chains.
    #[must_use]
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Verifies checkpoints of the audit chains; not a secret.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.signer.public_key()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
