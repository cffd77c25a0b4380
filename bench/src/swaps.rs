//! When folders that kubelet or the node plugin keeps get another version: the kernel tells of the rename of
//! `..data` in them (inotify(7)).

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::Outcome;

/// Bytes of events that are read at once.
const BUFFER: usize = 65_536;

/// Folders that are looked at.
pub(crate) struct SwapWatch {
    events: OwnedFd,
    folders: Vec<i32>,
}

impl SwapWatch {
    /// Looks at these from now on.
    pub(crate) fn watch(folders: impl Iterator<Item = PathBuf>) -> Outcome<Self> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let watch = |folder: PathBuf| inotify::add_watch(&events, &folder, WatchFlags::MOVED_TO);
        let folders = folders.map(watch).collect::<Result<_, _>>()?;
        Ok(Self { events, folders })
    }

    /// Seconds from `start` until each of them had another version, in the order in which that was.
    pub(crate) fn all(&self, start: Instant, patience: Duration) -> Outcome<Vec<f64>> {
        let mut seen = BTreeMap::new();
        while seen.len() < self.folders.len() {
            if start.elapsed() > patience {
                return Err(
                    format!("{} of {} folders changed in time", seen.len(), self.folders.len()).into(),
                );
            }
            for folder in self.read(Duration::from_secs(1))? {
                seen.entry(folder)
                    .or_insert_with(|| start.elapsed().as_secs_f64());
            }
        }
        let mut seconds: Vec<f64> = seen.into_values().collect();
        seconds.sort_by(f64::total_cmp);
        Ok(seconds)
    }

    /// Forgets what has happened until now; how many changes those were.
    pub(crate) fn forget(&self) -> Outcome<usize> {
        let mut changes = 0;
        loop {
            let some = self.read(Duration::ZERO)?.len();
            if some == 0 {
                return Ok(changes);
            }
            changes += some;
        }
    }

    /// The folders that have another version, as they come; none after this time without one.
    fn read(&self, wait: Duration) -> Outcome<Vec<i32>> {
        let wait = Timespec::try_from(wait)?;
        poll(&mut [PollFd::new(&self.events, PollFlags::IN)], Some(&wait))?;
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.events, &mut buffer);
        let mut changed = Vec::new();
        loop {
            match reader.next() {
                Ok(event) if event.file_name().is_some_and(|name| name.to_bytes() == b"..data") => {
                    changed.push(event.wd());
                }
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    return Err("the kernel has more events than it keeps".into());
                }
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(changed),
                Err(error) => return Err(error.into()),
            }
            if reader.is_buffer_empty() && !changed.is_empty() {
                return Ok(changed);
            }
        }
    }
}
