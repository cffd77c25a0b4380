//! Appending to the read chain. One lock orders the records; fsync happens outside of it but for the change
//! of segments.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};
use strongroom_model::time::Timestamp;

use super::super::{AuditUnavailable, Durability, Entry, ReadHead};
use super::append_error::{AppendError, is_full};
use super::closed_segments::ClosedSegment;
use super::record::{RecordKind, entry_record_size, seal_entry};
use super::recovery::{self, RecoveredEnd};
use super::segment::HEADER_BYTES;
use super::storage::SegmentStorage;
use super::{MIN_SEGMENT_BYTES, ReadLogError, ReadLogOptions};
use crate::crypto::Keyring;

/// What changes with each record.
#[derive(Debug)]
pub(super) struct LogState {
    pub(super) head: ReadHead,
    pub(super) fsynced: ReadHead,
    /// The last record that mutations should take note of: a checkpoint is none, or each would be followed by
    /// a commit.
    pub(super) notable: ReadHead,
    /// The last such record that was fsynced.
    shown: ReadHead,
    /// The segment in use; 0: none yet.
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// Bytes of the segment in use.
    pub(super) size: u64,
    /// The highest number of a segment that is there.
    pub(super) last_segment: u64,
    /// The mark that says how the log was opened, until there is room for it: nothing else may be written
    /// before.
    pub(super) opening: Option<OpeningMark>,
    /// Time of the newest record.
    pub(super) time: Timestamp,
    /// Entries since the last signed record.
    pub(super) unsigned: bool,
    /// Since when something is not fsynced.
    pub(super) dirty: Option<Instant>,
    /// Callers who wait for an fsync.
    pub(super) waiting: usize,
    pub(super) failed: Option<String>,
    pub(super) closed: bool,
    pub(super) stopping: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct OpeningMark {
    pub(super) kind: RecordKind,
    /// Numbers up to this one are never used again.
    pub(super) skip_to: u64,
}

/// The log, shared with its flusher.
#[derive(Debug)]
pub struct SegmentLog {
    pub(super) storage: Arc<dyn SegmentStorage>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) options: ReadLogOptions,
    state: Mutex<LogState>,
    /// Wakes the flusher.
    pub(super) work: Condvar,
    /// Wakes those who wait for an fsync.
    synced: Condvar,
    /// Held during an fsync; the failure of one counts for all that follow, whoever asks.
    syncing: Mutex<Option<String>>,
    /// Bytes of the closed segments, and those written to the one in use.
    pub(super) bytes: AtomicU64,
    /// The highest number of a segment that was removed, or is about to be.
    left: AtomicU64,
    /// The last piece that was looked at, and the place before it: what is closed does not change.
    pub(super) examined: Mutex<Option<(ReadHead, ClosedSegment)>>,
}

impl SegmentLog {
    pub(super) fn open(
        storage: Arc<dyn SegmentStorage>,
        keyring: Arc<Keyring>,
        mut options: ReadLogOptions,
    ) -> Result<Self, ReadLogError> {
        options.segment_bytes = options.segment_bytes.max(MIN_SEGMENT_BYTES);
        let found = recovery::find(storage.as_ref(), &keyring, options.seen)?;
        let seen = options.seen.sequence;
        let lost = seen > found.head.sequence;
        if lost && !options.accept_loss {
            return Err(ReadLogError::Lost {
                found: found.head.sequence,
                seen,
            });
        }
        recovery::clear(storage.as_ref(), &found.torn)?;
        let opening = OpeningMark {
            kind: if found.clean && !lost {
                RecordKind::Open
            } else {
                RecordKind::Gap
            },
            skip_to: seen,
        };
        let log = Self::new(storage, keyring, options, &found, opening)?;
        log.begin()?;
        Ok(log)
    }

