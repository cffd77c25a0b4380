//! `history`.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Output, Table, cell, field, items};

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
        let page = client.read(&arguments.name, "/history", &query).await?;
        for record in items(&page, "records") {
            newest.take(record.clone());
        }
        match field(&page, "next").as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
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
struct NewestRecords {
    records: VecDeque<Value>,
    /// How many; 0: all.
    limit: usize,
}

impl NewestRecords {
    const fn new(limit: usize) -> Self {
        Self {
            records: VecDeque::new(),
            limit,
        }
    }

    fn take(&mut self, record: Value) {
        if self.limit > 0 && self.records.len() == self.limit {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }
}

/// A record as cells. The narrow table says for whom, and which stage, where there is room for it.
fn row(record: &Value, wide: bool) -> Vec<String> {
    let text = |name: &str| cell(field(record, name));
    let told = |name: &str| field(record, name).as_str().unwrap_or_default().to_owned();
    let (who, requester) = (text("principal"), requester(record));
    let mut notes = vec![told("code")];
    if wide {
        notes.push(told("detail"));
        return vec![
            text("time"),
            text("sequence"),
            text("action"),
            text("decision"),
            who,
            requester.map_or_else(|| "-".to_owned(), str::to_owned),
            text("version"),
            text("stage"),
            joined(notes),
        ];
    }
    if field(record, "stage").is_string() {
        notes.push(format!("stage {}", told("stage")));
    }
    notes.push(told("detail"));
    vec![
        text("time"),
        text("action"),
        text("decision"),
        match requester {
            Some(requester) => format!("{who} for {requester}"),
            None => who,
        },
        text("version"),
        joined(notes),
    ]
}

/// Who wrote the object that asked for it, where somebody did.
fn requester(record: &Value) -> Option<&str> {
    let requester = field(record, "requester");
    let user = field(requester, "user").as_str();
    (!requester.is_null()).then(|| user.unwrap_or("somebody unattested"))
}

fn joined(mut notes: Vec<String>) -> String {
    notes.retain(|note| !note.is_empty());
    cell(&Value::from(notes.join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

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
        let record = json!({
            "sequence": 41, "time": "2026-11-23T20:22:00Z", "principal": "controller managed-secret",
            "action": "UpdateSecretVersionStage", "decision": "done", "version": "v-2", "stage": "Current",
            "requester": {"attested": true, "user": "jane"}, "detail": "moved back",
        });
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
        let refused = json!({
            "sequence": 42, "time": "2026-11-23T20:23:00Z", "principal": "user joe",
            "action": "DeleteSecret", "decision": "refused", "code": "InRecoveryWindow",
        });
        let cells = row(&refused, false);
        assert_eq!(cells[2..], ["refused", "user joe", "-", "InRecoveryWindow"]);
        let unattested = json!({"principal": "controller managed-secret", "requester": {"attested": false}});
        assert_eq!(row(&unattested, true)[5], "somebody unattested");
        assert_eq!(row(&json!({}), true), ["-"; 9]);
        for (wide, headings) in [(false, HEADINGS), (true, WIDE_HEADINGS)] {
            assert_eq!(row(&record, wide).len(), headings.len());
        }
    }

    #[test]
    fn the_newest_so_many_are_kept_in_their_order() {
        let kept = |limit| {
            let mut newest = NewestRecords::new(limit);
            for number in 1..=3 {
                newest.take(json!(number));
            }
            Vec::from(newest.records)
        };
        assert_eq!(kept(2), [json!(2), json!(3)]);
        assert_eq!(kept(0), [json!(1), json!(2), json!(3)]);
        assert_eq!(kept(9), kept(0));
    }
}
