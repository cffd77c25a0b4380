//! Both chains as one, in order of time, page by page: never more than a page is held.

use jiff::Timestamp;
use strongroom_api::audit::{AuditRecord, Chain};
use strongroom_store::audit::{READS_DIRECTORY, ReadChainRecord, SegmentDirectory};
pub(crate) use strongroom_store::vault::AuditPosition;
use strongroom_store::vault::Store;

use super::line::{gap, line};

/// Records that are looked at for one page, of each chain.
const PAGE_RECORDS: usize = 1_000;
/// Bytes of a page, a little more or less.
const PAGE_BYTES: usize = 512 << 10;

/// Some records, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditPage {
    /// The records as JSON, one a line.
    pub(crate) lines: Vec<u8>,
    /// When the first of them was made.
    pub(crate) oldest: Option<Timestamp>,
    /// The place after them.
    pub(crate) next: AuditPosition,
}

/// Those of the records after a place that `told` says yes to, as it leaves them.
///
/// # Errors
/// What the store says, in words.
pub(crate) fn page(
    store: &Store,
    place: AuditPosition,
    told: impl Fn(&mut AuditRecord) -> bool,
) -> Result<AuditPage, String> {
    let changes: Vec<AuditRecord> = store
        .mutations_after(place.changes, PAGE_RECORDS)
        .map_err(|error| error.to_string())?
        .iter()
        .map(|(sequence, entry)| line(Chain::Changes, *sequence, entry))
        .collect();
    let logged = match store.directory() {
        None => Vec::new(),
        Some(dir) => {
            let storage = SegmentDirectory::read_only(&dir.join(READS_DIRECTORY));
            store
                .reads_after(&storage, place.reads, PAGE_RECORDS)
                .map_err(|error| error.to_string())?
        }
    };
    let reads_full = logged.len() == PAGE_RECORDS;
    let last_read = logged.last().map_or(place.reads, |(sequence, _)| *sequence);
    let reads = lines(&logged);
    let changes_full = changes.len() == PAGE_RECORDS;

    let (mut next, mut text, mut oldest) = (place, Vec::new(), None);
    let (mut changes, mut reads) = (changes.into_iter().peekable(), reads.into_iter().peekable());
    while text.len() < PAGE_BYTES {
        // Beyond a chain's page the other one must wait: something older may come.
        let line = match (changes.peek(), reads.peek()) {
            (None, _) if changes_full => break,
            (_, None) if reads_full => break,
            (Some(change), Some(read)) if change.time <= read.time => changes.next(),
            (_, Some(_)) => reads.next(),
            (Some(_), None) => changes.next(),
            (None, None) => None,
        };
        let Some(mut line) = line else { break };
        match line.chain {
            Chain::Changes => next.changes = line.sequence,
            Chain::Reads => next.reads = line.sequence,
        }
        if !told(&mut line) {
            continue;
        }
        oldest.get_or_insert(line.time);
        serde_json::to_writer(&mut text, &line).map_err(|error| error.to_string())?;
        text.push(b'\n');
    }
    if reads.peek().is_none() {
        // What is not wanted at the end is not told, and not looked at again.
        next.reads = last_read;
    }
    Ok(AuditPage {
        lines: text,
        oldest,
        next,
    })
}

/// What of the read chain is worth a line. Marks have no time of their own: they take that of the record
/// before them.
fn lines(logged: &[(u64, ReadChainRecord)]) -> Vec<AuditRecord> {
    let mut near = Timestamp::UNIX_EPOCH;
    logged
        .iter()
        .filter_map(|(sequence, record)| match record {
            ReadChainRecord::Entry(entry) => {
                let line = line(Chain::Reads, *sequence, entry);
                near = line.time;
                Some(line)
            }
            ReadChainRecord::Gap(missing_from) => Some(gap(*sequence, *missing_from, near)),
            ReadChainRecord::Checkpoint | ReadChainRecord::Opened | ReadChainRecord::Closed => None,
        })
        .collect()
}
