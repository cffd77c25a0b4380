//! Logs on standard error: one line an event, text for people or JSON for machines.
//!
//! Secret values cannot come here: the types that hold them have no text form.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry};

use crate::escape::EscapingMakeWriter;

/// Where kube's client writes the whole body of an answer that it cannot read, as a warning. A body may hold
/// the values of Secrets, so nothing from there is logged; the error itself comes back to the caller, who
/// tells it.
const BODY_LOGGING_TARGET: &str = "kube_client::client";

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = LoggingError;

    fn from_str(text: &str) -> Result<Self, LoggingError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(LoggingError::Format(other.to_owned())),
        }
    }
}

impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Logging cannot be set up as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoggingError {
    /// No such format.
    #[error("`{0}` is not a log format; use `text` or `json`")]
    Format(String),
    /// No such filter.
    #[error("`{0}` is not a log filter; use a level such as `info`, or `target=level` separated by commas")]
    Filter(String),
    /// Somebody else did it before.
    #[error("logging is already set up")]
    Twice,
}

/// Sets logging up for the process. `filter` is a level, or targets with levels.
///
/// # Errors
/// [`LoggingError`].
pub fn init_logging(format: LogFormat, filter: &str) -> Result<(), LoggingError> {
    let filter = EnvFilter::try_new(filter).map_err(|_| LoggingError::Filter(filter.to_owned()))?;
    let ansi = std::io::stderr().is_terminal();
    tracing::subscriber::set_global_default(subscriber(format, filter, ansi, std::io::stderr))
        .map_err(|_| LoggingError::Twice)
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    ansi: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let writer = EscapingMakeWriter {
        writer,
        format,
        coloured: ansi && format == LogFormat::Text,
    };
    let lines = fmt::layer().with_writer(writer).with_ansi(ansi).with_target(true);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let harmless = filter_fn(|metadata| metadata.target() != BODY_LOGGING_TARGET);
    Box::new(Registry::default().with(lines.with_filter(filter.and(harmless))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn formats_are_named() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert_eq!(
            "yaml".parse::<LogFormat>(),
            Err(LoggingError::Format("yaml".into()))
        );
        assert_eq!(LogFormat::Text.to_string(), "text");
    }

    /// Lines in memory.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bodies_are_not_logged_whatever_the_filter_asks_for() {
        for (format, filter) in [
            (LogFormat::Text, "trace"),
            (LogFormat::Json, "kube_client::client=trace,info"),
        ] {
            let lines = Lines::default();
            let writer = lines.clone();
            let filter = EnvFilter::try_new(filter).unwrap();
            let subscriber = subscriber(format, filter, false, move || writer.clone());
            tracing::subscriber::with_default(subscriber, || {
                tracing::warn!(target: "kube_client::client", "a body");
                tracing::info!(target: "kube_client::client::builder", "a request");
                tracing::info!("ours");
            });
            let written = String::from_utf8(lines.0.lock().clone()).unwrap();
            assert!(!written.contains("a body"), "{written}");
            assert!(
                written.contains("a request") && written.contains("ours"),
                "{written}"
            );
        }
    }

    #[test]
    fn names_of_others_do_nothing_to_a_terminal() {
        let hostile = "x\u{1b}[2K\u{7}\n\u{9b}31m\u{202e}";
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = Lines::default();
            let writer = lines.clone();
            let filter = EnvFilter::try_new("info").unwrap();
            let subscriber = subscriber(format, filter, false, move || writer.clone());
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(name = %hostile, quoted = hostile, "of {hostile}");
            });
            let written = String::from_utf8(lines.0.lock().clone()).unwrap();
            let line = written.strip_suffix('\n').unwrap();
            let hides = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!line.chars().any(hides), "{}", line.escape_debug());
            assert!(line.contains("31m"), "{line}");
        }
    }

    #[test]
    fn a_bad_filter_is_said() {
        assert!(matches!(
            init_logging(LogFormat::Text, "store=loud=3"),
            Err(LoggingError::Filter(_))
        ));
    }
}
