//! Which audit key followed which: a record for each new root key, signed with both audit keys. Under a new
//! root key both chains are sealed and signed anew, so it also binds their ends as they were to their ends as
//! they were then.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | format 1 |
//! | 4 | number of records, the oldest first |
//! | each: 32 + 40 + 40 | the audit key before, and the ends of both chains under it: sequence 8, hash 32 |
//! | 32 + 40 + 40 | the audit key since, and the ends of the same chains, sealed and signed anew |
//! | 8 | time, milliseconds since the Unix epoch |
//! | 64 + 64 | Ed25519 of the key before, and of the one since, over a label, the store's id, and the above |
//!
//! Must not say which key is to be trusted: whoever verifies brings one.

use strongroom_model::id::StoreId;
use strongroom_model::time::Timestamp;

use super::{ChainHead, ReadHead};
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::{PublicKey, Signature, Signer};

const FORMAT: u8 = 1;

/// The ends of both chains under one audit key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainEnds {
    /// What their signatures verify with.
    pub key: PublicKey,
    /// Where the mutation chain stood.
    pub changes: ChainHead,
    /// Where the chain of reads stood: its last record, and the digest that the next one continues.
    pub reads: ReadHead,
}

impl ChainEnds {
    fn encode(self, w: &mut Writer) {
        w.fixed(&self.key.to_bytes());
        self.changes.encode(w);
        self.reads.encode(w);
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: PublicKey::from_bytes(&r.array()?).ok_or(DecodeError::Invalid("audit key"))?,
            changes: ChainHead::decode(r)?,
            reads: ReadHead::decode(r)?,
        })
    }
}

/// One root key followed another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RekeyRecord {
    /// Under the former key.
    pub before: ChainEnds,
    /// Under the new one.
    pub after: ChainEnds,
    /// When it was signed.
    pub time: Timestamp,
    signatures: [Signature; 2],
}

impl RekeyRecord {
    fn message(store: &StoreId, before: ChainEnds, after: ChainEnds, time: Timestamp) -> Vec<u8> {
        let mut w = Writer::with_capacity(256);
        w.fixed(b"sr/rekey/1").fixed(store.as_bytes());
        before.encode(&mut w);
        after.encode(&mut w);
        w.i64(time.as_millis());
        w.finish().to_vec()
    }

    /// Signs with both keys.
    #[must_use]
    pub(crate) fn sign(
        (former, new): (&Signer, &Signer),
        store: &StoreId,
        before: ChainEnds,
        after: ChainEnds,
        time: Timestamp,
    ) -> Self {
        let message = Self::message(store, before, after, time);
        Self {
            before,
            after,
            time,
            signatures: [former.sign(&message), new.sign(&message)],
        }
    }

    /// The record by itself as bytes, for a copy outside of the store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_rekeys(std::slice::from_ref(self))
    }

    /// Whether both signatures hold.
    #[must_use]
    pub fn verifies(&self, store: &StoreId) -> bool {
        let message = Self::message(store, self.before, self.after, self.time);
        let [former, new] = &self.signatures;
        self.before.key.verifies(&message, former) && self.after.key.verifies(&message, new)
    }
}

/// The bytes in the store.
#[must_use]
pub(crate) fn encode_rekeys(records: &[RekeyRecord]) -> Vec<u8> {
    let mut w = Writer::with_capacity(5 + records.len() * 360);
    w.u8(FORMAT).list(records.iter(), |w, record| {
        record.before.encode(w);
        record.after.encode(w);
        w.i64(record.time.as_millis());
        for signature in &record.signatures {
            w.fixed(signature);
        }
        w
    });
    w.finish().to_vec()
}

/// Reads the bytes in the store.
///
/// # Errors
/// [`DecodeError`].
pub(crate) fn decode_rekeys(bytes: &[u8]) -> Result<Vec<RekeyRecord>, DecodeError> {
    let mut r = Reader::new(bytes);
    r.format(FORMAT)?;
    let records = r.list(|r| {
        Ok(RekeyRecord {
            before: ChainEnds::decode(r)?,
            after: ChainEnds::decode(r)?,
            time: Timestamp::from_millis(r.i64()?),
            signatures: [r.array()?, r.array()?],
        })
    })?;
    r.end()?;
    Ok(records)
}

/// Whether each record is signed by both of its keys, and each begins with the key that the one before ends
/// with.
pub(crate) fn rekeys_hold(records: &[RekeyRecord], store: &StoreId) -> bool {
    let follow = records
        .iter()
        .zip(records.iter().skip(1))
        .all(|(one, next)| one.after.key == next.before.key);
    follow && records.iter().all(|record| record.verifies(store))
}

/// The audit key of now: what `key` verifies with, or whatever followed it by the records.
pub(crate) fn current_key(records: &[RekeyRecord], key: &PublicKey) -> PublicKey {
    let newest = records.last().map(|newest| newest.after.key);
    let followed = records.iter().any(|record| record.before.key == *key);
    newest.filter(|_| followed).unwrap_or(*key)
}

#[cfg(test)]
mod tests {
    use strongroom_model::SecretBytes;

    use super::*;
    use crate::crypto::{Keyring, RootKey};

    const STORE: StoreId = StoreId::from_bytes([1; 16]);

    fn keyring(byte: u8) -> Keyring {
        let root = RootKey::from_secret(&SecretBytes::new(vec![byte; 32])).unwrap();
        Keyring::derive(&root, STORE)
    }

    fn ends(keyring: &Keyring, hash: u8) -> ChainEnds {
        ChainEnds {
            key: keyring.public_key(),
            changes: ChainHead {
                sequence: 7,
                hash: [hash; 32],
            },
            reads: ReadHead {
                sequence: 9,
                hash: [hash + 1; 32],
            },
        }
    }

    fn record(from: u8, to: u8) -> RekeyRecord {
        let (former, new) = (keyring(from), keyring(to));
        RekeyRecord::sign(
            (former.signer(), new.signer()),
            &STORE,
            ends(&former, from),
            ends(&new, to),
            Timestamp::from_millis(5),
        )
    }

    #[test]
    fn what_is_signed_round_trips_and_every_changed_bit_is_seen() {
        let records = [record(1, 2), record(2, 3)];
        let bytes = encode_rekeys(&records);
        assert_eq!(decode_rekeys(&bytes), Ok(records.to_vec()));
        assert!(rekeys_hold(&records, &STORE));
        assert!(!rekeys_hold(&records, &StoreId::from_bytes([2; 16])));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let holds = decode_rekeys(&changed).is_ok_and(|read| rekeys_hold(&read, &STORE));
            assert!(!holds, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(decode_rekeys(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn an_old_key_leads_to_the_newest_and_a_strange_one_nowhere() {
        let records = [record(1, 2), record(2, 3)];
        let newest = keyring(3).public_key();
        for byte in [1, 2, 3] {
            assert_eq!(current_key(&records, &keyring(byte).public_key()), newest);
        }
        let stranger = keyring(4).public_key();
        assert_eq!(current_key(&records, &stranger), stranger);
        assert!(!rekeys_hold(&[record(1, 2), record(3, 4)], &STORE));
    }
}
