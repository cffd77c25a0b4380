//! The read chain as bytes, for copies outside of the store: its segments, and which audit key followed
//! which.

use super::open_error::OpenError;
use super::state::read_rekeys;
use super::store::Store;
use crate::audit::{ReadLogError, RekeyRecord, SegmentCopy, SegmentSpan};

impl Store {
    /// The closed segments of the read chain, the oldest first.
    ///
    /// # Errors
    /// [`ReadLogError`].
    pub fn closed_read_segments(&self) -> Result<Vec<SegmentSpan>, ReadLogError> {
        let _none_goes = self.shared.retaining.lock();
        let Some(segments) = self.shared.reads().segments() else {
            return Ok(Vec::new());
        };
        segments.closed_spans()
    }

    /// One of them; none where it was cut since.
    ///
    /// # Errors
    /// [`ReadLogError`] names a record that is not what was written.
    pub fn copy_closed_reads(&self, span: &SegmentSpan) -> Result<Option<SegmentCopy>, ReadLogError> {
        let _none_goes = self.shared.retaining.lock();
        let Some(segments) = self.shared.reads().segments() else {
            return Ok(None);
        };
        segments.copy_closed(span)
    }

    /// What is signed and durable of the segment in use; none where nothing is.
    ///
    /// # Errors
    /// [`ReadLogError`].
    pub fn copy_active_reads(&self) -> Result<Option<SegmentCopy>, ReadLogError> {
        let _none_goes = self.shared.retaining.lock();
        let Some(segments) = self.shared.reads().segments() else {
            return Ok(None);
        };
        segments.copy_active()
    }

    /// The signed records of new root keys, the oldest first.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn rekey_records(&self) -> Result<Vec<RekeyRecord>, OpenError> {
        let snapshot = self.shared.engine.snapshot()?;
        read_rekeys(snapshot.as_ref())
    }
}
