//! A version's sealed value and its wrapped data key. They are two records, so that a rewrap rewrites the
//! small one alone.

use strongroom_model::id::{KeyId, SecretId};

use super::FORMAT;
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::SealedValue;

/// Key of a version's value and of its data key.
pub(crate) fn version_key(secret: &SecretId, sequence: u32) -> Vec<u8> {
    let mut key = secret.as_bytes().to_vec();
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Key of an encryption key version's material.
pub(crate) fn key_version_key(key: &KeyId, version: u32) -> Vec<u8> {
    let mut bytes = key.as_bytes().to_vec();
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes
}

/// A sealed value.
pub(crate) struct StoredVersion;

impl StoredVersion {
    /// Bytes of the row of a value with so many canonical bytes: key, format, commitment, and what is sealed
    /// (nonce and synthetic IV of 16 bytes each).
    pub(crate) fn row_bytes(plaintext: usize) -> u64 {
        u64::try_from(20 + 1 + 32 + 32 + plaintext).unwrap_or(u64::MAX)
    }

    pub(crate) fn encode(value: &SealedValue) -> Vec<u8> {
        let mut w = Writer::with_capacity(33 + value.sealed.len());
        w.u8(FORMAT).fixed(&value.commitment).fixed(&value.sealed);
        w.finish().to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SealedValue, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let commitment = r.array()?;
        let sealed = bytes
            .get(bytes.len() - r.remaining()..)
            .unwrap_or_default()
            .to_vec();
        Ok(SealedValue { commitment, sealed })
    }
}

/// A wrapped data key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StoredDataKey {
    pub(crate) key: KeyId,
    pub(crate) key_version: u32,
    pub(crate) wrapped: Vec<u8>,
}

impl StoredDataKey {
    /// Bytes of the row: key, format, key id and version, length, wrapped key.
    pub(crate) const ROW_BYTES: u64 = 20 + 1 + 16 + 4 + 4 + 48;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(80);
        w.u8(FORMAT)
            .fixed(self.key.as_bytes())
            .u32(self.key_version)
            .bytes(&self.wrapped);
        w.finish().to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let stored = Self {
            key: KeyId::from_bytes(r.array()?),
            key_version: r.u32()?,
            wrapped: r.bytes()?.to_vec(),
        };
        r.end()?;
        Ok(stored)
    }
}
