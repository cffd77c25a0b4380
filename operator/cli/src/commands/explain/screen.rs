//! What is printed for people: the verdict, the first check that fails with a command that mends it, then the
//! others.

use std::fmt::Write as _;

use strongroom_api::v1::{AccessCheck, AccessCheckState, ExplainAccessAnswer};
use unicode_width::UnicodeWidthStr;

/// What all checks come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is allowed, and nothing that could be seen stands in the way.
    Allowed,
    /// Policies, RBAC or a product refuse it.
    Denied,
    /// It is allowed, and something else stands in the way.
    Fails,
}

impl Verdict {
    pub(super) fn of_answer(answer: &ExplainAccessAnswer) -> Self {
        let fails = |check: &AccessCheck| check.state == AccessCheckState::Failing;
        if !answer.allowed {
            Self::Denied
        } else if answer.checks.iter().any(fails) {
            Self::Fails
        } else {
            Self::Allowed
        }
    }

    /// The word that a screen begins with.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Fails => "fails",
        }
    }
}

fn name(check: &AccessCheck) -> String {
    match &check.item {
        Some(item) => format!("{} {item}", check.check.label()),
        None => check.check.label().to_owned(),
    }
}

/// The answer in lines of text.
pub(super) fn text(answer: &ExplainAccessAnswer) -> String {
    let first_line = answer.explanation.lines().next().unwrap_or_default();
    let about = first_line
        .strip_prefix("allowed: ")
        .or_else(|| first_line.strip_prefix("denied: "))
        .unwrap_or(first_line);
    let verdict = Verdict::of_answer(answer);
    let mut text = format!("{}: {about}", verdict.word());
    if verdict == Verdict::Fails {
        text.push_str("; it is allowed, and something else stands in the way");
    }
    let fails = |check: &AccessCheck| check.state == AccessCheckState::Failing;
    let first = answer.checks.iter().position(fails);
    let (first, others): (Vec<_>, Vec<_>) = answer
        .checks
        .iter()
        .enumerate()
        .partition(|(number, _)| Some(*number) == first);
    for (_, check) in first {
        let _ = write!(
            text,
            "\n\n{} failed: {}: {}",
            name(check),
            check.result.as_str(),
            check.detail
        );
        if let Some(remedy) = &check.remedy {
            let _ = write!(text, "\nthis mends it:\n{remedy}");
        }
    }
    let others: Vec<&AccessCheck> = others.into_iter().map(|(_, check)| check).collect();
    if !others.is_empty() {
        text.push_str("\n\n");
        text.push_str(&table(&others).join("\n"));
    }
    for check in others {
        if let Some(remedy) = &check.remedy {
            let _ = write!(text, "\n\n{}:\n{remedy}", name(check));
        }
    }
    text
}

/// One line a check, below headings.
fn table(checks: &[&AccessCheck]) -> Vec<String> {
    let headings = ["CHECK", "STATE", "RESULT", "DETAIL"].map(str::to_owned);
    let rows = checks.iter().map(|check| {
        [
            name(check),
            check.state.label().to_owned(),
            check.result.as_str().to_owned(),
            check.detail.clone(),
        ]
    });
    let rows: Vec<[String; 4]> = std::iter::once(headings).chain(rows).collect();
    let mut widths = [0; 4];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(widths).map(|(cell, width)| {
                let blanks = width.saturating_sub(cell.width());
                format!("{cell}{:blanks$}", "")
            });
            cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
        })
        .collect()
}
