//! Records of the mutation chain.
//!
//! | where | bytes | field |
//! |---|---|---|
//! | key | 4 | epoch of the writer |
//! | key | 8 | sequence, from 1, without a gap across epochs |
//! | value | 1 | format 1 |
//! | value | 32 | the chain's hash before this record |
//! | value | 8 + 32 | the last fsynced place of the read chain: sequence, hash |
//! | value | rest | the entry, sealed |
//!
//! The chain's hash after a record is SHA-256 over a label, the store's id, the chain, the key and the whole
//! value: it covers the sealed bytes, so it verifies without any secret. Must not decide what is recorded;
//! callers do.

use sha2::{Digest, Sha256};
use strongroom_model::id::StoreId;
use strongroom_model::time::Timestamp;

use super::{Entry, ReadHead};
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::{Context, CryptoError, Keyring, PublicKey, Signer};

/// What the records of the mutation chain are numbered under.
pub(super) const MUTATION_CHAIN: u8 = 1;

const FORMAT: u8 = 1;

/// The end of the mutation chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainHead {
    /// The last record's number; 0: there is none.
    pub sequence: u64,
    /// The chain's hash after it.
    pub hash: [u8; 32],
}

impl ChainHead {
    pub(crate) fn encode(&self, w: &mut Writer) {
        w.u64(self.sequence).fixed(&self.hash);
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sequence: r.u64()?,
            hash: r.array()?,
        })
    }
}

/// The key of a record.
#[must_use]
pub fn encode_key(epoch: u32, sequence: u64) -> Vec<u8> {
    let mut key = epoch.to_be_bytes().to_vec();
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Epoch and sequence of a key.
///
/// # Errors
/// [`DecodeError`] where it is no key of this table.
pub fn decode_key(key: &[u8]) -> Result<(u32, u64), DecodeError> {
    let mut reader = Reader::new(key);
    let parts = (reader.u32()?, reader.u64()?);
    reader.end()?;
    Ok(parts)
}

/// A record as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MutationRecord {
    /// The writer's epoch.
    pub epoch: u32,
    /// Position in the chain, counted on over epochs.
    pub sequence: u64,
    /// The chain's hash before it.
    pub previous: [u8; 32],
    /// The read chain when it was written.
    pub reads: ReadHead,
    /// The sealed entry.
    pub sealed: Vec<u8>,
}

impl MutationRecord {
    /// The value of the record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(73 + self.sealed.len());
        writer.u8(FORMAT).fixed(&self.previous);
        self.reads.encode(&mut writer);
        writer.fixed(&self.sealed);
        writer.finish().to_vec()
    }

    /// Reads a stored record.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, DecodeError> {
        let (epoch, sequence) = decode_key(key)?;
        let mut reader = Reader::new(value);
        reader.format(FORMAT)?;
        let previous = reader.array()?;
        let reads = ReadHead::decode(&mut reader)?;
        let sealed = value
            .get(value.len() - reader.remaining()..)
            .unwrap_or_default()
            .to_vec();
        Ok(Self {
            epoch,
            sequence,
            previous,
            reads,
            sealed,
        })
    }

    /// The same record behind `previous`, sealed under another root key; what it saw of the read chain is
    /// there now.
    ///
    /// # Errors
    /// [`CryptoError::Forged`] where no holder of the former key wrote it here.
    pub(crate) fn resealed(
        &self,
        from: &Keyring,
        to: &Keyring,
        previous: [u8; 32],
        reads: ReadHead,
    ) -> Result<Self, CryptoError> {
        let bytes = from.open(&self.context(), &self.sealed)?;
        let mut resealed = Self {
            previous,
            reads,
            sealed: Vec::new(),
            ..*self
        };
        resealed.sealed = to.seal(&resealed.context(), bytes.expose())?;
        Ok(resealed)
    }

    /// Under what the entry is sealed.
    const fn context(&self) -> Context<'_> {
        Context::Audit {
            chain: MUTATION_CHAIN,
            epoch: self.epoch,
            sequence: self.sequence,
            previous: &self.previous,
        }
    }

    /// The chain's hash after this record.
    #[must_use]
    pub fn hash(&self, store: &StoreId) -> [u8; 32] {
        Sha256::new()
            .chain_update(b"sr/chain/1")
            .chain_update(store.as_bytes())
            .chain_update([MUTATION_CHAIN])
            .chain_update(encode_key(self.epoch, self.sequence))
            .chain_update(self.encode())
            .finalize()
            .into()
    }

    /// What is in it.
    ///
    /// # Errors
    /// [`CryptoError::Forged`] where it was changed; also where it opens and is no entry.
    pub fn open(&self, keyring: &Keyring) -> Result<Entry, CryptoError> {
        let bytes = keyring.open(&self.context(), &self.sealed)?;
        Entry::decode(bytes.expose()).map_err(|_| CryptoError::Forged)
    }
}

/// The record that follows `head`, and the head after it.
///
/// # Errors
/// [`CryptoError::NoRandomness`].
pub fn record(
    keyring: &Keyring,
    epoch: u32,
    head: ChainHead,
    reads: ReadHead,
    entry: &Entry,
) -> Result<(MutationRecord, ChainHead), CryptoError> {
    let sequence = head.sequence + 1;
    let context = Context::Audit {
        chain: MUTATION_CHAIN,
        epoch,
        sequence,
        previous: &head.hash,
    };
    let sealed = keyring.seal(&context, &entry.encode())?;
    let record = MutationRecord {
        epoch,
        sequence,
        previous: head.hash,
        reads,
        sealed,
    };
    let hash = record.hash(&keyring.store());
    Ok((record, ChainHead { sequence, hash }))
}

/// A signed head of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The end of the mutation chain that is signed.
    pub head: ChainHead,
    /// The read chain as the head's record saw it.
    pub reads: ReadHead,
    /// When it was signed.
    pub time: Timestamp,
    /// Ed25519 over all of it and the store's id.
    pub signature: [u8; 64],
}

impl Checkpoint {
    fn message(store: &StoreId, head: ChainHead, reads: ReadHead, time: Timestamp) -> Vec<u8> {
        let mut writer = Writer::with_capacity(128);
        writer
            .fixed(b"sr/checkpoint/1")
            .fixed(store.as_bytes())
            .u8(MUTATION_CHAIN);
        head.encode(&mut writer);
        reads.encode(&mut writer);
        writer.i64(time.as_millis());
        writer.finish().to_vec()
    }

    /// Signs a head.
    #[must_use]
    pub fn sign(signer: &Signer, store: &StoreId, head: ChainHead, reads: ReadHead, time: Timestamp) -> Self {
        let signature = signer.sign(&Self::message(store, head, reads, time));
        Self {
            head,
            reads,
            time,
            signature,
        }
    }

    /// Whether the signature holds.
    #[must_use]
    pub fn verifies(&self, key: &PublicKey, store: &StoreId) -> bool {
        key.verifies(
            &Self::message(store, self.head, self.reads, self.time),
            &self.signature,
        )
    }

    /// The bytes in the store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(160);
        writer.u8(FORMAT);
        self.head.encode(&mut writer);
        self.reads.encode(&mut writer);
        writer.i64(self.time.as_millis()).fixed(&self.signature);
        writer.finish().to_vec()
    }

    /// Reads the bytes in the store.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let checkpoint = Self {
            head: ChainHead::decode(&mut r)?,
            reads: ReadHead::decode(&mut r)?,
            time: Timestamp::from_millis(r.i64()?),
            signature: r.array()?,
        };
        r.end()?;
        Ok(checkpoint)
    }
}
