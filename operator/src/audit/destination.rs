//! Where audit records go: what the command line names, and what is always on.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use strongroom_model::ProductCode;
use strongroom_model::name::CursorName;

use super::cursor::ReaderScope;
use super::product_sink::ProductFilter;
use super::sink::{FormError, Sink, SinkContext, SinkKind};
use super::{event_sink, file, otlp, stdout, syslog, webhook};
use crate::products::SinkBacklogHandle;

/// Every kind of sink. A new one is its module and its row here.
const KINDS: &[SinkKind] = &[
    stdout::KIND,
    file::KIND,
    syslog::KIND,
    otlp::KIND,
    webhook::KIND,
    event_sink::KIND,
];

impl SinkKind {
    const fn form(&self) -> Option<&'static str> {
        match self {
            Self::Configured { form, .. } => Some(*form),
            Self::Always { .. } => None,
        }
    }

    const fn local_form(&self) -> Option<&'static str> {
        match self {
            Self::Configured { local_form, .. } => *local_form,
            Self::Always { .. } => None,
        }
    }

    fn parse(&self, text: &str) -> Option<Result<Destination, FormError>> {
        match self {
            Self::Configured { parse, .. } => parse(text),
            Self::Always { .. } => None,
        }
    }

    fn always(&self, context: &SinkContext) -> Option<Destination> {
        match self {
            Self::Configured { .. } => None,
            Self::Always { destination, .. } => Some(destination(context)),
        }
    }

    const fn always_cursor(&self) -> Option<&'static str> {
        match self {
            Self::Configured { .. } => None,
            Self::Always { cursor, .. } => Some(*cursor),
        }
    }
}

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
    let configured = configured.iter().map(|destination| destination.cursor.clone());
    configured.chain(always).collect()
}

/// One system that takes audit records; cheap to clone.
#[derive(Clone)]
pub(crate) struct Destination {
    /// As logs and metrics name it, without its options.
    shown: String,
    cursor: CursorName,
    scope: ReaderScope,
    /// Of a product's own sink: what of the records is for it.
    product: Option<Arc<ProductFilter>>,
    /// Likewise, what waits for it.
    backlog: SinkBacklogHandle,
    open: Arc<dyn Fn() -> Box<dyn Sink> + Send + Sync>,
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

#[expect(
    clippy::expect_used,
    reason = "constants, and hexadecimal digits after a word, are cursors' names, which tests read"
)]
fn cursor_name(text: &str) -> CursorName {
    text.parse().expect("a cursor's name")
}

/// Tells texts apart, in 32 characters.
fn short_digest(texts: &[&str]) -> String {
    let digest = Sha256::digest(texts.join("\0"));
    HEXLOWER.encode(digest.get(..16).unwrap_or_default())
}

/// Whether it is an address of this host: a name may lead anywhere.
pub(super) fn is_this_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Destination").field(&self.shown).finish()
    }
}

impl Destination {
    /// The destination of this name, and the way there.
    pub(super) fn new<S: Sink + 'static>(
        shown: String,
        open: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        // The same for the same place, whatever else there is.
        let cursor = format!("sink-{}", short_digest(&[&shown]));
        Self::with_cursor(shown, &cursor, ReaderScope::All, open)
    }

    /// One that takes changes alone, and whose cursor is called what it is.
    pub(super) fn for_changes<S: Sink + 'static>(
        shown: &str,
        open: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        Self::with_cursor(shown.to_owned(), shown, ReaderScope::Changes, open)
    }

    /// The same place for the records of one product alone. Its cursor is of both: what was sent there of
    /// other records does not count.
    pub(super) fn for_product(self, filter: ProductFilter) -> Self {
        let cursor = format!("product-{}", short_digest(&[&self.shown, filter.code().as_str()]));
        Self {
            shown: filter.name().to_owned(),
            cursor: cursor_name(&cursor),
            product: Some(Arc::new(filter)),
            ..self
        }
    }

    fn with_cursor<S: Sink + 'static>(
        shown: String,
        cursor: &str,
        scope: ReaderScope,
        open: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        Self {
            shown,
            cursor: cursor_name(cursor),
            scope,
            product: None,
            backlog: SinkBacklogHandle::default(),
            open: Arc::new(move || -> Box<dyn Sink> { Box::new(open()) }),
        }
    }

    /// The name of its cursor in the store.
    pub(super) const fn cursor(&self) -> &CursorName {
        &self.cursor
    }

    /// Which chains it takes.
    pub(super) const fn scope(&self) -> ReaderScope {
        self.scope
    }

    /// What of the records is for it, where it is a product's own sink.
    pub(super) const fn product(&self) -> Option<&Arc<ProductFilter>> {
        self.product.as_ref()
    }

    /// What people call it, whose it is, and what waits for it, where it is a product's own sink.
    pub(crate) fn product_sink(&self) -> Option<(&str, &ProductCode, &SinkBacklogHandle)> {
        let filter = self.product.as_deref()?;
        Some((filter.name(), filter.code(), &self.backlog))
    }

    /// What waits for it, where it is a product's own sink.
    pub(super) const fn backlog(&self) -> &SinkBacklogHandle {
        &self.backlog
    }

    /// The way there; nothing is opened yet.
    pub(super) fn sink(&self) -> Box<dyn Sink> {
        (self.open)()
    }
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
