//! The renames behind the switch to a new root key. The seal file in force says by its bytes which new files
//! belong to it: those are put in place, and all others were made for a switch that did not come.

use std::fs;
use std::io;
use std::path::Path;

use super::RekeyStep;
use crate::audit::READS_DIRECTORY;
use crate::engine::STORE_FILE;
use crate::seal::{REKEYED, SealFile};
use crate::vault::new_file::{remove, sync_directory};

/// Ends a switch, or removes what was made for one. Nothing to do is the rule.
///
/// The store file comes last: while it waits, all of this is done again.
///
/// # Errors
/// What the operating system says.
pub(in crate::vault) fn settle(
    dir: &Path,
    seal: &SealFile,
    told: &mut dyn FnMut(RekeyStep),
) -> io::Result<()> {
    let file = seal.rekeyed_path(dir, STORE_FILE);
    if file.exists() {
        let reads = seal.rekeyed_path(dir, READS_DIRECTORY);
        if reads.exists() {
            let place = dir.join(READS_DIRECTORY);
            if place.exists() {
                fs::remove_dir_all(&place)?;
            }
            fs::rename(&reads, &place)?;
            sync_directory(dir)?;
            told(RekeyStep::ReadsInPlace);
        }
        fs::rename(&file, dir.join(STORE_FILE))?;
        // IMPORTANT: the rename is durable only once the directory is.
        sync_directory(dir)?;
        told(RekeyStep::FileInPlace);
    }
    discard(dir)
}

/// Removes what was made for a switch that did not come.
///
/// # Errors
/// What the operating system says.
pub(super) fn discard(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let waits = [STORE_FILE, READS_DIRECTORY].into_iter().any(|of| {
            name.to_str()
                .and_then(|name| name.strip_prefix(of))
                .is_some_and(|rest| rest.starts_with(REKEYED))
        });
        if !waits {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            remove(&entry.path())?;
        }
    }
    Ok(())
}