    fn new(
        storage: Arc<dyn SegmentStorage>,
        keyring: Arc<Keyring>,
        options: ReadLogOptions,
        found: &RecoveredEnd,
        opening: OpeningMark,
    ) -> Result<Self, ReadLogError> {
        let size = found.segment.map_or(Ok(0), |segment| storage.size(segment))?;
        let mut bytes = found.segment.map_or(0, |_| found.offset);
        for number in storage.segments()? {
            if found.segment.is_some_and(|in_use| number < in_use) {
                bytes += storage.size(number)?;
            }
        }
        let state = LogState {
            head: found.head,
            fsynced: ReadHead::default(),
            notable: found.head,
            shown: ReadHead::default(),
            segment: found.segment.unwrap_or(0),
            offset: found.offset,
            size,
            last_segment: found.last_segment,
            opening: Some(opening),
            // INVARIANT: time in the chain never goes back because a clock did.
            time: found.time.map_or(options.now, |time| time.max(options.now)),
            unsigned: false,
            dirty: None,
            waiting: 0,
            failed: None,
            closed: false,
            stopping: false,
        };
        Ok(Self {
            storage,
            keyring,
            options,
            state: Mutex::new(state),
            work: Condvar::new(),
            synced: Condvar::new(),
            syncing: Mutex::new(None),
            bytes: AtomicU64::new(bytes),
            left: AtomicU64::new(0),
            examined: Mutex::new(None),
        })
    }

