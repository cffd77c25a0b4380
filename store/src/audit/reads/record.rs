//! One record of the read chain, as bytes.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | mark `SRRD` |
//! | 4 | length of the payload, at most 8 KiB |
//! | 1 | kind: 1 entry, 2 checkpoint, 3 open, 4 gap, 5 close |
//! | 4 | epoch of the writer |
//! | 8 | sequence |
//! | 8 | the last sequence that was fsynced when this was written |
//! | 32 | the chain's hash before this record |
//! | n | payload: a sealed entry, or the 80 bytes of a signed mark |
//! | 32 | the chain's hash after this record: SHA-256 over a label, the store's id, the chain and all bytes above |
//!
//! | bytes | field of a signed mark |
//! |---|---|
//! | 8 | time, milliseconds since the Unix epoch |
//! | 8 | the first sequence that may be missing; 0 but for a gap |
//! | 64 | Ed25519 over a label, the store's id, kind, epoch, sequence, the hash before, and the two fields above |
//!
//! A record stands for itself: its own hash tells whether its bytes are whole, the hash before tells whether
//! it is in its place. Must not know of files or segments.

use sha2::{Digest, Sha256};
use strongroom_model::id::StoreId;
use strongroom_model::time::Timestamp;

use super::super::{Entry, READ_CHAIN, ReadHead};
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::{Context, CryptoError, Keyring, PublicKey, Signer};

/// Starts every record.
pub(in crate::audit) const RECORD_MAGIC: [u8; 4] = *b"SRRD";
/// Bytes before the payload.
const PREFIX_BYTES: usize = 4 + 4 + 1 + 4 + 8 + 8 + HASH_BYTES;
const HASH_BYTES: usize = 32;
/// Bytes of a record that are not its payload.
pub(in crate::audit) const OVERHEAD_BYTES: usize = PREFIX_BYTES + HASH_BYTES;
const SIGNED_MARK_PAYLOAD_BYTES: usize = 8 + 8 + 64;
/// Bytes of a whole signed mark.
pub(in crate::audit) const SIGNED_MARK_BYTES: usize = OVERHEAD_BYTES + SIGNED_MARK_PAYLOAD_BYTES;
/// Most bytes of a payload.
const MAX_PAYLOAD_BYTES: usize = 8 * 1_024;
/// Most bytes of a record.
pub(in crate::audit) const MAX_RECORD_BYTES: usize = OVERHEAD_BYTES + MAX_PAYLOAD_BYTES;

/// What the log writes: entries, and its own marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::audit) enum RecordKind {
    /// A read or a refusal.
    Entry,
    /// A signed head.
    Checkpoint,
    /// The log was opened after a clean end.
    Open,
    /// The log was opened after an unclean end: records may be missing.
    Gap,
    /// A clean end.
    Close,
}

impl RecordKind {
    pub(in crate::audit) const fn code(self) -> u8 {
        match self {
            Self::Entry => 1,
            Self::Checkpoint => 2,
            Self::Open => 3,
            Self::Gap => 4,
            Self::Close => 5,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Entry),
            2 => Some(Self::Checkpoint),
            3 => Some(Self::Open),
            4 => Some(Self::Gap),
            5 => Some(Self::Close),
            _ => None,
        }
    }

    /// Whether records of this kind are signed.
    pub(in crate::audit) const fn is_signed(self) -> bool {
        !matches!(self, Self::Entry)
    }
}

/// Where a record stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::audit) struct RecordPosition {
    pub(in crate::audit) epoch: u32,
    pub(in crate::audit) sequence: u64,
    /// The last sequence that was fsynced when the record was written.
    pub(in crate::audit) synced: u64,
    pub(in crate::audit) previous: [u8; 32],
}

/// A record whose own hash holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::audit) struct ReadRecord {
    pub(in crate::audit) kind: RecordKind,
    pub(in crate::audit) place: RecordPosition,
    pub(in crate::audit) payload: Vec<u8>,
    pub(in crate::audit) hash: [u8; 32],
}

/// Bytes that are no whole record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::audit) enum RecordDecodeError {
    /// There is no mark.
    Absent,
    /// There is a mark, and its record is cut off or changed.
    Broken,
    /// A whole record of a kind that this version does not know.
    UnknownKind(u8),
}

impl ReadRecord {
    /// A record with its hash.
    pub(in crate::audit) fn new(
        store: &StoreId,
        kind: RecordKind,
        place: RecordPosition,
        payload: Vec<u8>,
    ) -> Self {
        let hash = hash(store, &before_hash(kind.code(), &place, &payload));
        Self {
            kind,
            place,
            payload,
            hash,
        }
    }

