//! Writing into the segment in use, and changing it: handles what a full disk or a failed write leaves
//! behind, and makes sure that a segment can always be ended.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::append_error::{AppendError, is_full};
use super::log::{LogState, SegmentLog};
use super::record::{ReadRecord, RecordKind, RecordPosition, SIGNED_MARK_BYTES, SignedMark};
use super::segment::{HEADER_BYTES, SegmentHeader};

impl SegmentLog {
    pub(super) const fn next_place(&self, state: &LogState) -> RecordPosition {
        RecordPosition {
            epoch: self.options.epoch,
            sequence: state.head.sequence + 1,
            synced: state.fsynced.sequence,
            previous: state.head.hash,
        }
    }

    /// Writes how the log was opened, durably and before anything else.
    pub(super) fn write_opening(&self, state: &mut LogState) -> Result<(), AppendError> {
        Self::usable(state)?;
        let Some(opening) = state.opening else {
            return Ok(());
        };
        self.make_room(state, SIGNED_MARK_BYTES, true)?;
        let mut place = self.next_place(state);
        let missing_from = if opening.kind == RecordKind::Gap {
            let first = place.sequence;
            place.sequence = first.max(opening.skip_to.saturating_add(1));
            first
        } else {
            0
        };
        self.write_signed(state, opening.kind, place, missing_from)?;
        self.sync_all(state)?;
        state.opening = None;
        Ok(())
    }

    pub(super) fn write_mark(
        &self,
        state: &mut LogState,
        kind: RecordKind,
        keep: bool,
    ) -> Result<(), AppendError> {
        self.make_room(state, SIGNED_MARK_BYTES, keep)?;
        let place = self.next_place(state);
        self.write_signed(state, kind, place, 0)
    }

    fn write_signed(
        &self,
        state: &mut LogState,
        kind: RecordKind,
        place: RecordPosition,
        missing_from: u64,
    ) -> Result<(), AppendError> {
        let (signer, store) = (self.keyring.signer(), self.keyring.store());
        let mark = SignedMark::sign(signer, &store, kind, &place, state.time, missing_from);
        self.write(state, kind, &place, &mark.encode())?;
        state.unsigned = false;
        Ok(())
    }

    pub(super) fn usable(state: &LogState) -> Result<(), AppendError> {
        match &state.failed {
            Some(why) => Err(AppendError::Poisoned(why.clone())),
            None if state.closed => Err(AppendError::Closed),
            None => Ok(()),
        }
    }

    /// Room for a record; `keep` leaves room for one mark after it, so that a segment, and the log, can
    /// always be ended.
    pub(super) fn make_room(
        &self,
        state: &mut LogState,
        record: usize,
        keep: bool,
    ) -> Result<(), AppendError> {
        Self::usable(state)?;
        let needed = record + if keep { SIGNED_MARK_BYTES } else { 0 };
        if state.segment > 0 && state.offset + needed as u64 <= state.size {
            return Ok(());
        }
        self.change_segment(state).map(drop)
    }

    /// Ends the segment in use with a checkpoint, fsyncs it, and begins the next one. Returns how much of the
    /// one before is written.
    ///
    /// INVARIANT: a segment is begun only when all of the one before is durable, so only the last one can be
    /// torn.
    pub(super) fn change_segment(&self, state: &mut LogState) -> Result<u64, AppendError> {
        let next = state.segment + 1;
        if next > state.last_segment {
            match self.storage.create(next, self.options.segment_bytes) {
                Ok(()) => state.last_segment = next,
                Err(error) if is_full(&error) => return Err(AppendError::OutOfSpace),
                // Nothing was written, so nothing is in doubt: the next record tries again.
                Err(error) => return Err(AppendError::NoSegment(error.to_string())),
            }
        }
        let size = self
            .storage
            .size(next)
            .map_err(|error| AppendError::NoSegment(error.to_string()))?;
        if state.segment > 0 {
            if state.unsigned && state.offset + SIGNED_MARK_BYTES as u64 <= state.size {
                let place = self.next_place(state);
                self.write_signed(state, RecordKind::Checkpoint, place, 0)?;
            }
            self.sync_all(state)?;
        }
        let header = SegmentHeader {
            store: self.keyring.store(),
            number: next,
            before: state.head,
        };
        if let Err(error) = self.storage.write(next, 0, &header.encode()) {
            return Err(self.failed_write(state, next, 0, HEADER_BYTES, &error));
        }
        let (written, rest) = (state.offset, state.size.saturating_sub(state.offset));
        let closed = if state.segment > 0 { rest } else { 0 };
        self.bytes
            .fetch_add(closed + HEADER_BYTES as u64, Ordering::Relaxed);
        state.segment = next;
        state.offset = HEADER_BYTES as u64;
        state.size = size;
        state.dirty.get_or_insert_with(Instant::now);
        self.work.notify_one();
        Ok(written)
    }

    pub(super) fn write(
        &self,
        state: &mut LogState,
        kind: RecordKind,
        place: &RecordPosition,
        payload: &[u8],
    ) -> Result<(), AppendError> {
        let (bytes, head) = ReadRecord::encoded(&self.keyring.store(), kind, place, payload);
        if let Err(error) = self.storage.write(state.segment, state.offset, &bytes) {
            let (segment, offset) = (state.segment, state.offset);
            return Err(self.failed_write(state, segment, offset, bytes.len(), &error));
        }
        state.offset += bytes.len() as u64;
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        state.head = head;
        if !matches!(kind, RecordKind::Checkpoint | RecordKind::Close) {
            state.notable = state.head;
        }
        if state.dirty.is_none() {
            state.dirty = Some(Instant::now());
            self.work.notify_one();
        }
        Ok(())
    }

    /// A full disk may have taken a part of the bytes: they are wiped, and it goes on once there is room.
    /// After any other failure nobody knows what is on disk.
    fn failed_write(
        &self,
        state: &mut LogState,
        segment: u64,
        offset: u64,
        length: usize,
        error: &io::Error,
    ) -> AppendError {
        if is_full(error) && self.storage.write(segment, offset, &vec![0; length]).is_ok() {
            return AppendError::OutOfSpace;
        }
        Self::broken(state, error)
    }
}
