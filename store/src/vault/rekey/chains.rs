//! Both audit chains under the new root key, and the store's own facts that end them: heads, signatures, the
//! record that leads from one audit key to the next, and what was done.
//!
//! The chains keep their numbers, times and contents; hashes and signatures are new. Records that only wait
//! for their removal are left out.

use std::path::Path;

use super::records::ResealedRecords;
use super::{RekeyOptions, RekeyStep};
use crate::audit::{
    self, Action, ChainEnds, ChainHead, Checkpoint, Cut, Entry, MutationRecord, READS_DIRECTORY, ReadHead,
    RekeyRecord, SeenReads, SegmentDirectory, SegmentStorage, Truncation, VerifyError, encode_rekeys,
    reseal_reads,
};
use crate::crypto::{Context, Keyring};
use crate::engine::{Snapshot, Table, try_visit};
use crate::format::{SealDigest, StoreState, meta};
use crate::seal::SealFile;
use crate::vault::error::StoreError;
use crate::vault::open_error::OpenError;
use crate::vault::seal::what_changes;
use crate::vault::state::read_rekeys;

/// What the chains are sealed anew from, and with what.
pub(super) struct ChainsToReseal<'a> {
    old: &'a Keyring,
    new: &'a Keyring,
    snapshot: &'a dyn Snapshot,
    /// The state of the store so far.
    state: StoreState,
    /// What was cut off the old ends.
    truncation: Option<Truncation>,
}

/// The read chain, sealed anew.
pub(super) struct ResealedReads {
    seen: SeenReads,
    before: ReadHead,
    after: ReadHead,
}

/// The ends of all, for the last record of the new file.
pub(super) struct ResealedChains {
    pub(super) head: ChainHead,
    pub(super) record: RekeyRecord,
}

/// Whether both chains are sound; why not, where they are not.
pub(super) fn fault(
    snapshot: &dyn Snapshot,
    segments: &dyn SegmentStorage,
    keyring: &Keyring,
) -> Result<Option<String>, OpenError> {
    let report = audit::verify_on(snapshot, segments, keyring.store(), &keyring.public_key());
    match report {
        Ok(report) => Ok(report.bad.map(|bad| bad.to_string())),
        Err(VerifyError::Engine(error)) => Err(error.into()),
        Err(VerifyError::Seal(error)) => Err(error.into()),
        Err(VerifyError::Reads(error)) => Err(error.into()),
    }
}

impl<'a> ChainsToReseal<'a> {
    /// The chains of a store whose state and digest hold.
    pub(super) fn new(
        (old, new): (&'a Keyring, &'a Keyring),
        snapshot: &'a dyn Snapshot,
        state: StoreState,
    ) -> Result<Self, OpenError> {
        let stored = snapshot.value(Table::Meta, meta::TRUNCATION)?;
        let truncation = stored.map(|stored| Truncation::decode(&stored)).transpose()?;
        Ok(Self {
            old,
            new,
            snapshot,
            state,
            truncation,
        })
    }

    fn cut(&self) -> Cut {
        self.truncation
            .map_or_else(Cut::default, |truncation| truncation.cut)
    }

    /// Writes the read chain of the store in `dir` to a folder beside it.
    pub(super) fn reads(
        &self,
        dir: &Path,
        to: &dyn SegmentStorage,
        told: &mut dyn FnMut(RekeyStep),
    ) -> Result<ResealedReads, OpenError> {
        let mut seen = SeenReads::default();
        try_visit(self.snapshot, Table::Audit, |key, value| {
            seen.note(decode(key, value)?.reads);
            Ok::<_, OpenError>(())
        })?;
        let from = SegmentDirectory::read_only(&dir.join(READS_DIRECTORY));
        let (before, after) = reseal_reads(
            (&from, to),
            (self.old, self.new),
            self.cut().reads,
            &mut seen,
            &mut |segment| told(RekeyStep::Segment(segment)),
        )?;
        Ok(ResealedReads { seen, before, after })
    }

