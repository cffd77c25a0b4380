//! A queued command: its decision on the view of its group, and how its caller is answered.

use strongroom_model::id::RequestId;
use strongroom_model::time::Timestamp;

use super::commands::{Command, Decision, EntryDraft};
use super::error::{Refusal, StoreError};
use super::types::Meta;
use super::view::View;
use crate::audit::{Entry, Requester};

/// Answers one caller once the group's outcome is known.
pub(super) type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a job came to on the view.
pub(super) struct DecidedJob {
    pub(super) entries: Vec<Entry>,
    pub(super) refused: Option<Entry>,
    pub(super) answer: Answer,
}

impl DecidedJob {
    /// Whether it changed something that is recorded.
    pub(super) fn changes(&self) -> bool {
        !self.entries.is_empty()
    }
}

/// A queued command, whatever its type.
pub(super) struct Job {
    pub(super) request: RequestId,
    run: Box<dyn FnOnce(JobInput<'_, '_>) -> Option<DecidedJob> + Send>,
}

/// A job is either carried out, or turned away.
pub(super) enum JobInput<'v, 'a> {
    Run(&'v mut View<'a>),
    /// The request was carried out before.
    Repeat(&'v mut View<'a>),
    Refuse(StoreError),
}

impl Job {
    pub(super) fn new<C: Command>(
        command: C,
        meta: Meta,
        requester: Option<Requester>,
        reply: impl FnOnce(Result<C::Reply, StoreError>) + Send + 'static,
    ) -> Self {
        let request = meta.request;
        let meta = (meta, requester);
        let run = Box::new(move |input: JobInput<'_, '_>| match input {
            JobInput::Refuse(error) => {
                reply(Err(error));
                None
            }
            JobInput::Run(view) => Some(carry_out(command, C::decide, &meta, view, reply)),
            JobInput::Repeat(view) => Some(carry_out(command, C::repeated, &meta, view, reply)),
        });
        Self { request, run }
    }

    /// Carries it out, or again, or turns it away.
    pub(super) fn run(self, input: JobInput<'_, '_>) -> Option<DecidedJob> {
        (self.run)(input)
    }

    pub(super) fn refuse(self, error: StoreError) {
        self.run(JobInput::Refuse(error));
    }
}

/// What a command comes to, the first time or again.
type Decide<C> = fn(C, &View<'_>, Timestamp) -> Result<Decision<<C as Command>::Reply>, StoreError>;

fn carry_out<C: Command>(
    command: C,
    decide: Decide<C>,
    (meta, requester): &(Meta, Option<Requester>),
    view: &mut View<'_>,
    reply: impl FnOnce(Result<C::Reply, StoreError>) + Send + 'static,
) -> DecidedJob {
    let subject = command.subject();
    let decided = decide(command, view, meta.now).and_then(|decision| {
        view.apply(decision.effects)?;
        if let Some(usage) = decision.takes {
            view.reserve(usage);
        }
        Ok((decision.entries, decision.reply))
    });
    match decided {
        Ok((entries, value)) => DecidedJob {
            entries: entries
                .into_iter()
                .map(|about| with_requester(about.entry(meta), requester))
                .collect(),
            refused: None,
            answer: Box::new(move |outcome| reply(outcome.map(|()| value))),
        },
        Err(error) => {
            if let (StoreError::Refused(Refusal::NamespaceFull { .. }), Some(quotas)) = (&error, view.quotas)
            {
                quotas.count_refusal();
            }
            let refused = with_requester(
                EntryDraft::refusal(view, C::ACTION, subject, meta, &error),
                requester,
            );
            DecidedJob {
                entries: Vec::new(),
                refused: Some(refused),
                answer: Box::new(move |outcome| reply(Err(outcome.err().unwrap_or(error)))),
            }
        }
    }
}

/// The record, with who asked for it, unless it says that by itself.
fn with_requester(entry: Entry, requester: &Option<Requester>) -> Entry {
    Entry {
        requester: entry.requester.clone().or_else(|| requester.clone()),
        ..entry
    }
}