    /// The bytes of a record with its hash, and the chain's end after it: of one that is written and not
    /// looked at.
    pub(in crate::audit) fn encoded(
        store: &StoreId,
        kind: RecordKind,
        place: &RecordPosition,
        payload: &[u8],
    ) -> (Vec<u8>, ReadHead) {
        let mut bytes = before_hash(kind.code(), place, payload);
        let hash = hash(store, &bytes);
        bytes.extend_from_slice(&hash);
        let sequence = place.sequence;
        (bytes, ReadHead { sequence, hash })
    }

    /// The chain's end after this record.
    pub(in crate::audit) const fn head(&self) -> ReadHead {
        ReadHead {
            sequence: self.place.sequence,
            hash: self.hash,
        }
    }

    pub(in crate::audit) fn encode(&self) -> Vec<u8> {
        let mut bytes = before_hash(self.kind.code(), &self.place, &self.payload);
        bytes.extend_from_slice(&self.hash);
        bytes
    }

    /// Reads the record at the start of `bytes`; also how many bytes it has.
    pub(in crate::audit) fn decode(
        store: &StoreId,
        bytes: &[u8],
    ) -> Result<(Self, usize), RecordDecodeError> {
        let rest = bytes
            .strip_prefix(&RECORD_MAGIC)
            .ok_or(RecordDecodeError::Absent)?;
        let (code, place, payload, stored, length) = fields(rest).map_err(|_| RecordDecodeError::Broken)?;
        let covered = bytes
            .get(..length - HASH_BYTES)
            .ok_or(RecordDecodeError::Broken)?;
        if hash(store, covered) != stored {
            return Err(RecordDecodeError::Broken);
        }
        let kind = RecordKind::from_code(code).ok_or(RecordDecodeError::UnknownKind(code))?;
        if kind.is_signed() && payload.len() != SIGNED_MARK_PAYLOAD_BYTES {
            return Err(RecordDecodeError::Broken);
        }
        let record = Self {
            kind,
            place,
            payload: payload.to_vec(),
            hash: stored,
        };
        Ok((record, length))
    }

    /// What is in an entry.
    ///
    /// # Errors
    /// [`CryptoError::Forged`] where no holder of the key wrote it here.
    pub(in crate::audit) fn open(&self, keyring: &Keyring) -> Result<Entry, CryptoError> {
        let bytes = keyring.open(&context(&self.place), &self.payload)?;
        Entry::decode(bytes.expose()).map_err(|_| CryptoError::Forged)
    }

    /// The same record behind `previous`, sealed or signed under another root key.
    ///
    /// # Errors
    /// [`CryptoError::Forged`] where no holder of the former key wrote it here.
    pub(in crate::audit) fn resealed(
        &self,
        from: &Keyring,
        to: &Keyring,
        previous: [u8; 32],
    ) -> Result<Self, CryptoError> {
        let place = RecordPosition {
            previous,
            ..self.place
        };
        let store = to.store();
        let payload = match self.mark() {
            Some(mark) => {
                let (time, missing_from) = (mark.time, mark.missing_from);
                SignedMark::sign(to.signer(), &store, self.kind, &place, time, missing_from).encode()
            }
            None => seal_entry(
                to,
                &place,
                from.open(&context(&self.place), &self.payload)?.expose(),
            )?,
        };
        Ok(Self::new(&store, self.kind, place, payload))
    }

    /// What a signed mark says; `None` for an entry.
    pub(in crate::audit) fn mark(&self) -> Option<SignedMark> {
        if self.kind.is_signed() {
            SignedMark::decode(&self.payload).ok()
        } else {
            None
        }
    }

    /// Whether this is a mark, signed by the holder of the key for this place.
    pub(in crate::audit) fn is_signed_by(&self, key: &PublicKey, store: &StoreId) -> bool {
        self.mark().is_some_and(|mark| {
            key.verifies(
                &message(store, self.kind, &self.place, mark.time, mark.missing_from),
                &mark.signature,
            )
        })
    }
}

type Fields<'a> = (u8, RecordPosition, &'a [u8], [u8; 32], usize);

