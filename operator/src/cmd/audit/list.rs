//! `strongroom audit list`: the records of both chains, from the running process.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::admin::Client;
use crate::audit::{Decision, Line, Place};
use crate::cmd::CommandError;
use crate::cmd::data_dir::DataDir;

/// How often to look for more, when following.
const LOOK: Duration = Duration::from_millis(500);

/// Lists the records of changes and reads
///
/// From the running process, whose audit it is itself: that somebody listed it is on record. Without filters the newest hundred. Examples:
///
///   strongroom audit list --namespace shop --secret db-main --decision refused
///
///   strongroom audit list --since 24h --action GetSecretValue --output json
///
///   strongroom audit list --follow
#[derive(Debug, clap::Args)]
pub(in crate::cmd) struct List {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    filter: Filter,
    /// The newest so many; 0: all
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    /// Go on with what comes
    #[arg(long)]
    follow: bool,
    /// How to print: a table, or one JSON object a line
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Which records; all that is set must hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// In this namespace
    #[arg(long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
    /// On this secret, by its name in the store
    #[arg(long, value_name = "NAME")]
    pub(super) secret: Option<String>,
    /// By somebody whose name holds this text, such as `shop/checkout`
    #[arg(long, value_name = "TEXT")]
    pub(super) principal: Option<String>,
    /// Of this action; several with commas
    #[arg(long, value_name = "ACTION", value_delimiter = ',')]
    pub(super) action: Vec<String>,
    /// That ended so
    #[arg(long, value_enum)]
    pub(super) decision: Option<Decision>,
    /// From this time on: `2026-11-23T20:00:00Z`, or so long ago: `90m`, `24h`
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(super) since: Option<Timestamp>,
    /// Before this time, in the same form
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(super) until: Option<Timestamp>,
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let wrong =
        || format!("`{text}` is neither a time like 2026-11-23T20:00:00Z nor a length like 90m, 24h or 7d");
    let ago = text
        .parse::<strongroom_crds::period::Period>()
        .map_err(|_| wrong())?;
    Timestamp::now()
        .checked_sub(SignedDuration::from_secs(ago.seconds()))
        .map_err(|_| wrong())
}

impl Filter {
    /// Whether the record is wanted. Checkpoints are, only where they are asked for.
    pub(super) fn admits(&self, line: &Line) -> bool {
        let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let action = if self.action.is_empty() {
            line.action != "Checkpoint"
        } else {
            self.action.contains(&line.action)
        };
        action
            && same(&self.namespace, &line.namespace)
            && same(&self.secret, &line.secret)
            && self
                .principal
                .as_ref()
                .is_none_or(|text| line.principal.contains(text.as_str()))
            && self.decision.is_none_or(|decision| line.decision == decision)
            && self.since.is_none_or(|since| line.time >= since)
            && self.until.is_none_or(|until| line.time < until)
    }
}

pub(super) async fn run(list: List, out: &mut impl Write) -> Result<(), CommandError> {
    match told(&list, out).await {
        // Whoever read it has seen enough.
        Err(CommandError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

async fn told(list: &List, out: &mut impl Write) -> Result<(), CommandError> {
    if list.output == Output::Table {
        writeln!(
            out,
            "{:<24}  {:<8}  {:<24}  {:<32}  {:<32}  NOTE",
            "TIME", "DECISION", "ACTION", "SECRET", "PRINCIPAL"
        )?;
    }
    let mut newest = VecDeque::new();
    let (mut place, mut first) = (None, true);
    loop {
        let dir = list.data_dir.store();
        let client = Client::connect(&dir)
            .await?
            .ok_or_else(|| CommandError::NotRunning(dir.display().to_string()))?;
        let (text, next) = client.audit(place).await?;
        let end = place == Some(next) || (place.is_none() && next == Place::default());
        place = Some(next);
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line = serde_json::from_slice(line)
                .map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))?;
            if !list.filter.admits(&line) {
                continue;
            }
            if first && list.limit > 0 {
                if newest.len() == list.limit {
                    newest.pop_front();
                }
                newest.push_back(line);
            } else {
                print(&line, list.output, out)?;
            }
        }
        if end {
            for line in newest.drain(..) {
                print(&line, list.output, out)?;
            }
            out.flush()?;
            if !list.follow {
                return Ok(());
            }
            first = false;
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn print(line: &Line, output: Output, out: &mut impl Write) -> Result<(), CommandError> {
    if output == Output::Json {
        let text = serde_json::to_string(line).map_err(std::io::Error::from)?;
        writeln!(out, "{text}")?;
        return Ok(());
    }
    let secret = match (&line.namespace, &line.secret) {
        (Some(namespace), Some(secret)) => format!("{namespace}/{secret}"),
        (Some(namespace), None) => namespace.clone(),
        (None, Some(secret)) => secret.clone(),
        (None, None) => String::new(),
    };
    let decision = match line.decision {
        Decision::Done => "done",
        Decision::Refused => "refused",
    };
    let mut note: Vec<String> = Vec::new();
    note.extend(line.code.clone());
    note.extend(line.version.clone());
    note.extend(line.source.map(|source| format!("from {source}")));
    note.extend(line.statements.iter().map(|statement| format!("by {statement}")));
    if !line.detail.is_empty() {
        note.push(line.detail.clone());
    }
    writeln!(
        out,
        "{:<24}  {decision:<8}  {:<24}  {secret:<32}  {:<32}  {}",
        line.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        line.action,
        line.principal,
        note.join(", ")
    )?;
    Ok(())
}
