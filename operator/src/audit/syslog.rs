//! Audit records to a syslog server: RFC 5424 messages with the JSON object as text, octet-counted on a
//! stream (RFC 6587 section 3.4.1), over TLS (RFC 5425) or, on this host, TCP.
//!
//! Syslog acknowledges nothing. A page counts as delivered when it is written and the server has not closed
//! the connection by then; what was on the way when a server died may be lost to it, and is still in the
//! chains.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use strongroom_api::audit::Outcome;

use super::destination::{Destination, is_this_host};
use super::line::AuditLine;
use super::sink::{Batch, Sink, SinkError};
use super::sink_kind::{FormError, SinkKind};
use crate::trust_anchors::roots_from_pem;

/// How it is named.
pub(super) const KIND: SinkKind = SinkKind::Configured {
    form: "syslog+tls://HOST:PORT?ca=/PATH",
    local_form: Some("syslog+tcp://127.0.0.1:PORT"),
    parse: |text| {
        let tls = text
            .strip_prefix("syslog+tls://")
            .map(|rest| (Transport::Tls, rest));
        let tcp = || {
            text.strip_prefix("syslog+tcp://")
                .map(|rest| (Transport::Tcp, rest))
        };
        let (transport, rest) = tls.or_else(tcp)?;
        Some(destination(transport, rest))
    },
};

fn destination(transport: Transport, rest: &str) -> Result<Destination, FormError> {
    let (place, authority) = match rest.split_once("?ca=") {
        Some((place, path)) => (place, Some(PathBuf::from(path))),
        None => (rest, None),
    };
    let (host, port) = place.rsplit_once(':').ok_or(FormError::Malformed)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port: u16 = port.parse().map_err(|_| FormError::Malformed)?;
    match transport {
        Transport::Tcp if !is_this_host(&host) => return Err(FormError::Clear),
        Transport::Tls if authority.is_none() => return Err(FormError::Malformed),
        _ if host.is_empty() => return Err(FormError::Malformed),
        Transport::Tcp | Transport::Tls => {}
    }
    let scheme = match transport {
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
    };
    Ok(Destination::new(
        format!("syslog+{scheme}://{host}:{port}"),
        move || Syslog::new(transport, host.clone(), port, authority.clone()),
    ))
}

/// How the bytes go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    /// In clear, on this host alone.
    Tcp,
    /// Over TLS.
    Tls,
}

/// Facility 13, log audit (RFC 5424 section 6.2.1), times 8.
const FACILITY: u8 = 13 * 8;
/// Severity notice: normal, and worth a look.
const NOTICE: u8 = 5;
/// Severity warning.
const WARNING: u8 = 4;

/// Either stream.
trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// The way to a server, open while it takes what is sent.
struct Syslog {
    transport: Transport,
    host: String,
    port: u16,
    authority: Option<PathBuf>,
    hostname: String,
    stream: Option<Box<dyn Stream>>,
}

impl Syslog {
    fn new(transport: Transport, host: String, port: u16, authority: Option<PathBuf>) -> Self {
        let hostname = own_name();
        Self {
            transport,
            host,
            port,
            authority,
            hostname,
            stream: None,
        }
    }

    async fn send(&mut self, lines: &[AuditLine]) -> io::Result<()> {
        let mut messages = Vec::new();
        for line in lines {
            let message = message(line, &self.hostname);
            messages.extend_from_slice(format!("{} ", message.len()).as_bytes());
            messages.extend_from_slice(&message);
        }
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        open_yet(&mut stream).await?;
        stream.write_all(&messages).await?;
        stream.flush().await?;
        open_yet(&mut stream).await?;
        self.stream = Some(stream);
        Ok(())
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        match self.transport {
            Transport::Tcp => Ok(Box::new(tcp)),
            Transport::Tls => {
                let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
                let tls = self.connector().await?.connect(name, tcp).await?;
                Ok(Box::new(tls))
            }
        }
    }

    /// The authority is read anew for each connection: it may have been renewed.
    async fn connector(&self) -> io::Result<TlsConnector> {
        let path = self.authority.as_ref().ok_or(ErrorKind::NotFound)?;
        let roots = roots_from_pem(&tokio::fs::read(path).await?)?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

impl Sink for Syslog {
    fn deliver<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async move { self.send(batch.lines).await.map_err(SinkError::Io) })
    }
}

/// A server says nothing; one that closed its end is gone, and what is written then is lost without an error.
async fn open_yet(stream: &mut Box<dyn Stream>) -> io::Result<()> {
    let mut byte = [0];
    let read = futures::poll!(std::pin::pin!(stream.read(&mut byte)));
    match read {
        std::task::Poll::Pending => Ok(()),
        std::task::Poll::Ready(Ok(0)) => Err(ErrorKind::ConnectionAborted.into()),
        std::task::Poll::Ready(done) => done.map(drop),
    }
}

/// One message of RFC 5424: what was not done is a warning, everything else a notice.
fn message(line: &AuditLine, hostname: &str) -> Vec<u8> {
    let AuditLine { record, json } = line;
    let severity = match record.outcome {
        Outcome::Success => NOTICE,
        Outcome::Failure => WARNING,
    };
    let priority = FACILITY + severity;
    let time = record.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    let action: String = record
        .action
        .chars()
        .filter(char::is_ascii_graphic)
        .take(32)
        .collect();
    let mut message = format!("<{priority}>1 {time} {hostname} strongroom - {action} - ").into_bytes();
    message.extend_from_slice(json);
    message
}

/// The name of this machine, or of this pod: printable ASCII, as the format demands.
fn own_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}