/// The fields behind the mark, and the length of the whole record.
fn fields(rest: &[u8]) -> Result<Fields<'_>, DecodeError> {
    let mut r = Reader::new(rest);
    let length = usize::try_from(r.u32()?).map_err(|_| DecodeError::Short)?;
    if length > MAX_PAYLOAD_BYTES {
        return Err(DecodeError::Invalid("length"));
    }
    let code = r.u8()?;
    let place = RecordPosition {
        epoch: r.u32()?,
        sequence: r.u64()?,
        synced: r.u64()?,
        previous: r.array()?,
    };
    let from = rest.len() - r.remaining();
    let (payload, after) = rest
        .get(from..)
        .and_then(|rest| rest.split_at_checked(length))
        .ok_or(DecodeError::Short)?;
    let stored = Reader::new(after).array()?;
    Ok((code, place, payload, stored, OVERHEAD_BYTES + length))
}

/// Where the hash before a record stands in it.
#[cfg(any(test, feature = "test-util"))]
pub(in crate::audit) const PREVIOUS: std::ops::Range<usize> = PREFIX_BYTES - HASH_BYTES..PREFIX_BYTES;

/// The bytes of what may be a record, by its mark and its length alone, and those behind it.
#[cfg(any(test, feature = "test-util"))]
pub(in crate::audit) fn split(bytes: &mut [u8]) -> Option<(&mut [u8], &mut [u8])> {
    let mut r = Reader::new(bytes.strip_prefix(&RECORD_MAGIC)?);
    let length = usize::try_from(r.u32().ok()?).ok()?;
    bytes.split_at_mut_checked(length.checked_add(OVERHEAD_BYTES)?)
}

fn before_hash(code: u8, place: &RecordPosition, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(OVERHEAD_BYTES + payload.len());
    bytes.extend_from_slice(&RECORD_MAGIC);
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.push(code);
    bytes.extend_from_slice(&place.epoch.to_be_bytes());
    bytes.extend_from_slice(&place.sequence.to_be_bytes());
    bytes.extend_from_slice(&place.synced.to_be_bytes());
    bytes.extend_from_slice(&place.previous);
    bytes.extend_from_slice(payload);
    bytes
}

/// The chain's hash after a record of these bytes.
pub(in crate::audit) fn hash(store: &StoreId, covered: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"sr/chain/1")
        .chain_update(store.as_bytes())
        .chain_update([READ_CHAIN])
        .chain_update(covered)
        .finalize()
        .into()
}

const fn context(place: &RecordPosition) -> Context<'_> {
    Context::Audit {
        chain: READ_CHAIN,
        epoch: place.epoch,
        sequence: place.sequence,
        previous: &place.previous,
    }
}

/// The payload of an entry in its place.
///
/// # Errors
/// [`CryptoError::NoRandomness`].
pub(in crate::audit) fn seal_entry(
    keyring: &Keyring,
    place: &RecordPosition,
    plain: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    keyring.seal(&context(place), plain)
}

/// Bytes of the record of an entry whose canonical bytes are so many: a nonce and a synthetic IV come with
/// it.
pub(in crate::audit) const fn entry_record_size(plain: usize) -> usize {
    OVERHEAD_BYTES + 16 + 16 + plain
}

/// What a signed record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::audit) struct SignedMark {
    pub(in crate::audit) time: Timestamp,
    /// The first sequence that may be missing; 0: none.
    pub(in crate::audit) missing_from: u64,
    signature: [u8; 64],
}

impl SignedMark {
    pub(in crate::audit) fn sign(
        signer: &Signer,
        store: &StoreId,
        kind: RecordKind,
        place: &RecordPosition,
        time: Timestamp,
        missing_from: u64,
    ) -> Self {
        Self {
            time,
            missing_from,
            signature: signer.sign(&message(store, kind, place, time, missing_from)),
        }
    }

    pub(in crate::audit) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(SIGNED_MARK_PAYLOAD_BYTES);
        w.i64(self.time.as_millis())
            .u64(self.missing_from)
            .fixed(&self.signature);
        w.finish().to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let mark = Self {
            time: Timestamp::from_millis(r.i64()?),
            missing_from: r.u64()?,
            signature: r.array()?,
        };
        r.end()?;
        Ok(mark)
    }
}

fn message(
    store: &StoreId,
    kind: RecordKind,
    place: &RecordPosition,
    time: Timestamp,
    missing_from: u64,
) -> Vec<u8> {
    let mut w = Writer::with_capacity(128);
    w.fixed(b"sr/read-mark/1")
        .fixed(store.as_bytes())
        .u8(READ_CHAIN)
        .u8(kind.code())
        .u32(place.epoch)
        .u64(place.sequence)
        .u64(place.synced)
        .fixed(&place.previous)
        .i64(time.as_millis())
        .u64(missing_from);
    w.finish().to_vec()
}

#[cfg(test)]
mod tests;
