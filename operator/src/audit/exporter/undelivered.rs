//! The records that a failing product sink misses: when they are skipped, and which, for the audit record
//! that says so. Pure.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use strongroom_api::audit::{AuditRecord, Chain};

use crate::audit::line::AuditLine;
use crate::audit::page::AuditPosition;

/// First and last number of the skipped records of a chain.
type NumberRange = Option<(u64, u64)>;

/// The records that were skipped since the sink received some last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UndeliveredRecords {
    /// Up to where they were skipped.
    place: AuditPosition,
    /// How many were the product's.
    records: u64,
    /// Whether the log was cut before all of them had been looked at.
    cut: bool,
    changes: NumberRange,
    reads: NumberRange,
    /// Whether records are skipped until younger ones come.
    passing: bool,
}

impl UndeliveredRecords {
    /// Whether no record was skipped.
    pub(super) const fn is_empty(&self) -> bool {
        self.records == 0 && !self.cut
    }

    /// Where to go on of a sink that has taken everything up to `delivered`.
    pub(super) fn place_after(&self, delivered: AuditPosition) -> AuditPosition {
        AuditPosition {
            changes: self.place.changes.max(delivered.changes),
            reads: self.place.reads.max(delivered.reads),
        }
    }

    /// Up to this place, all records for the sink were skipped.
    pub(super) const fn advance(&mut self, place: AuditPosition) {
        self.place = place;
    }

    /// The log was cut up to `cut`, and the sink stood at `from`. Answers how many records that are, of
    /// whomever.
    pub(super) fn cut_off(&mut self, from: AuditPosition, cut: AuditPosition) -> u64 {
        let gone = cut.changes.saturating_sub(from.changes) + cut.reads.saturating_sub(from.reads);
        if gone == 0 {
            return 0;
        }
        self.cut = true;
        if cut.changes > from.changes {
            extend(&mut self.changes, from.changes + 1, cut.changes);
        }
        if cut.reads > from.reads {
            extend(&mut self.reads, from.reads + 1, cut.reads);
        }
        self.place = AuditPosition {
            changes: cut.changes.max(from.changes),
            reads: cut.reads.max(from.reads),
        };
        gone
    }

    /// Skips the oldest of these lines if the first is older than `max_lag`: all that are older than half of
    /// it, so that a sink that is too slow has few gaps. Returns how many.
    pub(super) fn pass_over(&mut self, lines: &mut Vec<AuditLine>, now: Timestamp, max_lag: Duration) -> u64 {
        let older = |line: &AuditLine, age: Duration| {
            let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
            now.duration_since(line.record.time) > age
        };
        if !self.passing && !lines.first().is_some_and(|line| older(line, max_lag)) {
            return 0;
        }
        let count = lines.iter().take_while(|line| older(line, max_lag / 2)).count();
        self.passing = count == lines.len();
        for line in lines.drain(..count) {
            self.pass(&line.record);
        }
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    fn pass(&mut self, record: &AuditRecord) {
        self.records += 1;
        let number = record.sequence;
        match record.chain {
            Chain::Changes => {
                extend(&mut self.changes, number, number);
                self.place.changes = self.place.changes.max(number);
            }
            Chain::Reads => {
                extend(&mut self.reads, number, number);
                self.place.reads = self.place.reads.max(number);
            }
        }
    }
}

fn extend(range: &mut NumberRange, first: u64, last: u64) {
    let (least, most) = range.unwrap_or((first, last));
    *range = Some((least.min(first), most.max(last)));
}

impl fmt::Display for UndeliveredRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records", self.records)?;
        if self.cut {
            f.write_str(", and what was cut before it was counted")?;
        }
        let mut before = ": ";
        for (chain, range) in [("changes", self.changes), ("reads", self.reads)] {
            if let Some((first, last)) = range {
                write!(f, "{before}{chain} {first} to {last}")?;
                before = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::audit_line;

    const MAX_LAG: Duration = Duration::from_secs(300);

    fn line(chain: &str, number: u64, minute: u32) -> AuditLine {
        audit_line(&format!(
            r#"{{"chain":"{chain}","sequence":{number},"time":"2026-11-23T20:{minute:02}:00Z","principal":"system","action":"x","decision":"allowed","outcome":"success"}}"#
        ))
    }

    fn at(minute: u32) -> Timestamp {
        format!("2026-11-23T20:{minute:02}:00Z").parse().unwrap()
    }

    #[test]
    fn what_is_too_old_goes_by_and_younger_records_stay() {
        let page = [
            line("changes", 5, 0),
            line("reads", 7, 1),
            line("reads", 9, 2),
            line("changes", 8, 4),
        ];
        let mut passed = UndeliveredRecords::default();
        let mut lines = page.to_vec();
        assert_eq!(passed.pass_over(&mut lines, at(5), MAX_LAG), 0);
        assert!(passed.is_empty());
        assert_eq!(lines.len(), 4);
        // At six minutes the first is too old, and what is older than half of the bound goes with it.
        assert_eq!(passed.pass_over(&mut lines, at(6), MAX_LAG), 3);
        assert_eq!(lines, page[3..]);
        let delivered = AuditPosition { changes: 3, reads: 3 };
        assert_eq!(
            passed.place_after(delivered),
            AuditPosition { changes: 5, reads: 9 }
        );
        assert_eq!(passed.to_string(), "3 records: changes 5 to 5, reads 7 to 9");
        // What stayed is young enough.
        assert_eq!(passed.pass_over(&mut lines, at(9), MAX_LAG), 0);
        assert_eq!(passed.pass_over(&mut lines, at(10), MAX_LAG), 1);
        // It goes on in the next page, up to what is young.
        let mut lines = vec![line("reads", 10, 5), line("reads", 11, 9)];
        assert_eq!(passed.pass_over(&mut lines, at(10), MAX_LAG), 1);
        assert_eq!(passed.to_string(), "5 records: changes 5 to 8, reads 7 to 10");
    }

    #[test]
    fn a_clock_that_goes_back_lets_nothing_go_by() {
        let mut lines = vec![line("reads", 7, 30)];
        let mut passed = UndeliveredRecords::default();
        assert_eq!(passed.pass_over(&mut lines, at(0), MAX_LAG), 0);
        assert_eq!(passed.pass_over(&mut Vec::new(), at(59), MAX_LAG), 0);
        assert!(passed.is_empty());
    }

    #[test]
    fn what_was_cut_is_said_and_not_counted() {
        let mut passed = UndeliveredRecords::default();
        let place = |changes, reads| AuditPosition { changes, reads };
        assert_eq!(passed.cut_off(place(4, 9), place(4, 9)), 0);
        assert!(passed.is_empty());
        assert_eq!(passed.cut_off(place(4, 9), place(2, 20)), 11);
        assert!(!passed.is_empty());
        assert_eq!(passed.place_after(place(4, 9)), place(4, 20));
        assert_eq!(passed.cut_off(place(4, 20), place(6, 20)), 2);
        assert_eq!(
            passed.to_string(),
            "0 records, and what was cut before it was counted: changes 5 to 6, reads 10 to 20"
        );
    }
}
