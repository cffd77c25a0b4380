//! A receiver over HTTP: how it is written on the command line, and a client that trusts its authority alone.
//!
//! The URL is parsed by hand: the name of a sink's cursor in the store follows from the text as it is
//! written, and the crate `url` would normalise it (drop a default port, escape a path). The file paths in
//! its query are no percent-encoding either.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use rustls::{ClientConfig, RootCertStore};
pub(super) use strongroom_process::HttpClient;
use strongroom_process::http1_client;

use super::destination::is_this_host;
use super::sink_kind::FormError;
use crate::trust_anchors::roots_from_pem;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a receiver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpEndpoint {
    /// Over TLS; in clear on this host alone.
    tls: bool,
    /// Host and port.
    place: String,
    /// Such as `/v1/logs`.
    path: String,
    /// The authority that signed its certificate, in PEM.
    authority: Option<PathBuf>,
}

impl HttpEndpoint {
    /// The receiver of `https://HOST:PORT/PATH?ca=/PATH`, and the file that one more option names.
    pub(super) fn parse(
        text: &str,
        default_path: &str,
        option: &str,
    ) -> Result<(Self, Option<PathBuf>), FormError> {
        let (tls, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://").ok_or(FormError::Malformed)?),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut authority, mut file) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("ca", path)) => authority = Some(PathBuf::from(path)),
                Some((name, path)) if name == option => file = Some(PathBuf::from(path)),
                _ => return Err(FormError::Malformed),
            }
        }
        let (place, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, default_path),
        };
        let (host, port) = place.rsplit_once(':').ok_or(FormError::Malformed)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if port.parse::<u16>().is_err() || host.is_empty() || (tls && authority.is_none()) {
            return Err(FormError::Malformed);
        }
        if !tls && !is_this_host(host) {
            return Err(FormError::Clear);
        }
        let endpoint = Self {
            tls,
            place: place.to_owned(),
            path: path.to_owned(),
            authority,
        };
        Ok((endpoint, file))
    }

    /// What is asked for there.
    pub(super) fn uri(&self) -> io::Result<Uri> {
        self.to_string().parse().map_err(io::Error::other)
    }

    /// A client with the authority as its file has it now.
    pub(super) async fn connect(&self) -> io::Result<HttpClient> {
        let roots = match &self.authority {
            Some(path) => roots_from_pem(&tokio::fs::read(path).await?)?,
            None => RootCertStore::empty(),
        };
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(http1_client(config, !self.tls, CONNECT_TIMEOUT))
    }
}

/// Without what it is trusted by.
impl fmt::Display for HttpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.place, self.path)
    }
}