    /// Makes sure of what was found, fills the reserve as far as there is room, and writes how the log was
    /// opened.
    fn begin(&self) -> Result<(), ReadLogError> {
        let mut state = self.lock();
        if state.segment > 0 {
            // What a killed process wrote is whole in the page cache, and not yet on disk.
            self.storage.sync(state.segment)?;
        }
        state.fsynced = state.head;
        state.shown = state.notable;
        for number in state.segment + 1..=state.last_segment {
            if self.storage.size(number)? < MIN_SEGMENT_BYTES
                && let Err(error) = self.storage.create(number, self.options.segment_bytes)
            {
                if !is_full(&error) {
                    return Err(error.into());
                }
                state.last_segment = number - 1;
                break;
            }
        }
        while Self::reserve_lacks(&state, &self.options) {
            match self
                .storage
                .create(state.last_segment + 1, self.options.segment_bytes)
            {
                Ok(()) => state.last_segment += 1,
                Err(error) if is_full(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        match self.write_opening(&mut state) {
            // The store opens on a full disk too; then reads are refused until there is room.
            Ok(()) | Err(AppendError::OutOfSpace | AppendError::NoSegment(_)) => Ok(()),
            Err(AppendError::Crypto(error)) => Err(error.into()),
            Err(error) => Err(io::Error::other(error.to_string()).into()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock()
    }

    /// Whether a segment should be made ahead of need.
    pub(super) const fn reserve_lacks(state: &LogState, options: &ReadLogOptions) -> bool {
        let in_use = if state.segment == 0 { 1 } else { state.segment };
        state.last_segment + 1 < in_use + options.reserve_segments
    }

    /// The last fsynced place that mutations should take note of.
    pub(super) fn shown(&self) -> ReadHead {
        self.lock().shown
    }

    pub(super) fn append(&self, entry: &Entry, durability: Durability) -> Result<(), AuditUnavailable> {
        let plain = entry.encode();
        let mut state = self.lock();
        self.write_opening(&mut state)?;
        self.make_room(&mut state, entry_record_size(plain.len()), true)?;
        let place = self.next_place(&state);
        let payload = seal_entry(&self.keyring, &place, &plain).map_err(AppendError::from)?;
        state.time = state.time.max(entry.time);
        self.write(&mut state, RecordKind::Entry, &place, &payload)?;
        state.unsigned = true;
        if durability == Durability::Batched {
            return Ok(());
        }
        let sequence = state.head.sequence;
        state.waiting += 1;
        self.work.notify_one();
        while state.fsynced.sequence < sequence && state.failed.is_none() && !state.stopping {
            self.synced.wait(&mut state);
        }
        state.waiting -= 1;
        if state.fsynced.sequence >= sequence {
            return Ok(());
        }
        let why = state.failed.clone();
        Err(why.map_or(AppendError::Closed, AppendError::Poisoned).into())
    }

    /// Fsyncs all, then marks the clean end. Where that fails the next open finds an unclean end, which is
    /// true.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        if state.opening.is_none() && state.failed.is_none() && self.sync_all(&mut state).is_ok() {
            let _ = self
                .write_mark(&mut state, RecordKind::Close, false)
                .and_then(|()| self.sync_all(&mut state));
        }
        state.closed = true;
        self.synced.notify_all();
    }

    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        state.closed = true;
        self.work.notify_all();
        self.synced.notify_all();
    }

    /// A checkpoint of what was fsynced so far. Written without one more fsync: it says itself how far that
    /// went.
    pub(super) fn checkpoint(&self, state: &mut LogState) -> Result<(), AppendError> {
        self.write_mark(state, RecordKind::Checkpoint, true)
    }

    /// One fsync for everybody: without the lock, so that records are written meanwhile.
    pub(super) fn flush(&self) {
        let mut state = self.lock();
        let (head, notable, segment) = (state.head, state.notable, state.segment);
        state.dirty = None;
        drop(state);
        let result = self.sync(segment);
        let mut state = self.lock();
        match result {
            Ok(()) if head.sequence > state.fsynced.sequence => {
                state.fsynced = head;
                state.shown = notable;
            }
            Ok(()) => {}
            Err(error) => Self::poison(&mut state, &error),
        }
        self.synced.notify_all();
    }

    fn sync(&self, segment: u64) -> Result<(), AppendError> {
        let mut failed = self.syncing.lock();
        if let Some(why) = failed.as_ref() {
            return Err(AppendError::Poisoned(why.clone()));
        }
        // Closed meanwhile, so it was synced whole, and then removed.
        if segment > 0 && segment <= self.left.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.storage.sync(segment).map_err(|error| {
            let why = error.to_string();
            *failed = Some(why.clone());
            AppendError::Poisoned(why)
        })
    }

    pub(super) fn sync_all(&self, state: &mut LogState) -> Result<(), AppendError> {
        self.sync(state.segment)
            .inspect_err(|error| Self::poison(state, error))?;
        state.fsynced = state.head;
        state.shown = state.notable;
        state.dirty = None;
        self.synced.notify_all();
        Ok(())
    }

    fn poison(state: &mut LogState, error: &AppendError) {
        if state.failed.is_none() {
            state.failed = Some(match error {
                AppendError::Poisoned(why) => why.clone(),
                other => other.to_string(),
            });
        }
    }

    /// Makes all durable that was written, the header of the segment in use included.
    pub(super) fn make_durable(&self) -> Result<(), AppendError> {
        self.flush();
        match &self.lock().failed {
            Some(why) => Err(AppendError::Poisoned(why.clone())),
            None => Ok(()),
        }
    }

    /// Bytes of the closed segments, and those written to the one in use.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The segment in use and the bytes written to it; 0: there is none yet.
    pub(super) fn segment_in_use(&self) -> (u64, u64) {
        let state = self.lock();
        (state.segment, state.offset)
    }

    /// Closes the segment in use, where it holds anything, and gives back what it did not fill.
    pub(super) fn close_segment(&self) -> Result<(), AppendError> {
        let mut state = self.lock();
        self.write_opening(&mut state)?;
        if state.offset <= HEADER_BYTES as u64 {
            return Ok(());
        }
        let (segment, size) = (state.segment, state.size);
        let written = self.change_segment(&mut state)?;
        // The piece can go once a change has seen its end, and maybe nothing is ever read again. All of it
        // was fsynced.
        state.notable = state.head;
        state.shown = state.head;
        drop(state);
        // Where the zeros stay, they take room and nothing else.
        if self.storage.shrink(segment, written).is_ok() {
            self.bytes
                .fetch_sub(size.saturating_sub(written), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Before a closed segment is removed: nobody waits for its fsync any more, and an fsync that runs has
    /// ended.
    pub(super) fn leave(&self, segment: u64) {
        let _none_runs = self.syncing.lock();
        self.left.fetch_max(segment, Ordering::SeqCst);
    }

    /// After a closed segment of so many bytes was removed.
    pub(super) fn removed(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn broken(state: &mut LogState, error: &io::Error) -> AppendError {
        let error = AppendError::Poisoned(error.to_string());
        Self::poison(state, &error);
        error
    }
}
