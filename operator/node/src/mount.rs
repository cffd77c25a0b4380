//! The tmpfs of a volume: created detached, filled, and attached last, so that nobody ever sees it half
//! filled.
//!
//! One tmpfs a volume, never a shared one with binds: so a restart of this process leaves no dangling mount,
//! and each has a size of its own. `nosuid`, `nodev` and `noexec` hold on the host; a container's runtime
//! binds the volume with flags of its own, so they protect nothing inside of it. Must not know what is in the
//! files.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatFs};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

/// What our mounts are called in the mount table.
pub const SOURCE: &str = "strongroom";

/// The type of a tmpfs (`man 2 statfs`).
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// How often one place may be unmounted before we give up: somebody mounts there faster than we unmount.
const MAX_LAYERS: usize = 16;

/// How large a volume may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the tmpfs; the kernel rounds it up to pages.
    pub bytes: u64,
    /// Files, folders and links.
    pub inodes: u64,
}

/// Why a volume could not be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A step failed.
    #[error("{step} {}: {source}", path.display())]
    Step {
        /// What was tried.
        step: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Somebody else's mount is in the way.
    #[error("{} is mounted, but not by this plugin: unmount it", .0.display())]
    Foreign(PathBuf),
    /// Something is in the way.
    #[error("{} is not a directory", .0.display())]
    NotFolder(PathBuf),
}

fn trying(step: &'static str, path: &Path) -> impl FnOnce(Errno) -> MountError {
    move |error| MountError::Step {
        step,
        path: path.to_owned(),
        source: error.into(),
    }
}

/// A tmpfs that is attached nowhere. Dropped, it is gone with all that is in it.
#[derive(Debug)]
pub struct DetachedTmpfs {
    mount: OwnedFd,
    root: OwnedFd,
    /// Whether pages of it may reach a swap device.
    pub swappable: bool,
}

impl DetachedTmpfs {
    /// An empty one.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(limits: Limits) -> Result<Self, MountError> {
        // `noswap` came with Linux 6.4.
        let (made, swappable) = match Self::with(limits, true) {
            Err(Errno::INVAL) => (Self::with(limits, false), true),
            made => (made, false),
        };
        let mount = made.map_err(trying("making a", Path::new("tmpfs")))?;
        // The mount itself can be moved, and not be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&mount, ".", flags, Mode::empty());
        Ok(Self {
            root: root.map_err(trying("opening a", Path::new("tmpfs")))?,
            mount,
            swappable,
        })
    }

    fn with(limits: Limits, noswap: bool) -> Result<OwnedFd, Errno> {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", SOURCE)?;
        fsconfig_set_string(&context, "size", limits.bytes.to_string())?;
        fsconfig_set_string(&context, "nr_inodes", limits.inodes.to_string())?;
        fsconfig_set_string(&context, "mode", "0755")?;
        if noswap {
            fsconfig_set_flag(&context, "noswap")?;
        }
        fsconfig_create(&context)?;
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
    }

    /// Its top folder, to write files below.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Attaches it. From here on the pod can see it.
    ///
    /// # Errors
    /// What the kernel says; the tmpfs is gone then.
    pub fn attach(self, target: &Path) -> Result<(), MountError> {
        move_mount(
            &self.mount,
            "",
            CWD,
            target,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .map_err(trying("mounting on", target))
    }
}

/// The top folder of a volume whose file system has this number, if it is still mounted there. No look at the
/// mount table: cheap.
#[must_use]
pub fn open_mounted(target: &Path, device: u64) -> Option<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(target, flags, Mode::empty()).ok()?;
    (device_of(root.as_fd()).ok()? == device).then_some(root)
}

/// The number of the file system that a folder is on.
///
/// # Errors
/// What the kernel says.
pub fn device_of(folder: BorrowedFd<'_>) -> Result<u64, MountError> {
    let there = rustix::fs::fstat(folder).map_err(trying("looking at", Path::new("a volume")))?;
    Ok(there.st_dev)
}

/// How full a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes: in all, free.
    pub bytes: (u64, u64),
    /// Inodes: in all, free.
    pub inodes: (u64, u64),
}

impl Usage {
    /// Bytes that are taken.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.bytes.0.saturating_sub(self.bytes.1)
    }
}

/// Looks how full a volume is.
///
/// # Errors
/// What the kernel says.
pub fn usage(root: BorrowedFd<'_>) -> Result<Usage, MountError> {
    let there = rustix::fs::fstatvfs(root).map_err(trying("looking at", Path::new("a volume")))?;
    Ok(Usage {
        bytes: (
            there.f_blocks.saturating_mul(there.f_frsize),
            there.f_bavail.saturating_mul(there.f_frsize),
        ),
        inodes: (there.f_files, there.f_favail),
    })
}

/// What is at a target.
#[derive(Debug)]
pub enum MountState {
    /// There is nothing at that path.
    Absent,
    /// A folder, and nothing is mounted on it.
    Folder,
    /// A volume of ours; its top folder.
    Volume(OwnedFd),
}

