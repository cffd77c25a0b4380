//! A kind of sink: how it is written, and what becomes of that.

use kube::Client;
use strongroom_store::vault::Store;

use super::destination::Destination;
use super::metrics::AuditMetrics;

/// A kind of sink, by who turns it on.
pub(super) enum SinkKind {
    /// The command line names it.
    Configured {
        /// How it is written, for those who wrote something else.
        form: &'static str,
        /// How it is written where it is on this host and needs no TLS.
        local_form: Option<&'static str>,
        /// The destination of a text; none where the text is one of another kind.
        parse: fn(&str) -> Option<Result<Destination, FormError>>,
    },
    /// Nobody configures it: each process has it.
    Always {
        /// Made from what the process has, once at its start.
        destination: fn(&SinkContext) -> Destination,
        /// What its cursor is called.
        cursor: &'static str,
    },
}

impl SinkKind {
    pub(super) const fn form(&self) -> Option<&'static str> {
        match self {
            Self::Configured { form, .. } => Some(*form),
            Self::Always { .. } => None,
        }
    }

    pub(super) const fn local_form(&self) -> Option<&'static str> {
        match self {
            Self::Configured { local_form, .. } => *local_form,
            Self::Always { .. } => None,
        }
    }

    pub(super) fn parse(&self, text: &str) -> Option<Result<Destination, FormError>> {
        match self {
            Self::Configured { parse, .. } => parse(text),
            Self::Always { .. } => None,
        }
    }

    pub(super) fn always(&self, context: &SinkContext) -> Option<Destination> {
        match self {
            Self::Configured { .. } => None,
            Self::Always { destination, .. } => Some(destination(context)),
        }
    }

    pub(super) const fn always_cursor(&self) -> Option<&'static str> {
        match self {
            Self::Configured { .. } => None,
            Self::Always { cursor, .. } => Some(*cursor),
        }
    }
}

/// What the process has for a sink that is always on.
#[derive(Clone)]
pub(crate) struct SinkContext {
    /// To the API server.
    pub(crate) client: Client,
    /// Whose records.
    pub(crate) store: Store,
    /// The name of this process among its likes, at most 128 characters: its pod's.
    pub(crate) instance: String,
    /// Where it counts.
    pub(crate) metrics: AuditMetrics,
}

/// Why a text names no destination, though its kind is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormError {
    /// It is not of the form.
    Malformed,
    /// Records would leave the host in clear.
    Clear,
}
