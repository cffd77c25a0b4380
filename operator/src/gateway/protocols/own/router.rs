//! The paths of the own protocol: one for each row of the table, the OpenAPI document of them, and the stream
//! to nodes.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, header};
use axum::routing::{get, on};

use super::{http, openapi};
use crate::gateway::listener_scope::ListenerScope;
use crate::gateway::metrics::CalledOperation;
use crate::gateway::operation::{BodyInput, Input, Operation, OperationTable, Output, PathInput, QueryInput};
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::OperationContext;
use crate::gateway::state::Gateway;
use crate::gateway::{delivery, limits, operations};

/// The rows as routes.
#[derive(Default)]
struct Routes {
    router: Router<Arc<Gateway>>,
    rows: Vec<Operation>,
}

impl OperationTable for Routes {
    fn add<P, Q, B, O, F, Fut>(&mut self, operation: Operation, run: F)
    where
        P: PathInput,
        Q: QueryInput,
        B: BodyInput,
        O: Output,
        F: Fn(OperationContext, Input<P, Q, B>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Problem>> + Send + 'static,
    {
        let (id, terms) = (operation.id, operation.terms);
        let handler = move |State(gateway): State<Arc<Gateway>>, request: Request| {
            if let Some(called) = request.extensions().get::<CalledOperation>() {
                called.tell(id);
            }
            http::call::<P, Q, B, O, F, Fut>(gateway, terms, run, request)
        };
        let route = on(http::filter(operation.verb), handler);
        self.router = std::mem::take(&mut self.router).route(operation.path, route);
        self.rows.push(operation.taking::<Q, B>());
    }
}

/// What is served at a listener. Nodes come to the shared gateway.
pub(super) fn routes(gateway: &Arc<Gateway>, listener: &ListenerScope) -> Router<Arc<Gateway>> {
    let mut routes = Routes::default();
    operations::list(&mut routes);
    let Routes { router, rows } = routes;
    // As it is sent: a document in parts would be taken apart and copied with each clone of the handler.
    let document = Bytes::from(openapi::document(&rows).to_string());
    let document_handler = async move |State(gateway): State<Arc<Gateway>>, request: Request| {
        let (parts, _) = request.into_parts();
        http::context(&gateway, &parts).await?;
        let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        Ok::<_, Problem>((json, document.clone()))
    };
    let mut router = router
        .route("/healthz", get(async || "ok\n"))
        .route("/v1/openapi.json", get(document_handler));
    if listener.is_shared() && gateway.nodes.are_enabled() {
        router = router.route_service(delivery::ATTACH_PATH, delivery::service(Arc::clone(gateway)));
    }
    router
        .fallback(async || Problem::new(Code::NoSuchPath, "the paths are listed in docs/api.md"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                Code::MethodNotAllowed,
                "the method of this path is listed in docs/api.md",
            )
        })
        .layer(DefaultBodyLimit::max(limits::MAX_BODY_BYTES))
}
