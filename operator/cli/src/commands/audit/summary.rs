//! Who did it how often, of all records that match. What is kept grows with the callers, and not with the
//! records.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use strongroom_api::audit::{AuditRow, Decision, Outcome};

use crate::failure::Failure;
use crate::output::{Output, Table, cell_of};

const HEADINGS: &[&str] = &[
    "PRINCIPAL",
    "POD",
    "COUNT",
    "FIRST",
    "LAST",
    "ALLOWED",
    "DENIED",
    "FAILED",
];

/// What each caller did, by principal and pod.
#[derive(Debug, Default)]
pub(super) struct Summary(BTreeMap<(String, String), CallerSummary>);

/// What one caller did. Each request is either allowed, denied or failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct CallerSummary {
    principal: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pod: String,
    count: u64,
    first: String,
    last: String,
    allowed: u64,
    denied: u64,
    /// Allowed or undecided, and not done.
    failed: u64,
}

impl Summary {
    /// Adds a record that stands for so many requests.
    pub(super) fn add(&mut self, row: &AuditRow, count: u64) {
        let caller = (row.principal.clone(), row.pod.clone());
        let known = self.0.entry(caller).or_insert_with(|| CallerSummary {
            principal: row.principal.clone(),
            pod: row.pod.clone(),
            first: row.time.clone(),
            ..CallerSummary::default()
        });
        // Times of one form are in order as texts are.
        if row.time < known.first {
            known.first.clone_from(&row.time);
        }
        if row.time > known.last {
            known.last.clone_from(&row.time);
        }
        let sum = if row.decision == Decision::Denied.as_str() {
            &mut known.denied
        } else if row.outcome == Outcome::Failure.as_str() {
            &mut known.failed
        } else {
            &mut known.allowed
        };
        *sum = sum.saturating_add(count);
        known.count = known.count.saturating_add(count);
    }

    /// The callers, those with most requests first.
    fn callers(&self) -> Vec<&CallerSummary> {
        let mut callers: Vec<_> = self.0.values().collect();
        callers.sort_by_key(|caller| Reverse(caller.count));
        callers
    }

    /// Prints the callers.
    pub(super) fn print(&self, out: &Output) -> Result<(), Failure> {
        let callers = self.callers();
        out.print(&json!({"callers": callers}), || {
            let mut table = Table::new(HEADINGS);
            for caller in &callers {
                table.row(vec![
                    caller.principal.clone(),
                    cell_of(&caller.pod),
                    caller.count.to_string(),
                    caller.first.clone(),
                    caller.last.clone(),
                    caller.allowed.to_string(),
                    caller.denied.to_string(),
                    caller.failed.to_string(),
                ]);
            }
            table
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(principal: &str, pod: &str, second: u32, ended: (&str, &str)) -> AuditRow {
        AuditRow {
            principal: principal.to_owned(),
            pod: pod.to_owned(),
            time: format!("2026-11-23T20:22:{second:02}.000Z"),
            decision: ended.0.to_owned(),
            outcome: ended.1.to_owned(),
            ..AuditRow::default()
        }
    }

    #[test]
    fn requests_are_summed_by_principal_and_pod() {
        let (done, denied) = (("allowed", "success"), ("denied", "failure"));
        let mut summary = Summary::default();
        summary.add(&row("user jane", "", 1, denied), 1);
        // A sum of refusals stands for each of them.
        summary.add(&row("user jane", "", 9, denied), 40);
        summary.add(&row("serviceaccount shop/app", "app-1", 3, done), 1);
        summary.add(&row("serviceaccount shop/app", "app-2", 2, done), 1);
        summary.add(
            &row("serviceaccount shop/app", "app-1", 5, ("allowed", "failure")),
            1,
        );
        summary.add(
            &row("serviceaccount shop/app", "app-1", 4, ("undecided", "failure")),
            1,
        );
        let told: Vec<_> = summary
            .callers()
            .into_iter()
            .map(|caller| {
                let CallerSummary {
                    principal,
                    pod,
                    count,
                    first,
                    last,
                    allowed,
                    denied,
                    failed,
                } = caller;
                assert_eq!(allowed + denied + failed, *count);
                let seconds = [first, last].map(|time| time[17..19].to_owned());
                (
                    principal.as_str(),
                    pod.as_str(),
                    seconds.join("-"),
                    [*allowed, *denied, *failed],
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("user jane", "", "01-09".to_owned(), [0, 41, 0]),
                ("serviceaccount shop/app", "app-1", "03-05".to_owned(), [1, 0, 2]),
                ("serviceaccount shop/app", "app-2", "02-02".to_owned(), [1, 0, 0]),
            ]
        );
    }
}
