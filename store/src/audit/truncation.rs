//! What was cut off the old end of the audit log, signed. It stands in the store, one for both chains: where
//! each begins is one fact.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | format 1 |
//! | 8 + 32 | the last record of the mutation chain that was cut: sequence, hash; 0: none |
//! | 8 + 32 | the last record of the read chain that was cut: sequence, hash; 0: none |
//! | 8 | time, milliseconds since the Unix epoch |
//! | 64 | Ed25519 over a label, the store's id, each chain with its place, and the time |
//!
//! It is written before the first record goes, and records go oldest first. So what is left is always the end
//! of a chain that runs through the place that was signed, or begins right behind it. Must not decide what is
//! cut.

use strongroom_model::id::StoreId;
use strongroom_model::time::Timestamp;

use super::{ChainHead, MUTATION_CHAIN, READ_CHAIN, ReadHead};
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::{PublicKey, Signer};

const FORMAT: u8 = 1;

/// Places up to which the chains were cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cut {
    /// Of the mutation chain: the last record that is gone.
    pub changes: ChainHead,
    /// Of the read chain: the last record that is gone.
    pub reads: ReadHead,
}

/// A signed cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Truncation {
    /// Up to where.
    pub cut: Cut,
    /// When it was signed.
    pub time: Timestamp,
    /// Ed25519 over both and the store's id.
    pub signature: [u8; 64],
}

impl Truncation {
    fn message(store: &StoreId, cut: &Cut, time: Timestamp) -> Vec<u8> {
        let mut w = Writer::with_capacity(128);
        w.fixed(b"sr/truncation/1")
            .fixed(store.as_bytes())
            .u8(MUTATION_CHAIN);
        cut.changes.encode(&mut w);
        w.u8(READ_CHAIN);
        cut.reads.encode(&mut w);
        w.i64(time.as_millis());
        w.finish().to_vec()
    }

    /// Signs a cut.
    #[must_use]
    pub fn sign(signer: &Signer, store: &StoreId, cut: Cut, time: Timestamp) -> Self {
        Self {
            cut,
            time,
            signature: signer.sign(&Self::message(store, &cut, time)),
        }
    }

    /// Whether the signature holds.
    #[must_use]
    pub fn verifies(&self, key: &PublicKey, store: &StoreId) -> bool {
        key.verifies(&Self::message(store, &self.cut, self.time), &self.signature)
    }

    /// The bytes in the store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(160);
        w.u8(FORMAT);
        self.cut.changes.encode(&mut w);
        self.cut.reads.encode(&mut w);
        w.i64(self.time.as_millis()).fixed(&self.signature);
        w.finish().to_vec()
    }

    /// Reads the bytes in the store.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let truncation = Self {
            cut: Cut {
                changes: ChainHead::decode(&mut r)?,
                reads: ReadHead::decode(&mut r)?,
            },
            time: Timestamp::from_millis(r.i64()?),
            signature: r.array()?,
        };
        r.end()?;
        Ok(truncation)
    }
}

#[cfg(test)]
mod tests {
    use strongroom_model::SecretBytes;

    use super::*;
    use crate::crypto::{Keyring, RootKey};

    const STORE: StoreId = StoreId::from_bytes([1; 16]);

    #[test]
    fn what_is_signed_round_trips_and_every_changed_bit_is_seen() {
        let root = RootKey::from_secret(&SecretBytes::new(vec![5; 32])).unwrap();
        let keyring = Keyring::derive(&root, STORE);
        let cut = Cut {
            changes: ChainHead {
                sequence: 7,
                hash: [7; 32],
            },
            reads: ReadHead {
                sequence: 9,
                hash: [9; 32],
            },
        };
        let signed = Truncation::sign(keyring.signer(), &STORE, cut, Timestamp::from_millis(5));
        let bytes = signed.encode();
        assert_eq!(Truncation::decode(&bytes), Ok(signed));
        let key = keyring.public_key();
        assert!(signed.verifies(&key, &STORE));
        assert!(!signed.verifies(&key, &StoreId::from_bytes([2; 16])));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let holds = Truncation::decode(&changed).is_ok_and(|read| read.verifies(&key, &STORE));
            assert!(!holds, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(Truncation::decode(&bytes[..end]).is_err());
        }
    }
}