/// Looks at a target.
///
/// # Errors
/// [`MountError::Foreign`] where something else is mounted, [`MountError::NotFolder`].
pub fn inspect(target: &Path) -> Result<MountState, MountError> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = match rustix::fs::open(target, flags, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(MountState::Absent),
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(MountError::NotFolder(target.to_owned())),
        Err(error) => return Err(trying("opening", target)(error)),
    };
    let here = rustix::fs::fstat(&root).map_err(trying("looking at", target))?;
    let above = rustix::fs::statat(&root, "..", AtFlags::empty()).map_err(trying("looking above", target))?;
    if here.st_dev == above.st_dev {
        return Ok(MountState::Folder);
    }
    // The mount table is long where there are many volumes, so it is read only where the cheap signs are
    // right.
    let kind: StatFs = rustix::fs::fstatfs(&root).map_err(trying("looking at", target))?;
    let tmpfs = u64::try_from(kind.f_type).is_ok_and(|kind| kind == TMPFS_MAGIC);
    if tmpfs && mounted_volumes()?.iter().any(|volume| volume == target) {
        Ok(MountState::Volume(root))
    } else {
        Err(MountError::Foreign(target.to_owned()))
    }
}

/// Unmounts whatever of ours is at a target, and removes the folder. Nothing there is fine.
///
/// # Errors
/// What the kernel says, or [`MountError::Foreign`].
pub fn remove(target: &Path) -> Result<(), MountError> {
    for _ in 0..MAX_LAYERS {
        match inspect(target)? {
            MountState::Absent => return Ok(()),
            MountState::Folder => {
                return match rustix::fs::unlinkat(CWD, target, AtFlags::REMOVEDIR) {
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(error) => Err(trying("removing", target)(error)),
                };
            }
            MountState::Volume(root) => {
                // An open folder would keep it busy.
                drop(root);
                match unmount(target, UnmountFlags::NOFOLLOW) {
                    Ok(()) | Err(Errno::INVAL) => {}
                    // Somebody still looks into it: it goes from the tree now, and from memory when they
                    // leave.
                    Err(Errno::BUSY) => unmount(target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)
                        .map_err(trying("unmounting", target))?,
                    Err(error) => return Err(trying("unmounting", target)(error)),
                }
            }
        }
    }
    Err(trying("unmounting", target)(Errno::BUSY))
}

/// Makes the folder that a volume is mounted on; what is above it is kubelet's and is there.
///
/// # Errors
/// What the kernel says.
pub fn make_folder(target: &Path) -> Result<(), MountError> {
    match rustix::fs::mkdirat(CWD, target, Mode::from_raw_mode(0o750)) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => {
            let there = rustix::fs::statat(CWD, target, AtFlags::SYMLINK_NOFOLLOW);
            let there = there.map_err(trying("looking at", target))?;
            if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
                Ok(())
            } else {
                Err(MountError::NotFolder(target.to_owned()))
            }
        }
        Err(error) => Err(trying("making", target)(error)),
    }
}

/// Where volumes of ours are mounted, by the kernel's mount table.
///
/// # Errors
/// Where it cannot be read.
pub fn mounted_volumes() -> Result<Vec<PathBuf>, MountError> {
    let path = Path::new("/proc/self/mountinfo");
    let table = fs::read(path).map_err(|source| MountError::Step {
        step: "reading",
        path: path.to_owned(),
        source,
    })?;
    Ok(volumes_in(&table))
}

/// The mount points of our tmpfs in a mount table (`man 5 proc_pid_mountinfo`), once for each layer.
fn volumes_in(table: &[u8]) -> Vec<PathBuf> {
    let volume = |line: &[u8]| {
        let mut fields = line.split(|c| *c == b' ');
        let point = fields.nth(4)?;
        let mut after = fields.skip_while(|field| *field != b"-").skip(1);
        let ours = after.next()? == b"tmpfs" && after.next()? == SOURCE.as_bytes();
        ours.then(|| PathBuf::from(OsStr::from_bytes(&unescaped(point))))
    };
    table.split(|c| *c == b'\n').filter_map(volume).collect()
}

/// The kernel writes space, tab, line feed and backslash as `\ooo`.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_mounts_are_found_in_the_table() {
        let table = b"22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            30 22 0:31 / /var/lib/kubelet/pods/a/mount rw,nosuid shared:9 master:2 - tmpfs strongroom rw,size=4096k\n\
            31 22 0:32 / /tmp/with\\040space rw - tmpfs strongroom rw\n\
            32 22 0:33 / /run rw - tmpfs tmpfs rw\n\
            33 22 0:34 / /strongroom rw - ext4 strongroom rw\n\
            broken line\n";
        assert_eq!(
            volumes_in(table),
            [
                PathBuf::from("/var/lib/kubelet/pods/a/mount"),
                PathBuf::from("/tmp/with space")
            ]
        );
        assert_eq!(unescaped(b"a\\134b\\9c\\"), b"a\\b\\9c\\");
    }
}
