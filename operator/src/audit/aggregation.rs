//! Records that say the same become one Event with a count.
//!
//! The chain is cut into blocks of [`BLOCK_RECORDS`] numbers, and only records of one block are put together.
//! So a series depends on the chain alone: reading a block again, after a restart or with more records in it,
//! gives the same series with the same first record. Where the first records of a block were told and then
//! cut, what comes after them is a series of its own.

use strongroom_model::time::Timestamp;
use strongroom_store::audit::Entry;

use super::event_content::{EventContent, event_content};

/// Numbers in one block.
pub(crate) const BLOCK_RECORDS: usize = 256;

/// The place before the block that the record after `place` is in.
pub(crate) const fn block_before(place: u64) -> u64 {
    place - place % BLOCK_RECORDS as u64
}

/// Records of one block that say the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EventAggregate {
    pub(crate) content: EventContent,
    /// Number of the first record.
    pub(crate) sequence: u64,
    /// The first record.
    pub(crate) first: Entry,
    /// Number of the last record.
    pub(crate) last_sequence: u64,
    /// When the last one was.
    pub(crate) last: Timestamp,
    /// How many there are.
    pub(crate) count: i32,
}

/// The series of a block's records, in the order of their first ones.
pub(crate) fn aggregate(records: Vec<(u64, Entry)>) -> Vec<EventAggregate> {
    let mut all: Vec<EventAggregate> = Vec::new();
    for (sequence, entry) in records {
        let Some(content) = event_content(&entry) else {
            continue;
        };
        match all.iter_mut().find(|known| known.content == content) {
            Some(known) => {
                known.count = known.count.saturating_add(1);
                known.last_sequence = sequence;
                known.last = entry.time;
            }
            None => all.push(EventAggregate {
                content,
                sequence,
                last_sequence: sequence,
                last: entry.time,
                first: entry,
                count: 1,
            }),
        }
    }
    all
}
