//! `history`.

use std::collections::VecDeque;

use serde_json::json;
use strongroom_api::v1::{HistoryPage, HistoryRecord};

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Output, Table, cell_of};

/// Records that are asked for at once.
const PAGE_SIZE: usize = 100;
const HEADINGS: &[&str] = &["TIME", "ACTION", "OUTCOME", "WHO", "VERSION", "DETAIL"];
const WIDE_HEADINGS: &[&str] = &[
    "TIME", "SEQUENCE", "ACTION", "OUTCOME", "WHO", "FOR", "VERSION", "STAGE", "DETAIL",
];

/// Lists who changed what of a secret, and when, the newest change last
///
/// Needs the permission to describe the secret. Shows changes as far back as the audit log reaches; `audit`
/// shows who read the secret and who was refused.
///
/// Examples:
///
///   kubectl strongroom history db-main
///
///   kubectl strongroom history db-main --limit 5 --output wide
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
    /// How many changes to show, counted from the newest; 0: all
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let mut newest = NewestRecords::new(arguments.limit);
    let mut after: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE_SIZE.to_string())];
        query.extend(after.take().map(|after| ("after", after)));
        let page: HistoryPage = client.read(&arguments.name, "/history", &query).await?;
        for record in page.records {
            newest.take(record);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let records = newest.records;
    if records.is_empty() {
        out.progress("the audit log has no change of this secret any more");
    }
    out.print(&json!({"records": records}), || {
        let mut table = Table::new(if out.wide { WIDE_HEADINGS } else { HEADINGS });
        for record in &records {
            table.row(row(record, out.wide));
        }
        table
    })
}

/// The last so many, in the order in which they were written.
#[derive(Debug)]
struct NewestRecords<T> {
    records: VecDeque<T>,
    /// How many; 0: all.
    limit: usize,
}

impl<T> NewestRecords<T> {
    const fn new(limit: usize) -> Self {
        Self {
            records: VecDeque::new(),
            limit,
        }
    }

    fn take(&mut self, record: T) {
        if self.limit > 0 && self.records.len() == self.limit {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }
}

/// A record as cells. The narrow table says for whom, and which stage, where there is room for it.
fn row(record: &HistoryRecord, wide: bool) -> Vec<String> {
    let (time, version) = (cell_of(&record.time), cell_of(&record.version));
    let (action, outcome) = (cell_of(&record.action), record.decision.as_str().to_owned());
    let (who, requester) = (cell_of(&record.principal), requester(record));
    let mut notes: Vec<&str> = record.code.as_deref().into_iter().collect();
    if wide {
        notes.push(&record.detail);
        return vec![
            time,
            record.sequence.to_string(),
            action,
            outcome,
            who,
            cell_of(&requester),
            version,
            cell_of(&record.stage),
            joined(notes),
        ];
    }
    let stage = record.stage.as_ref().map(|stage| format!("stage {stage}"));
    notes.extend(stage.as_deref());
    notes.push(&record.detail);
    vec![
        time,
        action,
        outcome,
        match requester {
            Some(requester) => format!("{who} for {requester}"),
            None => who,
        },
        version,
        joined(notes),
    ]
}

/// Who wrote the object that asked for it, where somebody did.
fn requester(record: &HistoryRecord) -> Option<&str> {
    let requester = record.requester.as_ref()?;
    Some(requester.user.as_deref().unwrap_or("somebody unattested"))
}

fn joined(mut notes: Vec<&str>) -> String {
    notes.retain(|note| !note.is_empty());
    cell_of(&notes.join(", "))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::Value;

    use super::*;
    use crate::arguments::Command;
    use crate::output::OutputArgument;

    fn parsed(arguments: &[&str]) -> Result<crate::arguments::Arguments, clap::Error> {
        let all = [&["kubectl-strongroom", "history"][..], arguments].concat();
        crate::arguments::Arguments::try_parse_from(all)
    }

    #[test]
    fn the_command_line_is_read_or_refused() {
        let read = parsed(&["db-main", "-n", "shop", "--limit", "5", "-o", "wide"]).unwrap();
        assert_eq!(read.cluster.namespace.as_deref(), Some("shop"));
        assert_eq!(read.output, OutputArgument::Wide);
        let Command::History(history) = read.command else {
            panic!("another command");
        };
        assert_eq!((history.name.as_str(), history.limit), ("db-main", 5));
        let Command::History(history) = parsed(&["db-main"]).unwrap().command else {
            panic!("another command");
        };
        assert_eq!(history.limit, 100);
        let refused: [&[&str]; 3] = [&[], &["db-main", "--limit", "few"], &["db-main", "-o", "broad"]];
        for bad in refused {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_row_says_who_did_what_and_for_whom() {
        let read = |record: Value| serde_json::from_value::<HistoryRecord>(record).unwrap();
        let record = read(json!({
            "sequence": 41, "time": "2026-11-23T20:22:00Z", "principal": "controller managed-secret",
            "action": "UpdateSecretVersionStage", "decision": "done", "version": "v-2", "stage": "Current",
            "requester": {"attested": true, "user": "jane"}, "detail": "moved back",
        }));
        assert_eq!(
            row(&record, false),
            [
                "2026-11-23T20:22:00Z",
                "UpdateSecretVersionStage",
                "done",
                "controller managed-secret for jane",
                "v-2",
                "stage Current, moved back",
            ]
        );
        assert_eq!(
            row(&record, true),
            [
                "2026-11-23T20:22:00Z",
                "41",
                "UpdateSecretVersionStage",
                "done",
                "controller managed-secret",
                "jane",
                "v-2",
                "Current",
                "moved back",
            ]
        );
        let refused = read(json!({
            "sequence": 42, "time": "2026-11-23T20:23:00Z", "principal": "user joe",
            "action": "DeleteSecret", "decision": "refused", "code": "InRecoveryWindow",
        }));
        let cells = row(&refused, false);
        assert_eq!(cells[2..], ["refused", "user joe", "-", "InRecoveryWindow"]);
        let unattested = read(json!({
            "sequence": 43, "time": "2026-11-23T20:24:00Z", "principal": "", "action": "", "decision": "done",
            "requester": {"attested": false},
        }));
        let cells = row(&unattested, true);
        assert_eq!(
            cells[2..],
            ["-", "done", "-", "somebody unattested", "-", "-", "-"]
        );
        for (wide, headings) in [(false, HEADINGS), (true, WIDE_HEADINGS)] {
            assert_eq!(row(&record, wide).len(), headings.len());
        }
    }

    #[test]
    fn the_newest_so_many_are_kept_in_their_order() {
        let kept = |limit| {
            let mut newest = NewestRecords::new(limit);
            for number in 1..=3 {
                newest.take(number);
            }
            Vec::from(newest.records)
        };
        assert_eq!(kept(2), [2, 3]);
        assert_eq!(kept(0), [1, 2, 3]);
        assert_eq!(kept(9), kept(0));
    }
}
