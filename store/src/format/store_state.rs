//! Store-wide facts under fixed names.

use zeroize::Zeroizing;

use super::FORMAT;
use crate::audit::ChainHead;
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::StateDigest;

/// The names of the rows.
pub(crate) mod meta {
    /// Store id in clear, so that the audit chain verifies without a secret.
    pub(crate) const IDENTITY: &[u8] = b"identity";
    /// [`super::StoreState`], sealed; the one record outside of the state digest.
    pub(crate) const STATE: &[u8] = b"state";
    /// The last signed head of the mutation chain, in clear.
    pub(crate) const CHECKPOINT: &[u8] = b"checkpoint";
    /// The signed cut of the audit's old end, in clear; absent where nothing was ever cut.
    pub(crate) const TRUNCATION: &[u8] = b"truncation";
    /// [`super::SealDigest`].
    pub(crate) const SEAL: &[u8] = b"seal";
    /// [`crate::format::Allowances`], sealed; absent where no quota was ever in force.
    pub(crate) const ALLOWANCES: &[u8] = b"allowances";
    /// [`crate::format::AttestedSince`], in clear; absent before anybody asked.
    pub(crate) const ATTESTED_SINCE: &[u8] = b"attested-since";
    /// The key of marks, sealed; absent where the root key was never replaced.
    pub(crate) const MARKS: &[u8] = b"marks";
    /// [`crate::audit::RekeyRecord`]s, signed, in clear; absent where the root key was never replaced.
    pub(crate) const REKEYS: &[u8] = b"rekeys";
}

/// What changes with every commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StoreState {
    /// Commits since the store was made.
    pub(crate) counter: u64,
    /// Digest of all records but this one.
    pub(crate) digest: StateDigest,
    /// The end of the mutation chain.
    pub(crate) head: ChainHead,
}

impl StoreState {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(96);
        w.u8(FORMAT).u64(self.counter).fixed(&self.digest.to_bytes());
        self.head.encode(&mut w);
        w.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let state = Self {
            counter: r.u64()?,
            digest: StateDigest::from_bytes(&r.array()?),
            head: ChainHead::decode(&mut r)?,
        };
        r.end()?;
        Ok(state)
    }
}

/// Keyed digests of the seal file: the one in force, and the one that a change is about to put in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SealDigest {
    pub(crate) current: [u8; 32],
    pub(crate) next: Option<[u8; 32]>,
}

impl SealDigest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(FORMAT)
            .fixed(&self.current)
            .option(self.next, |w, next| w.fixed(&next));
        w.finish().to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let digest = Self {
            current: r.array()?,
            next: r.option("next digest", Reader::array)?,
        };
        r.end()?;
        Ok(digest)
    }
}
