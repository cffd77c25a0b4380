//! The baseline of the store: redb alone, opened and committed with the store's settings, doing the same
//! bytes in as many records.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use strongroom_store::engine::{Engine, Snapshot, Table, redb_builder};

use crate::Outcome;

/// A record of a commit: its table, the sizes of its key and value in bytes, and whether each commit writes a
/// new one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    table: &'static str,
    key: usize,
    value: usize,
    new: bool,
}

/// What one put leaves: read off a store that has done some.
pub(crate) fn shape_of_a_put(engine: &dyn Engine) -> Outcome<Vec<Shape>> {
    let snapshot = engine.snapshot()?;
    let mut shapes = vec![
        // The engine's own rows: the counters, and the request both ways.
        Shape {
            table: "engine",
            key: 8,
            value: 24,
            new: false,
        },
        Shape {
            table: "requests",
            key: 16,
            value: 8,
            new: true,
        },
        Shape {
            table: "request-order",
            key: 12,
            value: 16,
            new: true,
        },
    ];
    for (table, name, new) in [
        (Table::Head, "head", false),
        (Table::Version, "version", true),
        (Table::DataKey, "data-key", true),
        (Table::Audit, "audit", true),
    ] {
        let (key, value) = mean(snapshot.as_ref(), table)?;
        shapes.push(Shape {
            table: name,
            key,
            value,
            new,
        });
    }
    // The state, and the signed checkpoint: written by every commit.
    let (key, value) = mean(snapshot.as_ref(), Table::Meta)?;
    shapes.extend(
        [Shape {
            table: "meta",
            key,
            value,
            new: false,
        }; 2],
    );
    Ok(shapes)
}

fn mean(snapshot: &dyn Snapshot, table: Table) -> Outcome<(usize, usize)> {
    let (mut count, mut keys, mut values) = (0, 0, 0);
    snapshot.visit(table, &mut |key, value| {
        count += 1;
        keys += key.len();
        values += value.len();
        std::ops::ControlFlow::Continue(())
    })?;
    let count = count.max(1);
    Ok((keys / count, values / count))
}

type ByteTable = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// redb with nothing above it.
pub(crate) struct BareRedb {
    database: Database,
    shapes: Vec<Shape>,
    written: u64,
}

impl BareRedb {
    pub(crate) fn create(path: &Path, cache_bytes: usize, shapes: Vec<Shape>) -> Outcome<Self> {
        let database = redb_builder(cache_bytes).create(path)?;
        Ok(Self {
            database,
            shapes,
            written: 0,
        })
    }

    /// One durable commit of one put.
    pub(crate) fn put(&mut self) -> Outcome<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(true);
        self.written += 1;
        for (index, shape) in (0_u64..).zip(&self.shapes) {
            let definition: ByteTable = TableDefinition::new(shape.table);
            let mut table = transaction.open_table(definition)?;
            let key = key_of(shape.key, if shape.new { self.written } else { index });
            table.insert(key.as_slice(), vec![0xa5_u8; shape.value].as_slice())?;
        }
        Ok(transaction.commit()?)
    }

    /// Reads what a get reads: the head, the wrapped data key, the sealed value. How many bytes they have.
    pub(crate) fn get(&self, number: u64) -> Outcome<usize> {
        let transaction = self.database.begin_read()?;
        let mut bytes = 0;
        for (index, shape) in (0_u64..).zip(&self.shapes) {
            if !["head", "data-key", "version"].contains(&shape.table) {
                continue;
            }
            let definition: ByteTable = TableDefinition::new(shape.table);
            let table = transaction.open_table(definition)?;
            let key = key_of(shape.key, if shape.new { number } else { index });
            let found = table.get(key.as_slice())?;
            bytes += found.map_or(0, |value| value.value().to_vec().len());
        }
        Ok(bytes)
    }

    pub(crate) const fn written(&self) -> u64 {
        self.written
    }
}

/// A key of this size that spreads over the table as a random id does.
fn key_of(size: usize, number: u64) -> Vec<u8> {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    spread.into_iter().cycle().take(size.max(8)).collect()
}
