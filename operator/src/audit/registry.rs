//! Every kind of sink, a row each, and what follows: where records go, as the command line names it, and what
//! is always on.

use std::str::FromStr;

use strongroom_model::name::CursorName;

use super::destination::Destination;
use super::sink_kind::{FormError, SinkContext, SinkKind};
use super::{event_sink, file, otlp, stdout, syslog, webhook};

/// Every kind of sink. A new one is its module and its row here.
const KINDS: &[SinkKind] = &[
    stdout::KIND,
    file::KIND,
    syslog::KIND,
    otlp::KIND,
    webhook::KIND,
    event_sink::KIND,
];

/// All destinations of a process: those that its command line names, and those that are always on.
pub(crate) fn destinations(configured: Vec<Destination>, context: &SinkContext) -> Vec<Destination> {
    let always = KINDS.iter().filter_map(|kind| kind.always(context));
    configured.into_iter().chain(always).collect()
}

/// The cursors of these destinations, and of those that are always on: the store has no list of their names.
pub(crate) fn cursors(configured: &[Destination]) -> Vec<CursorName> {
    let always = KINDS
        .iter()
        .filter_map(SinkKind::always_cursor)
        .filter_map(|name| name.parse().ok());
    let configured = configured.iter().map(|destination| destination.cursor().clone());
    configured.chain(always).collect()
}

/// A text that names no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DestinationError {
    /// It is of no known form.
    #[error("`{0}` names no sink; use {forms}", forms = forms())]
    Unknown(String),
    /// Records would leave the host in clear.
    #[error("`{0}` would send audit records in clear; use TLS, or an address of this host")]
    Clear(String),
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        match KINDS.iter().find_map(|kind| kind.parse(text)) {
            Some(Ok(destination)) => Ok(destination),
            Some(Err(FormError::Clear)) => Err(DestinationError::Clear(text.to_owned())),
            Some(Err(FormError::Malformed)) | None => Err(DestinationError::Unknown(text.to_owned())),
        }
    }
}

/// What the option says about itself.
pub(crate) fn sink_help() -> String {
    format!(
        "Where audit records are sent as JSON, in addition to Kubernetes Events; may be repeated: {}",
        forms()
    )
}

/// How each kind is written.
fn forms() -> String {
    let quoted = |forms: Vec<&str>| {
        let forms: Vec<String> = forms.iter().map(|form| format!("`{form}`")).collect();
        forms.join(", ")
    };
    let all = KINDS.iter().filter_map(SinkKind::form);
    let local = KINDS.iter().filter_map(SinkKind::local_form);
    format!(
        "{}, or on this host {}",
        quoted(all.collect()),
        quoted(local.collect())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_as_they_are_written() {
        for (text, shown) in [
            ("stdout", "stdout"),
            ("file:/var/log/audit.json", "file:/var/log/audit.json"),
            ("syslog+tcp://127.0.0.1:514", "syslog+tcp://127.0.0.1:514"),
            ("syslog+tcp://[::1]:514", "syslog+tcp://::1:514"),
            (
                "syslog+tls://siem.example.com:6514?ca=/etc/siem/ca.crt",
                "syslog+tls://siem.example.com:6514",
            ),
            ("otlp+http://127.0.0.1:4318", "otlp+http://127.0.0.1:4318/v1/logs"),
            (
                "otlp+https://otel.example.com:4318/otlp/v1/logs?ca=/ca.crt&headers=/etc/headers",
                "otlp+https://otel.example.com:4318/otlp/v1/logs",
            ),
            (
                "webhook+https://siem.example.com:443/in?ca=/ca.crt&key=/etc/key",
                "webhook+https://siem.example.com:443/in",
            ),
            (
                "webhook+http://[::1]:8080?key=/etc/key",
                "webhook+http://[::1]:8080/",
            ),
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination.to_string(), shown);
            assert!(destination.cursor().as_str().starts_with("sink-"));
        }
        for text in [
            "",
            "file:relative",
            "syslog://a:1",
            "syslog+tls://siem:6514",
            "syslog+tls://:6514?ca=/ca",
            "syslog+tcp://127.0.0.1",
            "syslog+tcp://127.0.0.1:70000",
            "otlp+https://otel:4318",
            "otlp+https://otel?ca=/ca",
            "otlp+https://otel:4318?ca=/ca&colour=red",
            "otlp+grpc://otel:4317?ca=/ca",
            "webhook://siem:443/in?ca=/ca&key=/key",
            "webhook+https://siem:443/in?key=/key",
            "webhook+https://siem:443/in?ca=/ca",
            "webhook+https://siem:443/in?ca=/ca&key=whsec_bm8ga2V5IGluIGEgVVJM",
            "webhook+https://siem/in?ca=/ca&key=/key",
            "webhook+https://user:word@siem:443/in?ca=/ca&key=/key",
            "webhook+https://siem:443/a b?ca=/ca&key=/key",
            "webhook+http://127.0.0.1:8080/in",
        ] {
            let wrong = text.parse::<Destination>();
            assert!(
                matches!(wrong, Err(DestinationError::Unknown(_))),
                "{text}: {wrong:?}"
            );
        }
        for text in [
            "syslog+tcp://10.0.0.1:514",
            "syslog+tcp://localhost:514",
            "otlp+http://otel.example.com:4318",
            "webhook+http://siem.example.com:80/in?key=/key",
            "webhook+http://localhost:8080/in?key=/key",
            "webhook+http://10.0.0.1:8080/in?key=/key",
        ] {
            let wrong = text.parse::<Destination>();
            assert!(
                matches!(wrong, Err(DestinationError::Clear(_))),
                "{text}: {wrong:?}"
            );
        }
    }

    #[test]
    fn whoever_names_no_sink_is_told_the_forms_of_all() {
        let wrong = "carrier-pigeon".parse::<Destination>().unwrap_err().to_string();
        assert!(
            wrong.starts_with(
                "`carrier-pigeon` names no sink; use `stdout`, `file:/PATH`, `syslog+tls://HOST:PORT?ca=/PATH`, "
            ),
            "{wrong}"
        );
        for kind in KINDS {
            for form in [kind.form(), kind.local_form()].into_iter().flatten() {
                assert!(wrong.contains(&format!("`{form}`")), "{form}: {wrong}");
                assert!(sink_help().contains(form), "{form}");
            }
        }
    }
}
