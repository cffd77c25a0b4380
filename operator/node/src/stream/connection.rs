//! One connection to the gateway, from the first byte to the last. Must not interpret the messages.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use strongroom_api::stream::Token;
use strongroom_api::stream::proto::delivery_client::DeliveryClient;
use strongroom_api::stream::proto::{GatewayMessage, NodeMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest message: a value of 64 KiB, or many pointers.
const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// Where the gateway is and how to prove oneself to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `https://` with host and port; `http://` in tests alone.
    pub url: String,
    /// The authority that its certificate is of, PEM; none: without TLS, which tests alone do.
    pub authority: Option<PathBuf>,
    /// The plugin's own token.
    pub token: PathBuf,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{} contains no token", .0.display())]
    Token(PathBuf),
    #[error("`{0}` is not a valid gateway URL")]
    Url(String),
    /// The text says what was tried, and with whom; not the cause alone.
    #[error("cannot connect to the gateway: {0}")]
    Connect(String),
    #[error("the gateway ended the stream: {0}")]
    Ended(String),
}

impl Endpoint {
    /// The plugin's token as it is now: kubelet writes a new one before the old one expires.
    pub(super) fn own_token(&self) -> Result<Token, ConnectionError> {
        let text = std::fs::read_to_string(&self.token).map(Zeroizing::new);
        let text = text.map_err(file(&self.token))?;
        let token = Token::new(Zeroizing::new(text.trim().to_owned()));
        token.ok_or_else(|| ConnectionError::Token(self.token.clone()))
    }

    /// When the last of the gateway's authorities ends, in seconds since the epoch: from then on no
    /// certificate of it is believed. None without TLS, or before the file is there.
    pub(super) fn authority_end(&self) -> Option<i64> {
        let pem = std::fs::read(self.authority.as_ref()?).ok()?;
        let authorities = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        authorities.filter_map(|authority| end_of(&authority)).max()
    }

    async fn connect(&self) -> Result<Channel, ConnectionError> {
        let url = || ConnectionError::Url(self.url.clone());
        let mut endpoint = Channel::from_shared(self.url.clone()).map_err(|_| url())?;
        if let Some(authority) = &self.authority {
            // Read anew each time: authorities follow one another.
            let pem = std::fs::read(authority).map_err(file(authority))?;
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            endpoint = endpoint.tls_config(tls).map_err(|_| url())?;
        }
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
        let connected = endpoint.connect().await;
        connected.map_err(|error| ConnectionError::Connect(chain(&error)))
    }

    /// Runs a connection: `outgoing` is what to send, Hello first; what comes goes to `incoming`, whose room
    /// is what holds a fast gateway back. The gateway reads nothing of it before it has checked the token.
    /// Returns when either side ends it.
    pub(super) async fn run(
        &self,
        token: &Token,
        outgoing: mpsc::Receiver<NodeMessage>,
        incoming: &mpsc::Sender<GatewayMessage>,
    ) -> Result<(), ConnectionError> {
        let channel = self.connect().await?;
        let mut client = DeliveryClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let ended = |status: tonic::Status| {
            ConnectionError::Ended(format!("{}: {}", status.code(), status.message()))
        };
        let mut request = Request::new(ReceiverStream::new(outgoing));
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut bearer: MetadataValue<Ascii> = bearer
            .parse()
            .map_err(|_| ConnectionError::Token(self.token.clone()))?;
        bearer.set_sensitive(true);
        request.metadata_mut().insert("authorization", bearer);
        let answer = client.attach(request).await.map_err(ended)?;
        let mut messages = answer.into_inner();
        while let Some(message) = messages.message().await.map_err(ended)? {
            if incoming.send(message).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn end_of(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> ConnectionError {
    move |source| ConnectionError::File {
        path: path.to_owned(),
        source,
    }
}

/// An error with its causes: tonic's own text is "transport error" alone.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_several_authorities_counts() {
        let authority = |year| {
            let mut params = rcgen::CertificateParams::new(vec!["gateway".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().pem()
        };
        let keep = tempfile::tempdir().unwrap();
        let mut endpoint = Endpoint {
            url: "https://gateway".to_owned(),
            authority: Some(keep.path().join("ca.crt")),
            token: PathBuf::new(),
        };
        assert_eq!(endpoint.authority_end(), None);
        let bundle = format!("{}{}", authority(2040), authority(2030));
        std::fs::write(keep.path().join("ca.crt"), bundle).unwrap();
        assert_eq!(endpoint.authority_end(), Some(2_208_988_800));
        endpoint.authority = None;
        assert_eq!(endpoint.authority_end(), None);
    }
}
