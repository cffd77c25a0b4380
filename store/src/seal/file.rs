//! The seal file.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic `SRSEAL\0` and format 1 |
//! | 16 | store id |
//! | 32 | key check: HKDF-Expand of the root key; proves the root key before anything else is opened with it |
//! | 4 | number of slots, 1 to 16 |
//! | each | id 8, kind 1, label (4 + n), cost 3 × 4 (memory in KiB, passes, lanes; zeros without passphrase), salt 32, wrapped root key 48 |
//! | 32 | SHA-256 of all before: finds rot; an attacker is found by the digest in the store |

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use strongroom_model::id::StoreId;
use subtle::ConstantTimeEq;

use super::SealError;
use super::owner::same_owner;
use super::slot::{Slot, SlotId, SlotInfo, SlotSecret};
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::{RootKey, kdf};

/// What follows the name of a file that waits for the switch to a new root key.
pub(crate) const REKEYED: &str = ".rekey-";

/// File name of the seal file, in the folder of `store.redb`.
pub const FILE_NAME: &str = "store.seal";

const MAGIC: [u8; 7] = *b"SRSEAL\0";
const FORMAT: u8 = 1;
const MAX_SLOTS: usize = 16;
/// More than 16 slots with the longest labels need.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The slots of one store.
#[derive(Clone, PartialEq, Eq)]
pub struct SealFile {
    store: StoreId,
    check: [u8; 32],
    slots: Vec<Slot>,
}

impl SealFile {
    /// The seal of a new store, with its first slot.
    ///
    /// # Errors
    /// [`SealError`] where the slot's key is not usable.
    pub fn new(store: StoreId, root: &RootKey, first: &SlotSecret, label: &str) -> Result<Self, SealError> {
        let slot = Slot::seal(store, root, first, label)?;
        Ok(Self {
            store,
            check: key_check(root, store),
            slots: vec![slot],
        })
    }

