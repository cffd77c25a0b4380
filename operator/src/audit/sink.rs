//! What every sink is to the exporter: it takes a batch whole, or says why not. Each kind of sink is a module
//! of its own with a row in `registry`; nothing else knows it.

use std::io;
use std::time::Duration;

use axum::http::StatusCode;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::line::AuditLine;
use super::page::PageLimits;

/// How long a sink may take with a batch where it says nothing else.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Records on their way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    /// The records, in order.
    pub(super) lines: &'a [AuditLine],
    /// When they are sent, by the clock of the process.
    pub(super) now: Timestamp,
}

/// The way to a destination.
pub(super) trait Sink: Send {
    /// Delivers the records, all of them, or says why not; then all of them come again.
    fn deliver<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), SinkError>>;

    /// How much it takes at once.
    fn limits(&self) -> PageLimits {
        PageLimits::default()
    }

    /// Whether a batch that was not taken comes again as it was, without what has been recorded since, so
    /// that the other side knows it again.
    fn repeats_exactly(&self) -> bool {
        false
    }

    /// How long it may take with a batch.
    fn timeout(&self) -> Duration {
        DELIVERY_TIMEOUT
    }

    /// How long it is left alone after the batch that it took last.
    fn pause(&self) -> Duration {
        Duration::ZERO
    }

    /// Counts how far it is behind, where it has numbers of its own for that: records of changes, and
    /// seconds.
    fn count_lag(&self, _changes: u64, _seconds: u64) {}
}

/// A batch was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SinkError {
    /// The way there, or what is configured for it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The API server has not all Events, and what kept it.
    #[error("the API server does not take Events: {0}")]
    Events(&'static str),
    /// The other side answered something else than that it has the records.
    #[error("the receiver answers {status}: {advice}", advice = .kind.advice())]
    Answered {
        /// The HTTP status.
        status: StatusCode,
        /// What that means.
        kind: AnswerKind,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
}

impl SinkError {
    /// What the answer means, where there was one that says so.
    pub(super) const fn answer_kind(&self) -> Option<AnswerKind> {
        match self {
            Self::Io(_) | Self::Events(_) => None,
            Self::Answered { kind, .. } => Some(*kind),
        }
    }

    /// How long the other side asks to be left alone.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Io(_) | Self::Events(_) => None,
            Self::Answered { retry_after, .. } => *retry_after,
        }
    }
}

/// What an answer over HTTP means that is no success. The records come again whatever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerKind {
    /// 3xx.
    Redirected,
    /// 4xx but for the next: somebody has to do something about it.
    Rejected,
    /// 408 or 429: it has no time for this now.
    Throttled,
    /// 5xx.
    Failing,
    /// What no final answer has.
    Unknown,
}

impl AnswerKind {
    /// What a status means.
    pub(super) fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Self::Throttled,
            _ if status.is_redirection() => Self::Redirected,
            _ if status.is_client_error() => Self::Rejected,
            _ if status.is_server_error() => Self::Failing,
            _ => Self::Unknown,
        }
    }

    /// As the metric names it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::Rejected => "rejected",
            Self::Throttled => "throttled",
            Self::Failing => "failing",
            Self::Unknown => "unknown",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Redirected => "redirects are not followed; name the place that it points to",
            Self::Rejected => "it refuses the records until the sink, its key or the receiver is corrected",
            Self::Throttled => "it has no time for them now",
            Self::Failing => "it fails; look at the receiver",
            Self::Unknown => "that is no final answer; look at the receiver",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        for (status, kind) in [
            (301, AnswerKind::Redirected),
            (308, AnswerKind::Redirected),
            (400, AnswerKind::Rejected),
            (401, AnswerKind::Rejected),
            (410, AnswerKind::Rejected),
            (408, AnswerKind::Throttled),
            (429, AnswerKind::Throttled),
            (500, AnswerKind::Failing),
            (503, AnswerKind::Failing),
            (999, AnswerKind::Unknown),
        ] {
            assert_eq!(
                AnswerKind::from_status(StatusCode::from_u16(status).unwrap()),
                kind,
                "{status}"
            );
        }
        let error = SinkError::Answered {
            status: StatusCode::UNAUTHORIZED,
            kind: AnswerKind::Rejected,
            retry_after: None,
        };
        assert!(
            error
                .to_string()
                .starts_with("the receiver answers 401 Unauthorized: it refuses"),
            "{error}"
        );
    }
}
