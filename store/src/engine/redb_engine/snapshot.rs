//! One consistent view of a redb file. Must not outlive what it was made for: redb keeps all pages that it
//! can see.

use std::ops::Bound;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableError};

use super::database::definition;
use crate::engine::{EngineError, KeyValue, Revision, Snapshot, Table, Visitor};

/// What one read transaction sees.
pub(super) struct RedbSnapshot {
    transaction: ReadTransaction,
    revision: Revision,
}

impl RedbSnapshot {
    pub(super) const fn new(transaction: ReadTransaction, revision: Revision) -> Self {
        Self {
            transaction,
            revision,
        }
    }

    /// A table; none, where the file was made before there was such a table and nothing was put into it
    /// since. Whether one was taken away, the state digest tells.
    fn table(&self, table: Table) -> Result<Option<BytesTable>, EngineError> {
        match self.transaction.open_table(definition(table)) {
            Ok(open) => Ok(Some(open)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

type BytesTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

impl Snapshot for RedbSnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let Some(open) = self.table(table)? else {
            return Ok(None);
        };
        Ok(open.get(key)?.map(|value| value.value().to_vec()))
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<KeyValue>, EngineError> {
        let Some(open) = self.table(table)? else {
            return Ok(Vec::new());
        };
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut records = Vec::new();
        for record in open.range::<&[u8]>((start, Bound::Unbounded))? {
            let (key, value) = record?;
            if records.len() == limit || !key.value().starts_with(prefix) {
                break;
            }
            records.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(records)
    }

    fn visit(&self, table: Table, visitor: &mut Visitor<'_>) -> Result<(), EngineError> {
        let Some(open) = self.table(table)? else {
            return Ok(());
        };
        for record in open.iter()? {
            let (key, value) = record?;
            if visitor(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }
}
