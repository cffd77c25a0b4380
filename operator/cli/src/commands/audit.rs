//! `audit`.

mod api_server_event;
mod api_server_log;
mod native_secrets;
mod summary;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use strongroom_api::audit::{AuditRecord, AuditRow, Filter, Window};
use strongroom_api::json_visible;

use self::api_server_event::ApiServerRecord;
use self::api_server_log::ApiServerLog;
use self::native_secrets::NativeSecrets;
use self::summary::Summary;
use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Format, Output, yaml};

/// How often to look for more, when following.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Lists who did what with secrets, and who was refused
///
/// Needs ClusterRole `strongroom-auditor` in the namespace. Shows the newest hundred records that match, and
/// says so on standard error if there are more. In CSV, a cell that begins with `=`, `+`, `-` or `@` gets an
/// apostrophe in front, so that no spreadsheet runs it. Examples:
///
///   kubectl strongroom audit --secret db-main --decision denied --since 24h
///
///   kubectl strongroom audit --secret db-main --action GetSecretValue --summary
///
///   kubectl strongroom audit --limit 0 --output csv > audit.csv
///
///   kubectl strongroom audit --secret db-main --api-audit /var/log/kubernetes/audit.log
///
///   kubectl strongroom audit --all-namespaces --follow
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    filter: Filter,
    /// How many of the newest records; 0: all
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 100,
        conflicts_with = "summary"
    )]
    limit: usize,
    /// Counts all records that match, by principal and pod
    #[arg(long)]
    summary: bool,
    /// An audit log of the API server (JSON lines; `-`: standard input), whose reads and changes of native
    /// Secrets are shown among the records
    #[arg(long, value_name = "FILE", conflicts_with = "follow")]
    api_audit: Option<PathBuf>,
    /// Also prints new records as they arrive
    #[arg(short, long, conflicts_with = "summary")]
    follow: bool,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let mut log = match &arguments.api_audit {
        Some(path) => Some(open_log(path, arguments, client, out).await?),
        None => None,
    };
    let mut listing = Listing::new(arguments, out)?;
    let (mut after, mut opened) = (None::<String>, false);
    loop {
        let page = client.records(arguments.all_namespaces, after.as_deref()).await?;
        for record in page.records {
            if let Some(log) = &mut log {
                while let Some(event) = log.next_before(Some(&record))? {
                    listing.take_event(event)?;
                }
                log.follow(&record);
            }
            if arguments.filter.admits(&record) {
                listing.take(Line::Own(Box::new(record)))?;
            }
        }
        let end = after.as_ref() == Some(&page.next);
        after = Some(page.next);
        if end {
            if let Some(log) = &mut log {
                while let Some(event) = log.next_before(None)? {
                    listing.take_event(event)?;
                }
                out.note(&log.reach());
            }
            if !opened {
                listing.open()?;
                opened = true;
            }
            if !arguments.follow {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

async fn open_log(
    path: &std::path::Path,
    arguments: &Arguments,
    client: &ApiClient,
    out: &Output,
) -> Result<ApiServerLog, Failure> {
    let namespace = (!arguments.all_namespaces).then(|| client.namespace().to_owned());
    let known = match NativeSecrets::list(&client.cluster, namespace.as_deref()).await {
        Ok(known) => known,
        Err(error) => {
            out.note(&format!(
                "the ManagedSecrets cannot be listed, so a native Secret is known only if the audit log still holds that it was written: {error}"
            ));
            NativeSecrets::default()
        }
    };
    ApiServerLog::open(path, namespace, known)
}

/// What stands in one line, whoever recorded it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Own(Box<AuditRecord>),
    ApiServer(Box<ApiServerRecord>),
}

impl Line {
    fn row(&self) -> AuditRow {
        match self {
            Self::Own(record) => AuditRow::from(&**record),
            Self::ApiServer(record) => record.row(),
        }
    }

    /// Of how many requests it tells.
    fn count(&self) -> u64 {
        match self {
            Self::Own(record) => record.count,
            Self::ApiServer(_) => 1,
        }
    }
}

/// What becomes of the lines: each is printed, the newest are, or all are summed.
struct Listing<'a> {
    out: &'a Output,
    filter: &'a Filter,
    window: Window<Line>,
    summary: Option<Summary>,
}

impl<'a> Listing<'a> {
    fn new(arguments: &'a Arguments, out: &'a Output) -> Result<Self, Failure> {
        if !arguments.summary && out.format == Format::Table {
            match (out.csv, out.wide) {
                (true, _) => out.csv(AuditRow::names())?,
                (false, true) => out.line(&AuditRow::wide_headings())?,
                (false, false) => out.line(&AuditRow::headings())?,
            }
        }
        Ok(Self {
            out,
            filter: &arguments.filter,
            window: Window::new(arguments.limit),
            summary: arguments.summary.then(Summary::default),
        })
    }

    fn take_event(&mut self, event: ApiServerRecord) -> Result<(), Failure> {
        if event.is_admitted_by(self.filter) {
            self.take(Line::ApiServer(Box::new(event)))?;
        }
        Ok(())
    }

    fn take(&mut self, line: Line) -> Result<(), Failure> {
        if let Some(summary) = &mut self.summary {
            summary.add(&line.row(), line.count());
            return Ok(());
        }
        match self.window.take(line) {
            Some(line) => print(&line, self.out),
            None => Ok(()),
        }
    }

    /// All that was there has been taken.
    fn open(&mut self) -> Result<(), Failure> {
        if let Some(summary) = &self.summary {
            return summary.print(self.out);
        }
        for line in self.window.open() {
            print(&line, self.out)?;
        }
        if let Some(cut) = self.window.cut() {
            self.out.note(&cut);
        }
        Ok(())
    }
}

/// Records are printed one by one, in JSON and YAML as well: there may be no last one.
fn print(line: &Line, out: &Output) -> Result<(), Failure> {
    match out.format {
        Format::Table if out.csv => out.csv(line.row().cells()),
        Format::Table if out.wide => out.line(&line.row().wide()),
        Format::Table => out.line(&line.row().narrow()),
        Format::Json => {
            let text = serde_json::to_string(line).map_err(std::io::Error::from)?;
            out.line(&json_visible(&text))
        }
        Format::Yaml => out.line(&format!("---\n{}", yaml(line)?)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    fn parsed(arguments: &[&str]) -> Result<crate::arguments::Arguments, String> {
        let all = [&["kubectl-strongroom", "audit"][..], arguments].concat();
        crate::arguments::Arguments::try_parse_from(all).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_read_or_refused() {
        let good: [&[&str]; 5] = [
            &["--since", "24h", "--limit", "0", "-o", "csv"],
            &["--summary", "--action", "GetSecretValue"],
            &["--api-audit", "audit.log", "--summary"],
            &["--follow", "-A", "-o", "wide"],
            &["--decision", "denied", "--outcome", "failure"],
        ];
        for line in good {
            assert!(parsed(line).is_ok(), "{line:?}: {:?}", parsed(line).err());
        }
        let bad: [&[&str]; 5] = [
            // It would be a summary of a part.
            &["--summary", "--limit", "10"],
            &["--summary", "--follow"],
            &["--api-audit", "audit.log", "--follow"],
            &["--action", "ReadSecret"],
            &["--decision", "refused"],
        ];
        for line in bad {
            assert!(parsed(line).is_err(), "{line:?}");
        }
    }
}
