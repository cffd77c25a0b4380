//! `strongroom-lint [RULE…]`: looks through the Rust sources of the workspace for what the compiler's
//! lints do not see. Prints one line a finding, `path:line: rule: message`, and ends with status 1 where
//! there is one.
//!
//! Adding a rule is one file in `rules/` and one row in [`rules::RULES`].

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal: what it finds is its output"
)]

use std::process::ExitCode;

mod rules;
mod source;

use crate::rules::RULES;
use crate::source::Workspace;

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked
        .iter()
        .find(|name| RULES.iter().all(|rule| rule.name != **name))
    {
        let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        eprintln!("there is no rule `{unknown}`; there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    let workspace = match Workspace::read() {
        Ok(workspace) => workspace,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let mut findings = 0_usize;
    for rule in RULES {
        if !asked.is_empty() && asked.iter().all(|name| name != rule.name) {
            continue;
        }
        for finding in (rule.check)(&workspace) {
            println!(
                "{}:{}: {}: {}",
                finding.path, finding.line, rule.name, finding.message
            );
            findings = findings.saturating_add(1);
        }
    }
    if findings > 0 {
        eprintln!("lint: {findings} findings");
        return ExitCode::FAILURE;
    }
    println!("lint: ok");
    ExitCode::SUCCESS
}
