//! `strongroom audit list`: the records of both chains, from the running process.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use strongroom_api::audit::{AuditRecord, AuditRow, Filter, Window};

use crate::admin::Client;
use crate::audit::AuditPosition;
use crate::cmd::CommandError;
use crate::cmd::data_dir::DataDir;

/// How often to look for more, when following.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Lists the records of changes and reads
///
/// Asks the running process; listing is itself audited. It shows the newest hundred, and says so on standard
/// error if there are more. Examples:
///
///   strongroom audit list --namespace shop --secret db-main --decision denied
///
///   strongroom audit list --since 24h --action GetSecretValue --output json
///
///   strongroom audit list --follow
#[derive(Debug, clap::Args)]
pub(in crate::cmd) struct List {
    #[command(flatten)]
    data_dir: DataDir,
    /// Only records of this namespace
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// How many of the newest records; 0: all
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    /// Also print new records as they arrive
    #[arg(long)]
    follow: bool,
    /// Output format: a table, or one JSON object per line
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

pub(super) async fn run(list: List, out: &mut impl Write) -> Result<(), CommandError> {
    match print_records(&list, out).await {
        // Whoever read it has seen enough.
        Err(CommandError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

async fn print_records(list: &List, out: &mut impl Write) -> Result<(), CommandError> {
    if list.output == Output::Table {
        writeln!(out, "{}", AuditRow::headings())?;
    }
    let (mut window, mut place) = (Window::new(list.limit), None);
    let mut opened = false;
    loop {
        let dir = list.data_dir.store();
        let client = Client::connect(&dir)
            .await?
            .ok_or_else(|| CommandError::NotRunning(dir.display().to_string()))?;
        let (text, next) = client.audit(place).await?;
        let end = place == Some(next) || (place.is_none() && next == AuditPosition::default());
        place = Some(next);
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: AuditRecord = serde_json::from_slice(line)
                .map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))?;
            if (list.namespace.is_none() || list.namespace == line.namespace)
                && list.filter.admits(&line)
                && let Some(line) = window.take(line)
            {
                print(&line, list.output, out)?;
            }
        }
        if end {
            for line in window.open() {
                print(&line, list.output, out)?;
            }
            out.flush()?;
            // Whoever reads the records by program reads them from standard output.
            if let Some(cut) = window.cut().filter(|_| !opened) {
                // Nobody is left to tell where this fails.
                let _ = writeln!(std::io::stderr(), "{cut}");
            }
            opened = true;
            if !list.follow {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

fn print(line: &AuditRecord, output: Output, out: &mut impl Write) -> Result<(), CommandError> {
    let text = match output {
        Output::Json => {
            let text = serde_json::to_string(line).map_err(std::io::Error::from)?;
            strongroom_api::json_visible(&text).into_owned()
        }
        Output::Table => AuditRow::from(line).narrow(),
    };
    writeln!(out, "{text}")?;
    Ok(())
}
