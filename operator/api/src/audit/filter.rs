//! Which records somebody wants to see, by the arguments of a command line, and the newest of them.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use strongroom_crds::period::Period;

use super::{AuditRecord, Decision};

/// Which records; all that is set must hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Filter {
    /// Only records about this secret, by its name in the store
    #[arg(long, value_name = "NAME")]
    pub secret: Option<String>,
    /// Only records by or for a principal whose name contains this text, such as `shop/checkout`
    #[arg(long, value_name = "TEXT")]
    pub principal: Option<String>,
    /// Only records of this action; separate several by commas
    #[arg(long, value_name = "ACTION", value_delimiter = ',')]
    pub action: Vec<String>,
    /// Only records with this decision
    #[arg(long, value_enum)]
    pub decision: Option<Decision>,
    /// Only records since this time: `2026-11-23T20:00:00Z`, or relative to now: `90m`, `24h`
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Timestamp>,
    /// Only records before this time, in the same form
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub until: Option<Timestamp>,
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let wrong =
        || format!("`{text}` is neither a time like 2026-11-23T20:00:00Z nor a duration like 90m, 24h or 7d");
    let ago = text.parse::<Period>().map_err(|_| wrong())?;
    Timestamp::now()
        .checked_sub(SignedDuration::from_secs(ago.seconds()))
        .map_err(|_| wrong())
}

impl Filter {
    /// Whether the record is wanted. Checkpoints are, only where they are asked for.
    #[must_use]
    pub fn admits(&self, line: &AuditRecord) -> bool {
        let action = if self.action.is_empty() {
            line.action != "Checkpoint"
        } else {
            self.action.contains(&line.action)
        };
        action
            && (self.secret.is_none() || self.secret == line.secret)
            && self
                .principal
                .as_ref()
                .is_none_or(|text| is_by_or_for(line, text))
            && self.decision.is_none_or(|decision| line.decision == decision)
            && self.since.is_none_or(|since| line.time >= since)
            && self.until.is_none_or(|until| line.time < until)
    }
}

fn is_by_or_for(line: &AuditRecord, text: &str) -> bool {
    let user = line
        .requester
        .as_ref()
        .and_then(|requester| requester.user.as_ref());
    line.principal.contains(text) || user.is_some_and(|user| user.contains(text))
}

/// The newest records of what is there, and then each that comes.
#[derive(Debug)]
pub struct Window {
    newest: VecDeque<AuditRecord>,
    /// How many; 0: all.
    limit: usize,
    open: bool,
}

impl Window {
    /// Of so many records; 0: of all.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            newest: VecDeque::new(),
            limit,
            open: limit == 0,
        }
    }

    /// Takes a record; gives it back where it is to be shown now.
    pub fn take(&mut self, line: AuditRecord) -> Option<AuditRecord> {
        if self.open {
            return Some(line);
        }
        if self.newest.len() == self.limit {
            self.newest.pop_front();
        }
        self.newest.push_back(line);
        None
    }

    /// All that was there has been taken: the newest are to be shown, and each that comes after them.
    pub fn open(&mut self) -> impl Iterator<Item = AuditRecord> {
        self.open = true;
        std::mem::take(&mut self.newest).into_iter()
    }
}
