//! Which records somebody wants to see, by the arguments of a command line, and the newest of them.

use std::collections::VecDeque;

use clap::builder::PossibleValuesParser;
use jiff::{SignedDuration, Timestamp};
use strongroom_crds::period::Period;

use super::{ACTIONS, AuditRecord, Decision, Outcome};

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
    #[arg(
        long,
        value_name = "ACTION",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(ACTIONS.iter().copied()),
        ignore_case = true,
        hide_possible_values = true
    )]
    pub action: Vec<String>,
    /// Only records with this decision: was it allowed?
    #[arg(long, value_enum)]
    pub decision: Option<Decision>,
    /// Only records with this outcome: was it done?
    #[arg(long, value_enum)]
    pub outcome: Option<Outcome>,
    /// Only records since this time: `2026-11-23T20:00:00Z`, or relative to now: `90m`, `24h`
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Timestamp>,
    /// Only records before this time, in the same form
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub until: Option<Timestamp>,
}

/// A time as people write it: `2026-11-23T20:00:00Z`, or how long before now: `90m`, `24h`, `7d`.
///
/// # Errors
/// A sentence that shows both forms.
pub fn since(text: &str) -> Result<Timestamp, String> {
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
            self.asks_for(&line.action)
        };
        action
            && (self.secret.is_none() || self.secret == line.secret)
            && self
                .principal
                .as_ref()
                .is_none_or(|text| is_by_or_for(line, text))
            && self.has_ended_so(line.decision, line.outcome)
            && self.is_in_time(line.time)
    }

    /// Whether it names this action.
    #[must_use]
    pub fn asks_for(&self, action: &str) -> bool {
        self.action.iter().any(|asked| asked.eq_ignore_ascii_case(action))
    }

    /// Whether something that ended so is wanted.
    #[must_use]
    pub fn has_ended_so(&self, decision: Decision, outcome: Outcome) -> bool {
        self.decision.is_none_or(|wanted| wanted == decision)
            && self.outcome.is_none_or(|wanted| wanted == outcome)
    }

    /// Whether something of this time is wanted.
    #[must_use]
    pub fn is_in_time(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }
}

fn is_by_or_for(line: &AuditRecord, text: &str) -> bool {
    let user = line
        .requester
        .as_ref()
        .and_then(|requester| requester.user.as_ref());
    line.principal.contains(text) || user.is_some_and(|user| user.contains(text))
}

/// The newest of what is there, and then each that comes.
#[derive(Debug)]
pub struct Window<T> {
    newest: VecDeque<T>,
    /// How many; 0: all.
    limit: usize,
    /// How many there were before it was opened.
    found: usize,
    open: bool,
}

impl<T> Window<T> {
    /// Of so many; 0: of all.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            newest: VecDeque::new(),
            limit,
            found: 0,
            open: limit == 0,
        }
    }

    /// Takes one; gives it back where it is to be shown now.
    pub fn take(&mut self, line: T) -> Option<T> {
        if self.open {
            return Some(line);
        }
        self.found += 1;
        if self.newest.len() == self.limit {
            self.newest.pop_front();
        }
        self.newest.push_back(line);
        None
    }

    /// All that was there has been taken: the newest are to be shown, and each that comes after them.
    pub fn open(&mut self) -> impl Iterator<Item = T> {
        self.open = true;
        std::mem::take(&mut self.newest).into_iter()
    }

    /// That some are not shown, and what shows them.
    #[must_use]
    pub fn cut(&self) -> Option<String> {
        let Self { limit, found, .. } = self;
        (found > limit && *limit > 0).then(|| format!("newest {limit} of {found}; --limit 0 shows all"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        filter: Filter,
    }

    fn parsed(arguments: &[&str]) -> Result<Filter, String> {
        let all = std::iter::once(&"audit").chain(arguments);
        CommandLine::try_parse_from(all)
            .map(|line| line.filter)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_unknown_action_is_refused_with_the_nearest_and_the_list() {
        let filter = parsed(&["--action", "getsecretvalue,Gap"]).unwrap();
        assert!(filter.asks_for("GetSecretValue") && filter.asks_for("Gap") && !filter.asks_for("Decrypt"));
        for wrong in ["GetSecretValu", "GetSecretValue,GetSecretValu"] {
            let said = parsed(&["--action", wrong]).unwrap_err();
            assert!(
                said.contains("'GetSecretValu'") && said.contains("'GetSecretValue'"),
                "{said}"
            );
            for action in ACTIONS {
                assert!(said.contains(action), "{action}: {said}");
            }
        }
        assert!(parsed(&["--decision", "refused"]).unwrap_err().contains("denied"));
        assert!(parsed(&["--outcome", "done"]).unwrap_err().contains("success"));
    }

    #[test]
    fn a_window_says_what_it_cut() {
        let window = |limit: usize, lines: usize| {
            let mut window = Window::new(limit);
            let now = (0..lines).filter_map(|line| window.take(line)).count();
            let shown = now + window.open().count();
            // What comes later is shown, and is none of what was cut.
            assert_eq!(window.take(lines), Some(lines));
            (shown, window.cut())
        };
        assert_eq!(
            window(100, 308),
            (100, Some("newest 100 of 308; --limit 0 shows all".to_owned()))
        );
        assert_eq!(window(100, 100), (100, None));
        assert_eq!(window(100, 0), (0, None));
        assert_eq!(window(0, 308), (308, None));
    }
}
