//! A folder whose files change all at once. The layout is that of kubelet's own volumes, which programs know
//! how to watch:
//!
//! ```text
//! ..1764108230123456789/   a version: folders and files
//! ..data -> ..1764108230123456789
//! password -> ..data/password
//! ```
//!
//! Whoever resolves `..data` sees all of one version. The steps, with their numbers in the code:
//!
//! 1. Sweep what a death between two steps left: `..data_tmp`, and versions that `..data` does not lead to.
//!    (A leftover `..data_tmp` would otherwise stop every later change.)
//! 2. Where `..data` holds just the planned files already, go to 7.
//! 3. Make a new version's folder.
//! 4. Write each file below it: made anew, never followed, owner and mode set before anybody can reach it.
//!    The file that says which versions these are is one of them, so that it changes in the same instant.
//! 5. Make `..data_tmp`, a link to it.
//! 6. Rename that over `..data`. This is the instant.
//! 7. Make links in the top folder for what is new, and mend what somebody broke, also when nothing else
//!    changed.
//! 8. Remove links for what is gone.
//! 9. Remove the old version.
//!
//! Everything is reached from the open top folder, so no link on the way can lead elsewhere. Must not decide
//! what the files are.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags};
use rustix::io::Errno;
use strongroom_model::SecretBytes;
use strongroom_render::format::same_store;
use strongroom_render::path::FilePath;
use strongroom_render::plan::{Plan, VERSION_FILE};
use zeroize::Zeroizing;

use crate::agent::SOCKET;
use crate::fault;

/// The link to the version that is shown.
const DATA: &str = "..data";
/// The link that takes its place.
const DATA_NEW: &str = "..data_tmp";
/// A link that is put in the place of a wrong one.
const LINK_NEW: &str = "..link_tmp";

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Readers see another version.
    Swapped,
    /// They see what they saw; links may have been mended.
    Unchanged,
}

/// Why the files are what they were before.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The volume is full.
    #[error("the volume has no room for another version: raise `size`, or mount less")]
    NoSpace,
    /// A step failed.
    #[error("{step}: {source}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

fn trying(step: &'static str) -> impl FnOnce(Errno) -> WriteError {
    move |error| match error {
        Errno::NOSPC | Errno::DQUOT => WriteError::NoSpace,
        error => WriteError::Step {
            step,
            source: error.into(),
        },
    }
}

/// Makes the files of a volume what the plan says. `group` owns them where the pod has an fsGroup.
///
/// # Errors
/// [`WriteError`]; up to step 6 readers see what they saw before.
pub fn write(root: BorrowedFd<'_>, plan: &Plan, group: Option<u32>) -> Result<WriteOutcome, WriteError> {
    let shown = current_version(root)?;
    // (1)
    sweep(root, shown.as_deref())?;
    // (2)
    let unchanged = match &shown {
        Some(shown) => matches_plan(root, shown, plan, group)?,
        None => false,
    };
    if !unchanged {
        swap(root, plan, group)?;
        fault::point("write.swapped");
    }
    // (7) (8)
    link(root, plan)?;
    fault::point("write.linked");
    if unchanged {
        return Ok(WriteOutcome::Unchanged);
    }
    // (9)
    if let Some(old) = shown {
        remove_tree(root, &old)?;
    }
    Ok(WriteOutcome::Swapped)
}

