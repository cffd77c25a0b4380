//! `status`.

mod check_result;
mod checks;
mod facts;
mod report_checks;
#[cfg(test)]
mod tests;

use strongroom_api::installation_status::{
    CheckState, InstallationStatus, ManagedSecretSummary, NamespaceRoom, StatusCheck,
};
use strongroom_api::visible;
use unicode_width::UnicodeWidthStr;

use self::checks::checks;
use self::facts::{ApiAnswer, Facts};
use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Format, Output, Table, cell_of};

/// Shows whether all is well: the installation, one line a check, and the state of the ManagedSecrets
///
/// Each line is `ok`, `warning`, `failing` or `unknown`, and what is not `ok` has what to do below the lines.
/// What you have no right to see is `unknown`, and says which right that takes. Exits with code 0 if nothing
/// is failing (warnings do not count), with 1 if something is, and with 2 if Strongroom or the API server
/// cannot be reached. Ages are by the clock of this machine.
///
/// Example: kubectl strongroom status --all-namespaces
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// ManagedSecrets of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only the ManagedSecrets that are not ready
    #[arg(long)]
    not_ready: bool,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let facts = Facts::gather(client, arguments.all_namespaces).await?;
    let status = status(&facts, &client.cluster.server, arguments.not_ready);
    if out.format == Format::Table {
        let paint = |state, word: &str| match state {
            CheckState::Ok => out.good(word),
            CheckState::Warning | CheckState::Unknown => out.doubtful(word),
            CheckState::Failing => out.bad(word),
        };
        for line in lines(&status.checks, paint) {
            out.line(&line)?;
        }
        if !status.secrets.is_empty() {
            out.line("")?;
        }
    }
    if out.format != Format::Table || !status.secrets.is_empty() {
        out.print(&status, || table(&status.secrets))?;
    }
    outcome(&facts.api, &status)
}

/// What is printed.
fn status(facts: &Facts, server: &str, only_not_ready: bool) -> InstallationStatus {
    let checks = checks(facts);
    let problems: Vec<String> = checks
        .iter()
        .filter(|check| check.state == CheckState::Failing)
        .map(|check| match &check.action {
            Some(action) => format!("{}; {action}", check.detail),
            None => check.detail.clone(),
        })
        .collect();
    let secrets = facts.secrets.seen();
    let is_ready = |secret: &&ManagedSecretSummary| secret.ready.as_deref() == Some("True");
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let process = facts.process.seen();
    InstallationStatus {
        server: server.to_owned(),
        api: match &facts.api {
            ApiAnswer::Answers(text) | ApiAnswer::Silent(text) => text.clone(),
        },
        healthy: problems.is_empty(),
        problems,
        checks,
        managed_secrets: secrets.map(|secrets| number(secrets.len())),
        ready: secrets.map(|secrets| number(secrets.iter().filter(is_ready).count())),
        audit_held_hours: facts
            .held_hours
            .or_else(|| process.and_then(|process| process.audit.held_hours)),
        room: facts.room.seen().map(|page| NamespaceRoom {
            namespace: facts.namespace.clone(),
            used: page.used,
            limit: page.limit,
        }),
        backups: facts.backups.seen().cloned(),
        process: process.cloned(),
        secrets: secrets
            .into_iter()
            .flatten()
            .filter(|secret| !only_not_ready || !is_ready(secret))
            .cloned()
            .collect(),
    }
}

/// How the command ends.
fn outcome(api: &ApiAnswer, status: &InstallationStatus) -> Result<(), Failure> {
    let problems = status.problems.join("\nerror: ");
    match api {
        ApiAnswer::Silent(_) => Err(Failure::NotReachable(problems)),
        ApiAnswer::Answers(_) if status.healthy => Ok(()),
        ApiAnswer::Answers(_) => Err(Failure::Unwell(problems)),
    }
}

/// One line a check, and below them what to do. `paint` colours the word of a state.
fn lines(checks: &[StatusCheck], paint: impl Fn(CheckState, &str) -> String) -> Vec<String> {
    let names: Vec<String> = checks.iter().map(name).collect();
    let heading = ("CHECK", "STATE");
    let width = names
        .iter()
        .map(|name| name.width())
        .fold(heading.0.len(), usize::max);
    let blanks = |width: usize, text: &str| " ".repeat(width.saturating_sub(text.width()) + 3);
    let states = CheckState::Warning.as_str().len();
    let mut lines = vec![format!(
        "{}{}{}{}DETAIL",
        heading.0,
        blanks(width, heading.0),
        heading.1,
        blanks(states, heading.1)
    )];
    for (check, name) in checks.iter().zip(&names) {
        let word = check.state.as_str();
        lines.push(format!(
            "{name}{}{}{}{}",
            blanks(width, name),
            paint(check.state, word),
            blanks(states, word),
            visible(&check.detail)
        ));
    }
    let actions = checks.iter().zip(&names).filter_map(|(check, name)| {
        let action = check.action.as_ref()?;
        Some(format!("  {name}: {}", visible(action)))
    });
    let actions: Vec<String> = actions.collect();
    if !actions.is_empty() {
        lines.extend([String::new(), "What to do:".to_owned()]);
        lines.extend(actions);
    }
    lines
}

fn name(check: &StatusCheck) -> String {
    let label = check.check.label();
    match &check.item {
        Some(item) => format!("{label} {}", visible(item)),
        None => label.to_owned(),
    }
}

fn table(secrets: &[ManagedSecretSummary]) -> Table {
    let mut table = Table::new(&[
        "NAMESPACE",
        "NAME",
        "READY",
        "REASON",
        "CURRENT",
        "LAST ROTATION",
        "NEXT ROTATION",
    ]);
    for secret in secrets {
        table.row(vec![
            cell_of(&secret.namespace),
            cell_of(&secret.name),
            cell_of(&secret.ready),
            cell_of(&secret.reason),
            cell_of(&secret.current),
            cell_of(&secret.last_rotation),
            cell_of(&secret.next_rotation),
        ]);
    }
    table
}
