//! Where audit records go besides Kubernetes Events, as the command line names it.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use strongroom_store::name::CursorName;

use super::file::File;
use super::otlp::{Otlp, OtlpEndpoint};
use super::stdout::Stdout;
use super::syslog::{Syslog, Transport};

/// One system that takes audit records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Standard output; logs go to standard error.
    Stdout,
    /// A file that is rotated.
    File(PathBuf),
    /// A syslog server: host and port.
    Syslog {
        /// How the bytes go there.
        transport: Transport,
        /// Its name or address.
        host: String,
        port: u16,
        /// The authority that signed its certificate, in PEM.
        authority: Option<PathBuf>,
    },
    /// A receiver of OpenTelemetry's protocol.
    Otlp(OtlpEndpoint),
}

/// A text that names no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DestinationError {
    /// It is of no known form.
    #[error(
        "`{0}` names no sink; use `stdout`, `file:/PATH`, `syslog+tls://HOST:PORT?ca=/PATH`, `otlp+https://HOST:PORT?ca=/PATH`, or on this host `syslog+tcp://127.0.0.1:PORT` and `otlp+http://127.0.0.1:PORT`"
    )]
    Unknown(String),
    /// Records would leave the host in clear.
    #[error("`{0}` would send audit records in clear; use TLS, or an address of this host")]
    Clear(String),
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let unknown = || DestinationError::Unknown(text.to_owned());
        if text == "stdout" {
            return Ok(Self::Stdout);
        }
        if let Some(path) = text.strip_prefix("file:").filter(|path| path.starts_with('/')) {
            return Ok(Self::File(path.into()));
        }
        if let Some(receiver) = text.strip_prefix("otlp+") {
            return receiver_of(receiver).ok_or_else(unknown)?.map_or_else(
                || Err(DestinationError::Clear(text.to_owned())),
                |receiver| Ok(Self::Otlp(receiver)),
            );
        }
        let (transport, rest) = if let Some(rest) = text.strip_prefix("syslog+tls://") {
            (Transport::Tls, rest)
        } else if let Some(rest) = text.strip_prefix("syslog+tcp://") {
            (Transport::Tcp, rest)
        } else {
            return Err(unknown());
        };
        let (place, authority) = match rest.split_once("?ca=") {
            Some((place, path)) => (place, Some(PathBuf::from(path))),
            None => (rest, None),
        };
        let (host, port) = place.rsplit_once(':').ok_or_else(unknown)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = port.parse().map_err(|_| unknown())?;
        let local = is_this_host(&host);
        match transport {
            Transport::Tcp if !local => Err(DestinationError::Clear(text.to_owned())),
            Transport::Tls if authority.is_none() => Err(unknown()),
            _ if host.is_empty() => Err(unknown()),
            _ => Ok(Self::Syslog {
                transport,
                host,
                port,
                authority,
            }),
        }
    }
}

/// Whether it is an address of this host: a name may lead anywhere.
fn is_this_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The receiver of `https://HOST:PORT/PATH?ca=/PATH&headers=/PATH`; none within where it would be in clear,
/// none at all where it is none.
fn receiver_of(text: &str) -> Option<Option<OtlpEndpoint>> {
    let (tls, rest) = match text.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("http://")?),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut authority, mut headers) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("ca", path) => authority = Some(PathBuf::from(path)),
            ("headers", path) => headers = Some(PathBuf::from(path)),
            _ => return None,
        }
    }
    let (place, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/v1/logs"),
    };
    let (host, port) = place.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || (tls && authority.is_none()) {
        return None;
    }
    let receiver = OtlpEndpoint {
        tls,
        place: place.to_owned(),
        path: path.to_owned(),
        authority,
        headers,
    };
    Some((tls || is_this_host(host)).then_some(receiver))
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Syslog {
                transport,
                host,
                port,
                ..
            } => {
                let transport = match transport {
                    Transport::Tcp => "tcp",
                    Transport::Tls => "tls",
                };
                write!(f, "syslog+{transport}://{host}:{port}")
            }
            Self::Otlp(OtlpEndpoint { tls, place, path, .. }) => {
                let scheme = if *tls { "https" } else { "http" };
                write!(f, "otlp+{scheme}://{place}{path}")
            }
        }
    }
}

impl Destination {
    /// The name of its cursor in the store: the same for the same place, whatever else there is.
    #[expect(
        clippy::expect_used,
        reason = "hexadecimal digits after a word are a cursor's name, which a test reads"
    )]
    pub(super) fn cursor(&self) -> CursorName {
        let digest = Sha256::digest(self.to_string());
        let short = HEXLOWER.encode(digest.get(..16).unwrap_or_default());
        format!("sink-{short}").parse().expect("a cursor's name")
    }

    /// The way there; nothing is opened yet.
    pub(super) fn sink(&self) -> Sink {
        match self {
            Self::Stdout => Sink::Stdout(Stdout),
            Self::File(path) => Sink::File(File::new(path.clone())),
            Self::Syslog {
                transport,
                host,
                port,
                authority,
            } => Sink::Syslog(Box::new(Syslog::new(
                *transport,
                host.clone(),
                *port,
                authority.clone(),
            ))),
            Self::Otlp(receiver) => Sink::Otlp(Box::new(Otlp::new(receiver.clone()))),
        }
    }
}

/// The way to a destination.
pub(super) enum Sink {
    Stdout(Stdout),
    File(File),
    Syslog(Box<Syslog>),
    Otlp(Box<Otlp>),
}

impl Sink {
    /// Delivers lines, all of them, or says why not; then all of them come again.
    pub(super) async fn deliver(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(sink) => sink.deliver(lines).await,
            Self::File(sink) => sink.deliver(lines).await,
            Self::Syslog(sink) => sink.deliver(lines).await,
            Self::Otlp(sink) => sink.deliver(lines).await,
        }
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
        ] {
            let wrong = text.parse::<Destination>();
            assert!(
                matches!(wrong, Err(DestinationError::Clear(_))),
                "{text}: {wrong:?}"
            );
        }
    }
}
