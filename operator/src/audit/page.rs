//! Both chains as one, in order of time, page by page: never more than a page is held.

use jiff::Timestamp;
use strongroom_api::audit::{AuditRecord, Chain};
use strongroom_store::audit::{READS_DIRECTORY, ReadChainRecord, SegmentDirectory};
pub(crate) use strongroom_store::vault::AuditPosition;
use strongroom_store::vault::Store;

use super::cursor::ReaderScope;
use super::line::{AuditLine, gap, line};

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
    /// The records of this page that were asked for, oldest first.
    pub(crate) lines: Vec<AuditLine>,
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
    page_within(store, place, ReaderScope::All, PageLimits::default(), told)
}

/// The same of these chains, in a page of this size.
///
/// # Errors
/// What the store says, in words.
pub(super) fn page_within(
    store: &Store,
    place: AuditPosition,
    scope: ReaderScope,
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
    let logged = match (scope, store.directory()) {
        (ReaderScope::Changes, _) | (_, None) => Vec::new(),
        (ReaderScope::All, Some(dir)) => {
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

    let (mut next, mut told_lines, mut oldest) = (place, Vec::new(), None);
    let (mut bytes, mut put_back) = (0, false);
    let (mut changes, mut reads) = (changes.into_iter().peekable(), reads.into_iter().peekable());
    while bytes < limits.bytes && told_lines.len() < limits.records {
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
        let before = next;
        match line.chain {
            Chain::Changes => next.changes = line.sequence,
            Chain::Reads => next.reads = line.sequence,
        }
        if !told(&mut line) {
            continue;
        }
        let line = AuditLine::new(line).map_err(|error| error.to_string())?;
        let with_it = bytes + line.json.len() + 1;
        if limits.exact && bytes > 0 && with_it > limits.bytes {
            (next, put_back) = (before, true);
            break;
        }
        bytes = with_it;
        oldest.get_or_insert(line.record.time);
        told_lines.push(line);
    }
    if reads.peek().is_none() && !put_back {
        // What is not wanted at the end is not told, and not looked at again.
        next.reads = last_read;
    }
    Ok(AuditPage {
        lines: told_lines,
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
