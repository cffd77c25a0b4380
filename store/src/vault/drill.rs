//! A restore into a place that is thrown away, to see that a backup is one. Must not touch the store that it
//! was taken from.

use std::io::Read;
use std::path::Path;

use strongroom_model::time::Timestamp;

use super::backup::{import_part, is_empty, open_restored};
use super::backup_check::{BackupReport, BackupTally};
use super::backup_reader::BackupHeader;
use super::check::{CheckReport, check};
use super::directory::private_dir;
use super::open_error::OpenError;
use crate::crypto::{Keyring, RootKey};
use crate::engine::{STORE_FILE, create_file};
use crate::seal::{SealError, SlotKind, SlotSecret};

/// What opens a backup.
#[derive(Clone, Copy, Debug)]
pub enum BackupKey<'a> {
    /// The key of one of the slots that the store had when the backup was taken.
    Slot(&'a SlotSecret),
    /// The root key itself, of a process that has the store open.
    Root(&'a RootKey),
}

/// How a drill is held.
#[derive(Clone, Copy, Debug)]
pub struct DrillOptions<'a> {
    /// The place; nothing may be there, and nothing is there afterwards.
    pub dir: &'a Path,
    /// What opens the backup.
    pub key: BackupKey<'a>,
    /// When it is held, by the wall clock.
    pub now: Timestamp,
}

/// What a drill found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DrillReport {
    /// What the backup holds.
    pub backup: BackupReport,
    /// What the restored store says of itself.
    pub check: CheckReport,
}

/// Restores a backup into an empty place, opens everything in it, and removes it.
///
/// # Errors
/// [`OpenError`], as a restore has it.
pub fn drill(options: DrillOptions<'_>, from: &mut dyn Read) -> Result<DrillReport, OpenError> {
    if !is_empty(options.dir)? {
        return Err(OpenError::Exists(options.dir.display().to_string()));
    }
    let found = hold(options, from);
    match std::fs::remove_dir_all(options.dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => found.and(Err(error.into())),
        _ => found,
    }
}

fn hold(
    DrillOptions { dir, key, now }: DrillOptions<'_>,
    from: &mut dyn Read,
) -> Result<DrillReport, OpenError> {
    let header = BackupHeader::read(from)?;
    let unlocked;
    let root = match key {
        BackupKey::Slot(secret) => {
            unlocked = header.seal.unlock(secret)?;
            &unlocked
        }
        BackupKey::Root(root) if header.seal.proves(root) => root,
        BackupKey::Root(_) => return Err(SealError::WrongKey(SlotKind::KeyFile).into()),
    };
    let keyring = Keyring::derive(root, header.seal.store());
    private_dir(dir)?;
    let engine = create_file(&dir.join(STORE_FILE))?;
    let mut tally = BackupTally::new(&keyring);
    let mut parts = header.parts(&keyring, from);
    while let Some(items) = parts.next_part()? {
        for (table, key, value) in &items {
            tally.add(*table, key, value);
        }
        import_part(engine.as_ref(), items)?;
    }
    drop(engine);
    let backup = tally.finish(&header.seal)?;
    header.seal.write(dir)?;
    open_restored(dir, root, now)?.close();
    let check = check(dir, Some(root))?;
    Ok(DrillReport { backup, check })
}
