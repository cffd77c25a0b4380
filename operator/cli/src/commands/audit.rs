//! `audit`.

use std::time::Duration;

use strongroom_api::audit::{AuditRecord, Filter, HEADER, Window, row};
use strongroom_api::json_visible;

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Format, Output, yaml};

/// How often to look for more, when following.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Lists who did what with secrets, and who was refused
///
/// Needs ClusterRole `strongroom-auditor` in the namespace. Examples:
///
///   kubectl strongroom audit --secret db-main --decision refused --since 24h
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
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    /// Also prints new records as they arrive
    #[arg(short, long)]
    follow: bool,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    if out.format == Format::Table {
        out.line(HEADER)?;
    }
    let (mut window, mut after) = (Window::new(arguments.limit), None::<String>);
    loop {
        let page = client.records(arguments.all_namespaces, after.as_deref()).await?;
        for line in page.records {
            if arguments.filter.admits(&line)
                && let Some(line) = window.take(line)
            {
                print(&line, out)?;
            }
        }
        let end = after.as_ref() == Some(&page.next);
        after = Some(page.next);
        if end {
            for line in window.open() {
                print(&line, out)?;
            }
            if !arguments.follow {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Records are printed one by one, in JSON and YAML as well: there may be no last one.
fn print(line: &AuditRecord, out: &Output) -> Result<(), Failure> {
    match out.format {
        Format::Table => out.line(&row(line)),
        Format::Json => {
            let text = serde_json::to_string(line).map_err(std::io::Error::from)?;
            out.line(&json_visible(&text))
        }
        Format::Yaml => out.line(&format!("---\n{}", yaml(line)?)),
    }
}
