//! Both chains of the audit log, as whoever can write the volume can leave them.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | 1: headers and hashes are made right first, as anybody can |
//! | each | what 1 (even: a segment, odd: a mutation record, 254: the truncation, 255: the checkpoint), number 8, bytes (4 + n) |

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use strongroom_model::time::Timestamp;
use strongroom_store::audit::{
    Action, Actor, Durability, Entry, ReadChain, ReadHead, ReadLog, ReadLogOptions, SegmentStorage,
    VerifyReport, encode_key, verify_on,
};
use strongroom_store::codec::{DecodeError, Reader};
use strongroom_store::crypto::Keyring;
use strongroom_store::engine::{Batch, Change, Engine, MemoryEngine, Table};
use strongroom_store::fuzzing::forge;

use crate::store::{STORE, keyring};

/// Bytes of a segment.
pub const SEGMENT: u64 = 4_096;
/// The epoch of every mutation record.
pub const EPOCH: u32 = 1;

/// Verifies both chains, and looks for the end of the read chain as a start does: both give an answer.
pub fn run(input: &[u8]) {
    if let Some(report) = verify(input) {
        assert!(
            report.reads.signed <= report.reads.last && report.mutations.signed <= report.mutations.last,
            "a signature covers what is not there: {report}"
        );
    }
}

/// What verifying finds; `None` where it cannot look.
#[must_use]
pub fn verify(input: &[u8]) -> Option<VerifyReport> {
    let keyring = keyring()?;
    let (forged, items) = input.split_first()?;
    let (segments, changes) = read(items);
    if *forged == 1 {
        segments
            .lock()
            .values_mut()
            .for_each(|segment| forge(&STORE, segment));
    }
    start(&segments, &keyring);
    let engine = MemoryEngine::new();
    let batch = Batch {
        changes,
        ..Batch::default()
    };
    engine.commit(&batch).ok()?;
    let snapshot = engine.snapshot().ok()?;
    verify_on(snapshot.as_ref(), &segments, STORE, &keyring.public_key()).ok()
}

/// Opens the read chain as a start does, and goes on with it. A start knows what the mutation chain saw:
/// nothing, and a place in the middle, are two of its cases.
fn start(segments: &Segments, keyring: &Arc<Keyring>) {
    for sequence in [0, 2] {
        let now = Timestamp::from_millis(1_795_465_320_000);
        let seen = ReadHead {
            sequence,
            hash: [0; 32],
        };
        let options = ReadLogOptions {
            accept_loss: sequence > 0,
            segment_bytes: SEGMENT,
            reserve_segments: 1,
            ..ReadLogOptions::new(EPOCH, now, seen)
        };
        let storage = Segments(Mutex::new(segments.lock().clone()));
        match ReadLog::open_on(Arc::new(storage), Arc::clone(keyring), options) {
            Ok(log) => {
                let entry = Entry::new(now, Actor::System, Action::GetSecretValue);
                if log.append(&entry, Durability::Batched).is_ok() {
                    log.close();
                }
            }
            Err(error) => assert!(!error.to_string().is_empty(), "an error says nothing"),
        }
    }
}

fn read(bytes: &[u8]) -> (Segments, Vec<Change>) {
    let mut reader = Reader::new(bytes);
    let mut segments = BTreeMap::new();
    let mut changes = Vec::new();
    let mut item = || -> Result<(), DecodeError> {
        let (what, number, bytes) = (reader.u8()?, reader.u64()?, reader.bytes()?.to_vec());
        let put = |table, key| Change::Put {
            table,
            key,
            value: bytes.clone(),
        };
        match what {
            254 => changes.push(put(Table::Meta, b"truncation".to_vec())),
            255 => changes.push(put(Table::Meta, b"checkpoint".to_vec())),
            odd if odd % 2 == 1 => changes.push(put(Table::Audit, encode_key(EPOCH, number))),
            _ => {
                segments.insert(number, bytes);
            }
        }
        Ok(())
    };
    while item().is_ok() {}
    (Segments(Mutex::new(segments)), changes)
}

/// Segments in memory.
#[derive(Debug, Default)]
pub struct Segments(Mutex<BTreeMap<u64, Vec<u8>>>);

impl Segments {
    /// Their bytes by number.
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<u8>>> {
        self.0.lock()
    }
}

impl SegmentStorage for Segments {
    fn segments(&self) -> io::Result<Vec<u64>> {
        Ok(self.lock().keys().copied().collect())
    }

    fn create(&self, segment: u64, bytes: u64) -> io::Result<()> {
        let size = usize::try_from(bytes).map_err(io::Error::other)?;
        self.lock().entry(segment).or_default().resize(size, 0);
        Ok(())
    }

    fn size(&self, segment: u64) -> io::Result<u64> {
        Ok(self.lock().get(&segment).ok_or(io::ErrorKind::NotFound)?.len() as u64)
    }

    fn read(&self, segment: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let segments = self.lock();
        let bytes = segments.get(&segment).ok_or(io::ErrorKind::NotFound)?;
        let bytes = from
            .checked_add(out.len())
            .and_then(|to| bytes.get(from..to))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn write(&self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let mut segments = self.lock();
        let all = segments.get_mut(&segment).ok_or(io::ErrorKind::NotFound)?;
        from.checked_add(bytes.len())
            .and_then(|to| all.get_mut(from..to))
            .ok_or(io::ErrorKind::UnexpectedEof)?
            .copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn shrink(&self, segment: u64, bytes: u64) -> io::Result<()> {
        let size = usize::try_from(bytes).map_err(io::Error::other)?;
        if let Some(found) = self.lock().get_mut(&segment) {
            found.truncate(size);
        }
        Ok(())
    }

    fn remove(&self, segment: u64) -> io::Result<()> {
        self.lock().remove(&segment);
        Ok(())
    }
}