    /// Reads the seal file of the store in `dir`.
    ///
    /// # Errors
    /// [`SealError::Missing`], [`SealError::Damaged`], [`SealError::UnknownFormat`].
    pub fn load(dir: &Path) -> Result<Self, SealError> {
        let path = dir.join(FILE_NAME);
        match File::open(&path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
                Self::decode(&bytes)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(SealError::Missing(path.display().to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the seal file in `dir`: at every instant there is a whole old one or a whole new one.
    ///
    /// # Errors
    /// What the operating system says; then the old file stands.
    pub fn write(&self, dir: &Path) -> Result<(), SealError> {
        let temporary = dir.join("store.seal.new");
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&self.encode())?;
        let place = dir.join(FILE_NAME);
        if place.exists() {
            same_owner(&place, &temporary)?;
        }
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, place)?;
        // IMPORTANT: the rename is durable only once the directory is.
        File::open(dir)?.sync_all()?;
        Ok(())
    }

    /// The store that this seals.
    #[must_use]
    pub const fn store(&self) -> StoreId {
        self.store
    }

    /// Where a file or folder of the store is: also between the switch to a new root key, which is the write
    /// of this file, and the renames that end it.
    pub(crate) fn locate(&self, dir: &Path, name: &str) -> PathBuf {
        let rekeyed = self.rekeyed_path(dir, name);
        if rekeyed.exists() { rekeyed } else { dir.join(name) }
    }

    /// Where a file or folder is made that comes into force with this seal file. No other seal file has the
    /// same: salts and ids of slots are random.
    pub(crate) fn rekeyed_path(&self, dir: &Path, name: &str) -> PathBuf {
        let digest = Sha256::digest(self.encode());
        let tag = HEXLOWER.encode(digest.get(..8).unwrap_or_default());
        dir.join(format!("{name}{REKEYED}{tag}"))
    }

    /// What may be shown of the slots.
    #[must_use]
    pub fn slots(&self) -> Vec<SlotInfo> {
        self.slots.iter().map(Slot::info).collect()
    }

    /// The root key, proven by the key check.
    ///
    /// # Errors
    /// [`SealError::NoSuchSlot`], [`SealError::WrongKey`].
    pub fn unlock(&self, secret: &SlotSecret) -> Result<RootKey, SealError> {
        self.open(secret).map(|(root, _)| root)
    }

    /// The slot that this key opens; none where it opens none.
    ///
    /// # Errors
    /// What makes it no key at all, such as its length.
    pub fn opened_by(&self, secret: &SlotSecret) -> Result<Option<SlotInfo>, SealError> {
        match self.open(secret) {
            Ok((_, slot)) => Ok(Some(slot.info())),
            Err(SealError::NoSuchSlot(_) | SealError::WrongKey(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    fn open(&self, secret: &SlotSecret) -> Result<(RootKey, &Slot), SealError> {
        let mut of_kind = self
            .slots
            .iter()
            .filter(|slot| slot.kind == secret.kind())
            .peekable();
        if of_kind.peek().is_none() {
            return Err(SealError::NoSuchSlot(secret.kind()));
        }
        for slot in of_kind {
            match slot.open(self.store, secret) {
                Ok(root) if self.proves(&root) => return Ok((root, slot)),
                Ok(_) | Err(SealError::WrongKey(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Err(SealError::WrongKey(secret.kind()))
    }

    /// Whether this is the root key that the file was made with.
    #[must_use]
    pub fn proves(&self, root: &RootKey) -> bool {
        key_check(root, self.store).ct_eq(&self.check).into()
    }

    /// Adds a way to open the store. Takes effect with [`SealFile::write`].
    ///
    /// # Errors
    /// [`SealError::TooManySlots`]; [`SealError::WrongKey`] where `root` is not this store's.
    pub fn add_slot(
        &mut self,
        root: &RootKey,
        secret: &SlotSecret,
        label: &str,
    ) -> Result<SlotId, SealError> {
        if !self.proves(root) {
            return Err(SealError::WrongKey(secret.kind()));
        }
        if self.slots.len() >= MAX_SLOTS {
            return Err(SealError::TooManySlots);
        }
        let slot = Slot::seal(self.store, root, secret, label)?;
        let id = slot.id;
        self.slots.push(slot);
        Ok(id)
    }

    /// Removes a way to open the store. Takes effect with [`SealFile::write`].
    ///
    /// # Errors
    /// [`SealError::UnknownSlot`], [`SealError::LastSlot`].
    pub fn remove_slot(&mut self, id: SlotId) -> Result<(), SealError> {
        let index = self
            .slots
            .iter()
            .position(|slot| slot.id == id)
            .ok_or(SealError::UnknownSlot(id))?;
        if self.slots.len() == 1 {
            return Err(SealError::LastSlot);
        }
        self.slots.remove(index);
        Ok(())
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .fixed(&MAGIC)
            .u8(FORMAT)
            .fixed(self.store.as_bytes())
            .fixed(&self.check)
            .list(self.slots.iter(), |w, slot| slot.encode(w));
        let mut bytes = writer.finish().to_vec();
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        bytes
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// [`SealError::Damaged`], [`SealError::UnknownFormat`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(SealError::Damaged("it is too long"));
        }
        let split = bytes
            .len()
            .checked_sub(32)
            .ok_or(SealError::Damaged("it ends too early"))?;
        let (body, digest) = bytes
            .split_at_checked(split)
            .ok_or(SealError::Damaged("it ends too early"))?;
        let mut reader = Reader::new(body);
        if reader.array::<7>()? != MAGIC {
            return Err(SealError::Damaged("it is no seal file"));
        }
        let format = reader.u8()?;
        if *Sha256::digest(body) != *digest {
            return Err(SealError::Damaged("its checksum does not hold"));
        }
        if format != FORMAT {
            return Err(SealError::UnknownFormat(format));
        }
        let store = StoreId::from_bytes(reader.array()?);
        let check = reader.array()?;
        let slots = reader.list(Slot::decode)?;
        reader.end()?;
        if slots.is_empty() || slots.len() > MAX_SLOTS {
            return Err(DecodeError::Invalid("number of slots").into());
        }
        Ok(Self { store, check, slots })
    }
}

/// Shows no wrapped key and no key check.
impl fmt::Debug for SealFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealFile")
            .field("store", &self.store)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

fn key_check(root: &RootKey, store: StoreId) -> [u8; 32] {
    *root.with(|seed| kdf::expand::<32>(seed, &[b"sr/key-check/1", store.as_bytes()]))
}
