//! Reads of both chains of the audit, and how far their readers have come.

use strongroom_model::name::CursorName;

use crate::audit::{
    self, Entry, MutationRecord, ReadChainRecord, ReadLogError, SegmentStorage, decode_key, encode_key,
};
use crate::crypto::{Context, IndexDomain};
use crate::engine::{Snapshot, Table};
use crate::vault::error::StoreError;
use crate::vault::store::Store;

impl Store {
    /// Records of the read chain on `storage` after a number, in order, at most `limit`.
    ///
    /// # Errors
    /// [`ReadLogError`] names a record that does not open or does not follow.
    pub fn reads_after(
        &self,
        storage: &dyn SegmentStorage,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<(u64, ReadChainRecord)>, ReadLogError> {
        audit::reads_after(storage, &self.shared.keyring, sequence, limit)
    }

    /// Entries of the mutation chain after a number, in order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn mutations_after(&self, sequence: u64, limit: usize) -> Result<Vec<(u64, Entry)>, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let mut entries = Vec::new();
        let mut from = self.epoch_of(snapshot.as_ref(), sequence)?;
        while entries.len() < limit {
            let batch = snapshot.scan(
                Table::Audit,
                &[],
                from.as_deref(),
                (limit - entries.len()).min(256),
            )?;
            let Some((last, _)) = batch.last() else { break };
            from = Some(last.clone());
            for (key, value) in &batch {
                let damaged = || StoreError::damaged("a record of the mutation chain");
                let record = MutationRecord::decode(key, value).map_err(|_| damaged())?;
                if record.sequence > sequence {
                    entries.push((
                        record.sequence,
                        record.open(&self.shared.keyring).map_err(|_| damaged())?,
                    ));
                }
            }
        }
        Ok(entries)
    }

    /// A key of the audit table at or before the record of a number. Keys begin with the epoch, and a number
    /// belongs to one epoch: the newest one that begins at or before it.
    fn epoch_of(&self, snapshot: &dyn Snapshot, sequence: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let newest = u32::try_from(self.shared.epoch).unwrap_or(u32::MAX);
        for epoch in (0..=newest).rev() {
            let first = snapshot.scan(Table::Audit, &epoch.to_be_bytes(), None, 1)?;
            if let Some((key, _)) = first.first()
                && decode_key(key).is_ok_and(|(_, first)| first <= sequence)
            {
                return Ok(Some(encode_key(epoch, sequence)));
            }
        }
        Ok(None)
    }

    /// How far a reader of the mutation chain has come.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn cursor(&self, name: &CursorName) -> Result<Option<Vec<u8>>, StoreError> {
        self.with_view(|view| {
            let index = view
                .keyring
                .blind_index(IndexDomain::Cursor, &[name.as_str().as_bytes()]);
            let Some(sealed) = view.raw(Table::Cursor, &index)? else {
                return Ok(None);
            };
            let bytes = view
                .keyring
                .open(&Context::Cursor(name.as_str()), &sealed)
                .map_err(|_| StoreError::damaged(format!("cursor `{name}`")))?;
            Ok(Some(bytes.expose().to_vec()))
        })
    }
}
