//! Why reads stop at the bound, and what to do about it.

use super::{ExportProgress, RetentionLimits, WhenFull};

/// A reader that is fewer records behind keeps up, and is not what holds the log back.
const LAGGING_RECORDS: u64 = 100;

/// In words. `heads` are the last records of both chains.
pub(crate) fn full_reason(limits: &RetentionLimits, readers: &[ExportProgress], heads: (u64, u64)) -> String {
    let bound = QuantityBytes(limits.bound().unwrap_or(0));
    let behind = |reader: &ExportProgress| {
        heads
            .0
            .saturating_sub(reader.changes)
            .saturating_add(heads.1.saturating_sub(reader.reads))
    };
    let last = readers
        .iter()
        .max_by_key(|reader| behind(reader))
        .filter(|reader| behind(reader) >= LAGGING_RECORDS);
    match last {
        // It waits for nobody, so nothing but what it is kept in can hold it up.
        _ if limits.when_full() == WhenFull::Roll => format!(
            "the audit log has grown beyond its bound of {bound}, and its oldest records could not be cut; the log of the process says why"
        ),
        Some(reader) => format!(
            "the audit log has reached its bound of {bound}, and {} has yet to take {} records; make it take them, or raise \
             `--audit-bound`; a sink that is gone for good goes out of `--audit-sink`",
            reader.reader,
            behind(reader)
        ),
        None => format!(
            "the audit log has reached its bound of {bound}; raise `--audit-bound`, or let old records go with `--audit-keep-bytes`, \
             `--audit-keep-for` or `--audit-when-full=roll`"
        ),
    }
}

/// Bytes as people write them.
struct QuantityBytes(u64);

impl std::fmt::Display for QuantityBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (unit, name) in [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")] {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_farthest_behind_is_named() {
        let limits = RetentionLimits::new(None, None, Some(4 << 20), WhenFull::Stop).unwrap();
        let reader = |name: &str, changes, reads| ExportProgress {
            reader: format!("the sink `{name}`"),
            changes,
            reads,
        };
        let readers = [
            reader("near", 10, 998),
            reader("dead", 4, 100),
            reader("events", 10, u64::MAX),
        ];
        let said = full_reason(&limits, &readers, (10, 1_000));
        assert!(
            said.contains("its bound of 4Mi, and the sink `dead` has yet to take 906 records"),
            "{said}"
        );
        for all in [&readers[..1], &readers[2..]] {
            let said = full_reason(&limits, all, (10, 1_000));
            assert!(said.contains("--audit-keep-bytes"), "{said}");
        }
        assert_eq!(QuantityBytes((1 << 20) + 1).to_string(), "1048577 bytes");
    }
}