/// Mends the links in the top folder: what a repeated publish comes to. Answers whether a version is shown;
/// without one, the files must be written again.
///
/// # Errors
/// [`WriteError`].
pub fn mend(root: BorrowedFd<'_>) -> Result<bool, WriteError> {
    let Some(shown) = current_version(root)? else {
        return Ok(false);
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let version =
        rustix::fs::openat(root, &shown, flags, Mode::empty()).map_err(trying("opening the version"))?;
    let tops = names(version.as_fd())?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    links(root, &tops)?;
    Ok(true)
}

/// The version that `..data` leads to.
fn current_version(root: BorrowedFd<'_>) -> Result<Option<String>, WriteError> {
    match rustix::fs::readlinkat(root, DATA, Vec::new()) {
        Ok(link) => {
            let name = link.into_string().ok();
            let name = name.filter(|name| name.starts_with("..") && !name.contains('/') && name != "..");
            Ok(name.filter(|name| is_folder(root, name)))
        }
        Err(Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(error) => Err(trying("reading the link ..data")(error)),
    }
}

/// (1) Whatever begins with `..` and is neither `..data` nor the version that it leads to, nor the volume's
/// socket, is a leftover.
fn sweep(root: BorrowedFd<'_>, shown: Option<&str>) -> Result<(), WriteError> {
    for (name, kind) in names(root)? {
        let ours = [DATA, VERSION_FILE, SOCKET].contains(&name.as_str());
        if !name.starts_with("..") || ours || Some(name.as_str()) == shown {
            continue;
        }
        remove(root, &name, kind)?;
    }
    Ok(())
}

/// (3) to (6).
fn swap(root: BorrowedFd<'_>, plan: &Plan, group: Option<u32>) -> Result<(), WriteError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Should the clock have gone back to the very nanosecond, making the folder says so.
    let name = format!("..{}", now.as_nanos());
    let made = fill(root, &name, plan, group).and_then(|()| {
        fault::point("write.filled");
        // (5)
        rustix::fs::symlinkat(name.as_str(), root, DATA_NEW).map_err(trying("making the link ..data_tmp"))?;
        fault::point("write.data_tmp");
        // (6)
        rustix::fs::renameat(root, DATA_NEW, root, DATA).map_err(trying("swapping ..data"))
    });
    if made.is_err() {
        // The next write would sweep them too; the room is wanted now.
        let _ = unlink(root, DATA_NEW);
        let _ = remove_tree(root, &name);
    }
    made
}

/// (3) and (4).
fn fill(root: BorrowedFd<'_>, name: &str, plan: &Plan, group: Option<u32>) -> Result<(), WriteError> {
    // (3)
    let version = make_folder(root, name)?;
    fault::point("write.version_folder");
    // (4)
    let own = (VERSION_FILE, 0o444, plan.version_file.as_bytes());
    write_file(version.as_fd(), own.0, own.1, own.2, None)?;
    for (path, file) in &plan.files {
        let folder = folder_of(version.as_fd(), path)?;
        let name = path.parts().next_back().unwrap_or_default();
        let bytes = file.bytes.expose();
        write_file(folder.as_fd(), name, file.mode.bits(), bytes, group)?;
        fault::point("write.file");
    }
    Ok(())
}

fn make_folder(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, WriteError> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)).map_err(trying("making a folder"))?;
    let folder = open_folder(parent, name)?;
    // Not by mkdir, which the process's umask narrows.
    rustix::fs::fchmod(&folder, Mode::from_raw_mode(0o755))
        .map_err(trying("opening a folder to its readers"))?;
    Ok(folder)
}

fn open_folder(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, WriteError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(trying("opening a folder"))
}

/// The folder of a file below the version, made where it is not there yet.
fn folder_of(version: BorrowedFd<'_>, path: &FilePath) -> Result<OwnedFd, WriteError> {
    let mut folder = version.try_clone_to_owned().map_err(|source| WriteError::Step {
        step: "opening a folder",
        source,
    })?;
    let mut parts = path.parts();
    parts.next_back();
    for part in parts {
        let there = rustix::fs::statat(&folder, part, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        folder = if there {
            open_folder(folder.as_fd(), part)?
        } else {
            make_folder(folder.as_fd(), part)?
        };
    }
    Ok(folder)
}

fn write_file(
    folder: BorrowedFd<'_>,
    name: &str,
    mode: u32,
    bytes: &[u8],
    group: Option<u32>,
) -> Result<(), WriteError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))
        .map_err(trying("making a file"))?;
    let mut file = fs::File::from(file);
    file.write_all(bytes)
        .map_err(|source| match Errno::from_io_error(&source) {
            Some(error) => trying("writing a file")(error),
            None => WriteError::Step {
                step: "writing a file",
                source,
            },
        })?;
    if let Some(group) = group {
        let group = Gid::from_raw(group);
        rustix::fs::fchown(&file, None, Some(group)).map_err(trying("giving a file to its group"))?;
    }
    // Also last: a change of owner takes bits away.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(trying("opening a file to its readers"))
}

