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

/// How large a page may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageLimits {
    /// Most records.
    pub(super) records: usize,
    /// Bytes after which it ends.
    pub(super) bytes: usize,
    /// Whether the record that goes beyond the bytes is of the next page. One that is larger than a page is
    /// alone in one.
    pub(super) exact: bool,
}

impl Default for PageLimits {
    fn default() -> Self {
        Self {
            // As many as are looked at of both chains.
            records: 2 * PAGE_RECORDS,
            bytes: PAGE_BYTES,
            exact: false,
        }
    }
}

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
    page_within(store, place, PageLimits::default(), told)
}

/// The same in a page of this size.
///
/// # Errors
/// What the store says, in words.
pub(super) fn page_within(
    store: &Store,
    place: AuditPosition,
    limits: PageLimits,
    told: impl Fn(&mut AuditRecord) -> bool,
) -> Result<AuditPage, String> {
    let looked_at = limits.records.min(PAGE_RECORDS);
    let changes: Vec<AuditRecord> = store
        .mutations_after(place.changes, looked_at)
        .map_err(|error| error.to_string())?
        .iter()
        .map(|(sequence, entry)| line(Chain::Changes, *sequence, entry))
        .collect();
    let logged = match store.directory() {
        None => Vec::new(),
        Some(dir) => {
            let storage = SegmentDirectory::read_only(&dir.join(READS_DIRECTORY));
            store
                .reads_after(&storage, place.reads, looked_at)
                .map_err(|error| error.to_string())?
        }
    };
    let reads_full = logged.len() == looked_at;
    let last_read = logged.last().map_or(place.reads, |(sequence, _)| *sequence);
    let reads = lines(&logged);
    let changes_full = changes.len() == looked_at;

    let (mut next, mut text, mut oldest) = (place, Vec::new(), None);
    let (mut records, mut put_back) = (0, false);
    let (mut changes, mut reads) = (changes.into_iter().peekable(), reads.into_iter().peekable());
    while text.len() < limits.bytes && records < limits.records {
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
        let (before, length) = (next, text.len());
        match line.chain {
            Chain::Changes => next.changes = line.sequence,
            Chain::Reads => next.reads = line.sequence,
        }
        if !told(&mut line) {
            continue;
        }
        serde_json::to_writer(&mut text, &line).map_err(|error| error.to_string())?;
        text.push(b'\n');
        if limits.exact && length > 0 && text.len() > limits.bytes {
            text.truncate(length);
            (next, put_back) = (before, true);
            break;
        }
        oldest.get_or_insert(line.time);
        records += 1;
    }
    if reads.peek().is_none() && !put_back {
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