    /// Adds the mutation chain, a record of what was done, and the facts that sign and end it.
    pub(super) fn changes(
        &self,
        records: &mut ResealedRecords<'_>,
        reads: &ResealedReads,
        options: &RekeyOptions<'_>,
        seals: (&SealFile, &SealFile),
        fence: u64,
    ) -> Result<ResealedChains, OpenError> {
        let store = self.new.store();
        let cut = self.cut().changes;
        let (mut head, mut saw) = (cut, ReadHead::default());
        let mut epoch = u32::try_from(fence).unwrap_or(u32::MAX);
        try_visit(self.snapshot, Table::Audit, |key, value| {
            let record = decode(key, value)?;
            epoch = epoch.max(record.epoch);
            if record.sequence <= cut.sequence {
                return Ok(());
            }
            let resealed = record
                .resealed(self.old, self.new, head.hash, reads.seen.now(record.reads))
                .map_err(|_| damaged())?;
            head = ChainHead {
                sequence: resealed.sequence,
                hash: resealed.hash(&store),
            };
            saw = resealed.reads;
            records.put(Table::Audit, key.to_vec(), resealed.encode())
        })?;
        if head.sequence != self.state.head.sequence {
            return Err(OpenError::Tampered);
        }
        let before = ChainEnds {
            key: self.old.public_key(),
            changes: self.state.head,
            reads: reads.before,
        };
        let after = ChainEnds {
            key: self.new.public_key(),
            changes: head,
            reads: reads.after,
        };
        let signers = (self.old.signer(), self.new.signer());
        let record = RekeyRecord::sign(signers, &store, before, after, options.now);
        // What was lost of the read chain, and is signed as lost, was seen all the same.
        let reads = if reads.after.sequence >= saw.sequence {
            reads.after
        } else {
            saw
        };
        for detail in [
            format!(
                "new root key; audit key {} before, {} since",
                before.key, after.key
            ),
            what_changes(&seals.0.slots(), &seals.1.slots()),
        ] {
            let mut entry = Entry::new(options.now, options.actor.clone(), Action::ChangeSeal);
            entry.detail = detail;
            let (added, next) = audit::record(self.new, epoch, head, reads, &entry)?;
            let key = audit::encode_key(epoch, added.sequence);
            records.put(Table::Audit, key, added.encode())?;
            head = next;
        }
        let checkpoint = Checkpoint::sign(self.new.signer(), &store, head, reads, options.now);
        let mut put = |name: &[u8], value| records.put(Table::Meta, name.to_vec(), value);
        put(meta::CHECKPOINT, checkpoint.encode())?;
        let mut rekeys = read_rekeys(self.snapshot)?;
        rekeys.push(record);
        put(meta::REKEYS, encode_rekeys(&rekeys))?;
        put(meta::MARKS, self.new.seal_marks(self.old)?)?;
        let digest = SealDigest {
            current: self.new.seal_file_mac(&seals.1.encode()),
            next: None,
        };
        put(meta::SEAL, digest.encode())?;
        if let Some(Truncation { cut, time, .. }) = self.truncation {
            let signed = Truncation::sign(self.new.signer(), &store, cut, time);
            put(meta::TRUNCATION, signed.encode())?;
        }
        Ok(ResealedChains { head, record })
    }

    /// Adds the store's other facts: those in clear as they are, those that are sealed sealed anew.
    pub(super) fn facts(&self, records: &mut ResealedRecords<'_>) -> Result<(), OpenError> {
        try_visit(self.snapshot, Table::Meta, |name, value| match name {
            meta::IDENTITY | meta::ATTESTED_SINCE => records.put(Table::Meta, name.to_vec(), value.to_vec()),
            meta::STATE | meta::CHECKPOINT | meta::TRUNCATION | meta::SEAL | meta::REKEYS | meta::MARKS => {
                Ok(())
            }
            sealed => {
                let unknown = || {
                    let name = String::from_utf8_lossy(sealed);
                    StoreError::damaged(format!("the store's fact `{name}`"))
                };
                let context = Context::Meta(std::str::from_utf8(sealed).map_err(|_| unknown())?);
                let fact = self.old.open(&context, value).map_err(|_| unknown())?;
                let value = self.new.seal(&context, fact.expose())?;
                records.put(Table::Meta, sealed.to_vec(), value)
            }
        })
    }
}

fn decode(key: &[u8], value: &[u8]) -> Result<MutationRecord, StoreError> {
    MutationRecord::decode(key, value).map_err(|_| damaged())
}

fn damaged() -> StoreError {
    StoreError::damaged("a record of the mutation chain")
}
