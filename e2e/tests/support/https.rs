//! The API of a process beside the cluster, asked over HTTPS.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::answers::code;

/// The API at a port, and by what token it is asked.
#[derive(Clone)]
pub struct Server {
    pub port: u16,
    config: Arc<ClientConfig>,
    pub token: Arc<str>,
}

/// An answer: its status, its request's id and its body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub request: String,
    pub body: Value,
}

impl Answer {
    /// The status, and the code of a refusal.
    pub fn ended(&self) -> (u16, String) {
        (self.status.as_u16(), code(&self.body))
    }

    /// The text of a refusal.
    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

impl Server {
    /// The API at a port, for clients that trust this authority (PEM) and have this token.
    pub fn new(port: u16, authority: &str, token: &str) -> Self {
        // Only a second call fails.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            port,
            config: Arc::new(config),
            token: token.into(),
        }
    }

    /// The same, by another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.into(),
            ..self.clone()
        }
    }

    pub async fn tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.tls_from(Ipv4Addr::LOCALHOST).await
    }

    async fn tls_from(&self, address: Ipv4Addr) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((address, 0).into())?;
        let stream = socket.connect((Ipv4Addr::LOCALHOST, self.port).into()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(&self.config))
            .connect(name, stream)
            .await
    }

    pub async fn connect(&self) -> std::io::Result<SendRequest<Full<Bytes>>> {
        self.connect_from(Ipv4Addr::LOCALHOST).await
    }

    /// As [`Server::connect`], from another address of this machine.
    pub async fn connect_from(&self, address: Ipv4Addr) -> std::io::Result<SendRequest<Full<Bytes>>> {
        let stream = self.tls_from(address).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A request about a secret that is answered; none where the server goes in between.
    pub async fn ask(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        self.ask_at(sender, method, &format!("/{path}"), body).await
    }

    /// As [`Server::ask`], with what follows `secrets` in the path.
    pub async fn ask_at(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/namespaces/shop/secrets{path}"))
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.token))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        sender.ready().await.ok()?;
        let response = sender.send_request(request).await.ok()?;
        let status = response.status();
        let request = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some(Answer {
            status,
            request,
            body: serde_json::from_slice(&body).unwrap(),
        })
    }
}