/// (2) Whether a version holds the planned files and nothing else.
fn matches_plan(
    root: BorrowedFd<'_>,
    shown: &str,
    plan: &Plan,
    group: Option<u32>,
) -> Result<bool, WriteError> {
    let version = open_folder(root, shown)?;
    let mut there = BTreeSet::new();
    paths(version.as_fd(), "", &mut there)?;
    let mut planned: BTreeSet<&str> = plan.files.keys().map(FilePath::as_str).collect();
    planned.insert(VERSION_FILE);
    if !there.iter().map(String::as_str).eq(planned.iter().copied()) {
        return Ok(false);
    }
    let owner = group.unwrap_or(0);
    // A store of the same content may be some bytes longer or shorter, or is none.
    let fits = |size: i64, planned: usize, store: bool| {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        size == planned || (store && size <= planned * 2)
    };
    let same = |path: &str, mode: u32, (bytes, owner, password): (&[u8], u32, Option<&SecretBytes>)| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(&version, path, flags, Mode::empty()).map_err(trying("opening a file"))?;
        let is = rustix::fs::fstat(&file).map_err(trying("looking at a file"))?;
        let alike = is.st_mode & 0o7777 == mode && is.st_gid == owner;
        if !alike || !fits(is.st_size, bytes.len(), password.is_some()) {
            return Ok(false);
        }
        match password {
            None => same_bytes(fs::File::from(file), bytes),
            Some(password) => Ok(same_store(&all_bytes(fs::File::from(file))?, bytes, password)),
        }
    };
    if !same(VERSION_FILE, 0o444, (plan.version_file.as_bytes(), 0, None))? {
        return Ok(false);
    }
    for (path, file) in &plan.files {
        let planned = (file.bytes.expose(), owner, file.password.as_ref());
        if !same(path.as_str(), file.mode.bits(), planned)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compares without a copy of the whole file in memory.
fn same_bytes(mut file: fs::File, bytes: &[u8]) -> Result<bool, WriteError> {
    let mut chunk = Zeroizing::new([0_u8; 4_096]);
    let mut rest = bytes;
    loop {
        let read = io::Read::read(&mut file, &mut *chunk).map_err(|source| WriteError::Step {
            step: "reading a file",
            source,
        })?;
        let (Some(there), Some(expected)) = (chunk.get(..read), rest.get(..read)) else {
            return Ok(false);
        };
        if there != expected {
            return Ok(false);
        }
        if read == 0 {
            return Ok(rest.is_empty());
        }
        rest = rest.get(read..).unwrap_or_default();
    }
}

fn all_bytes(mut file: fs::File) -> Result<Zeroizing<Vec<u8>>, WriteError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = io::Read::read_to_end(&mut file, &mut bytes);
    read.map_err(|source| WriteError::Step {
        step: "reading a file",
        source,
    })?;
    Ok(bytes)
}

/// All files below a folder, by their path.
fn paths(folder: BorrowedFd<'_>, above: &str, into: &mut BTreeSet<String>) -> Result<(), WriteError> {
    for (name, kind) in names(folder)? {
        let path = format!("{above}{name}");
        if kind == FileType::Directory {
            paths(open_folder(folder, &name)?.as_fd(), &format!("{path}/"), into)?;
        } else {
            into.insert(path);
        }
    }
    Ok(())
}

/// (7) and (8) for a plan.
fn link(root: BorrowedFd<'_>, plan: &Plan) -> Result<(), WriteError> {
    let mut tops: BTreeSet<String> = plan.files.keys().map(|path| path.top().to_owned()).collect();
    tops.insert(VERSION_FILE.to_owned());
    links(root, &tops)
}

fn links(root: BorrowedFd<'_>, tops: &BTreeSet<String>) -> Result<(), WriteError> {
    // (7)
    for top in tops {
        let to = format!("{DATA}/{top}");
        match rustix::fs::readlinkat(root, top.as_str(), Vec::new()) {
            Ok(link) if link.as_bytes() == to.as_bytes() => continue,
            Ok(_) | Err(Errno::NOENT) => {}
            // A file or a folder that is none of ours: this is our volume.
            Err(Errno::INVAL) => {
                if is_folder(root, top) {
                    remove_tree(root, top)?;
                }
            }
            Err(error) => return Err(trying("reading a link")(error)),
        }
        unlink(root, LINK_NEW)?;
        rustix::fs::symlinkat(to.as_str(), root, LINK_NEW).map_err(trying("making a link"))?;
        rustix::fs::renameat(root, LINK_NEW, root, top.as_str())
            .map_err(trying("putting a link in its place"))?;
    }
    // (8)
    for (name, kind) in names(root)? {
        if name.starts_with("..") || tops.contains(&name) {
            continue;
        }
        remove(root, &name, kind)?;
    }
    Ok(())
}

fn unlink(folder: BorrowedFd<'_>, name: &str) -> Result<(), WriteError> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(trying("removing a file")(error)),
    }
}

fn is_folder(parent: BorrowedFd<'_>, name: &str) -> bool {
    let there = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    there.is_ok_and(|there| FileType::from_raw_mode(there.st_mode) == FileType::Directory)
}

/// Takes away what is of this kind.
fn remove(parent: BorrowedFd<'_>, name: &str, kind: FileType) -> Result<(), WriteError> {
    if kind == FileType::Directory {
        remove_tree(parent, name)
    } else {
        unlink(parent, name)
    }
}

fn remove_tree(parent: BorrowedFd<'_>, name: &str) -> Result<(), WriteError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(trying("opening a folder")(error)),
    };
    for (name, kind) in names(folder.as_fd())? {
        remove(folder.as_fd(), &name, kind)?;
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(trying("removing a folder")(error)),
    }
}

/// The names in a folder and what they are. A name that is no text is left out: none of ours is one.
fn names(folder: BorrowedFd<'_>) -> Result<Vec<(String, FileType)>, WriteError> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder).map_err(trying("reading a folder"))? {
        let entry = entry.map_err(trying("reading a folder"))?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if name != "." && name != ".." {
            names.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
