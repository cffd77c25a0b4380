//! Requests to the API, each on a connection of its own.

use http::Method;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::https::{Answer, Server};

/// The API of a process beside the cluster.
pub(crate) struct Api {
    server: Server,
    runtime: Runtime,
}

impl Api {
    /// The API at a port, for clients that trust this authority (PEM).
    pub(crate) fn new(port: u16, authority: &str) -> Self {
        Self {
            server: Server::new(port, authority, ""),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    /// Asks for what follows `secrets` in the path of namespace `shop`, with this token.
    pub(crate) fn ask(&self, token: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let server = self.server.with_token(token);
        self.runtime.block_on(async {
            let mut sender = server.connect().await.unwrap();
            server.ask_at(&mut sender, method, path, body).await.unwrap()
        })
    }
}
