//! The interface between a port and what handles its requests.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use tower::ServiceExt as _;

use super::Peer;
use super::connection::Connection;
use super::response_body::ResponseGuard;

/// Where a request comes from.
#[derive(Clone, Debug)]
pub(crate) struct RequestOrigin {
    pub(in crate::gateway) peer: Peer,
    /// The connection, where there is one.
    pub(in crate::gateway) connection: Option<Arc<Connection>>,
}

/// An answer, and what its request holds until its last byte is taken.
pub(crate) struct GuardedResponse {
    pub(in crate::gateway) response: Response<Body>,
    pub(in crate::gateway) guard: Option<ResponseGuard>,
}

impl GuardedResponse {
    /// An answer whose request holds nothing.
    pub(in crate::gateway) const fn unguarded(response: Response<Body>) -> Self {
        Self {
            response,
            guard: None,
        }
    }
}

/// What answers the requests of a port; cheap to clone.
pub(crate) trait RequestHandler: Clone + Send + Sync + 'static {
    /// What one request comes to. It ends with the connection, wherever it is.
    fn answer(
        self,
        request: Request<Body>,
        origin: RequestOrigin,
    ) -> impl Future<Output = GuardedResponse> + Send + 'static;
}

/// The routes of a small server, which find the peer among the extensions of a request.
impl RequestHandler for Router {
    async fn answer(self, mut request: Request<Body>, origin: RequestOrigin) -> GuardedResponse {
        request.extensions_mut().insert(origin.peer);
        let Ok(response) = self.oneshot(request).await;
        GuardedResponse::unguarded(response)
    }
}
