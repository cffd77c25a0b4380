//! Write, prove, switch, end.

use std::fs;
use std::io;
use std::path::Path;

use super::chains::{self, ChainsToReseal};
use super::records::ResealedRecords;
use super::settle::{discard, settle};
use super::{RekeyOptions, RekeyReport, RekeyStep};
use crate::audit::{READS_DIRECTORY, SegmentDirectory, SegmentStorage};
use crate::crypto::{Context, Keyring, RootKey};
use crate::engine::{Engine, STORE_FILE, view_file};
use crate::format::StoreState;
use crate::lock::StoreLock;
use crate::seal::{SealError, SealFile, SlotKind, same_owner};
use crate::vault::check::{CheckReport, open_records};
use crate::vault::new_file::{NewFile, sync_directory};
use crate::vault::open_error::OpenError;
use crate::vault::state::{adopt_marks, check_seal, digest_of, read_checkpoint, read_state};

/// Gives the stopped store a new root key, and seals all that it holds anew under it. What opened the store
/// or a backup of it so far opens nothing of it afterwards.
///
/// `told` is called after each step. A caller that shows a key to a person does so before calling this: after
/// [`RekeyStep::Switched`] only the new slots open the store, whatever becomes of the process.
///
/// # Errors
/// [`OpenError`]; up to [`RekeyStep::Switched`] the store is then what it was.
pub fn rekey(options: &RekeyOptions<'_>, told: &mut dyn FnMut(RekeyStep)) -> Result<RekeyReport, OpenError> {
    let dir = options.dir;
    if !dir.join(STORE_FILE).exists() {
        return Err(OpenError::Missing(dir.join(STORE_FILE).display().to_string()));
    }
    let _lock = StoreLock::take(dir)?;
    let before = SealFile::load(dir)?;
    if !before.proves(options.root) {
        return Err(SealError::WrongKey(SlotKind::KeyFile).into());
    }
    settle(dir, &before, told)?;
    let root = RootKey::generate()?;
    let after = new_seal(options, &before, &root)?;
    let made = write(options, (&before, &after), &root, told).and_then(|report| {
        make_durable(dir, &after)?;
        Ok(report)
    });
    let report = made.inspect_err(|_| {
        // The first error says what happened, and the next start removes what stays.
        let _ = discard(dir);
    })?;
    told(RekeyStep::Proven);
    // INVARIANT: whatever fails from here on, the seal file in the directory says which files count.
    if let Err(error) = after.write(dir) {
        if SealFile::load(dir).is_ok_and(|there| there == after) {
            told(RekeyStep::Switched);
        } else {
            let _ = discard(dir);
        }
        return Err(error.into());
    }
    told(RekeyStep::Switched);
    settle(dir, &after, told)?;
    Ok(report)
}

/// The seal file of the new root key.
fn new_seal(options: &RekeyOptions<'_>, before: &SealFile, root: &RootKey) -> Result<SealFile, SealError> {
    let ((first, label), rest) = options.slots.split_first().ok_or(SealError::LastSlot)?;
    let mut seal = SealFile::new(before.store(), root, first, label)?;
    for (secret, label) in rest {
        seal.add_slot(root, secret, label)?;
    }
    Ok(seal)
}

/// Writes the new store file and the new segments beside the old ones, and proves both.
fn write(
    options: &RekeyOptions<'_>,
    (before, after): (&SealFile, &SealFile),
    root: &RootKey,
    told: &mut dyn FnMut(RekeyStep),
) -> Result<RekeyReport, OpenError> {
    let dir = options.dir;
    // Copy-on-write: also a file that needs repair stays as it is.
    let from = view_file(&dir.join(STORE_FILE))?;
    let snapshot = from.snapshot()?;
    let snapshot = snapshot.as_ref();
    let (mut old, new) = (
        Keyring::derive(options.root, before.store()),
        Keyring::derive(root, before.store()),
    );
    let state = read_state(&old, snapshot)?;
    check_seal(&old, snapshot, before)?;
    if digest_of(&old, snapshot)? != state.digest || read_checkpoint(snapshot)?.head != state.head {
        return Err(OpenError::Tampered);
    }
    adopt_marks(&mut old, snapshot)?;
    let segments = SegmentDirectory::read_only(&dir.join(READS_DIRECTORY));
    if let Some(fault) = chains::fault(snapshot, &segments, &old)? {
        return Err(OpenError::AuditUnsound(fault));
    }
    let both = (&old, &new);
    let chains = ChainsToReseal::new(both, snapshot, state)?;
    let segments = SegmentDirectory::open(&after.rekeyed_path(dir, READS_DIRECTORY))?;
    let reads = chains.reads(dir, &segments, told)?;
    let to = NewFile::create(&after.rekeyed_path(dir, STORE_FILE))?;
    let mut records = ResealedRecords::new(both, snapshot, to, told);
    records.reseal(options.cursors, options.now)?;
    chains.facts(&mut records)?;
    let fence = from.fence()?;
    let ends = chains.changes(&mut records, &reads, options, (before, after), fence)?;
    let state = StoreState {
        counter: state.counter + 1,
        digest: records.digest,
        head: ends.head,
    };
    let (keys, values, lost_values) = (records.keys(), records.values, records.lost_values);
    let sealed = new.seal(&Context::Meta("state"), &state.encode())?;
    let (engine, records) = records.finish(sealed, fence)?;
    prove(engine.as_ref(), &segments, &new, values + lost_values)?;
    Ok(RekeyReport {
        records,
        values,
        lost_values,
        keys,
        record: ends.record,
    })
}

/// Whether the new file holds so many values, and each record of it and of the segments opens.
fn prove(
    engine: &dyn Engine,
    segments: &dyn SegmentStorage,
    keyring: &Keyring,
    values: u64,
) -> Result<(), OpenError> {
    let snapshot = engine.snapshot()?;
    let mut found = CheckReport::default();
    open_records(keyring, snapshot.as_ref(), &mut found)?;
    if let Some(damage) = found.damage.first() {
        return Err(OpenError::NotTheSame(damage.clone()));
    }
    let there = found.values + found.refused;
    if there != values {
        return Err(OpenError::NotTheSame(format!("{there} of {values} values")));
    }
    match chains::fault(snapshot.as_ref(), segments, keyring)? {
        Some(fault) => Err(OpenError::NotTheSame(fault)),
        None => Ok(()),
    }
}

/// Gives the new files to the owner of the old ones, and makes them durable.
fn make_durable(dir: &Path, after: &SealFile) -> io::Result<()> {
    let model = dir.join(STORE_FILE);
    let hand_over = |path: &Path| {
        same_owner(&model, path)?;
        fs::File::open(path)?.sync_all()
    };
    hand_over(&after.rekeyed_path(dir, STORE_FILE))?;
    let reads = after.rekeyed_path(dir, READS_DIRECTORY);
    for segment in fs::read_dir(&reads)? {
        hand_over(&segment?.path())?;
    }
    hand_over(&reads)?;
    // IMPORTANT: names are durable only once the directory is.
    sync_directory(dir)
}
