//! Logs on standard error: one line an event, text for people or JSON for machines.
//!
//! Secret values cannot come here: the types that hold them have no text form.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

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

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    #[error("`{0}` is no log format; use `text` or `json`")]
    Format(String),
    /// No such filter.
    #[error("`{0}` is no log filter; use a level such as `info`, or `target=level` separated by commas")]
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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(true);
    match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
    }
    .map_err(|_| LoggingError::Twice)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_bad_filter_is_said() {
        assert!(matches!(
            init_logging(LogFormat::Text, "store=loud=3"),
            Err(LoggingError::Filter(_))
        ));
    }
}
