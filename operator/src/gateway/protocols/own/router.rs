//! The paths of the own protocol: one for each row of the table, the OpenAPI document of them, and the stream
//! to nodes.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Method, Response, header};
use axum::response::IntoResponse;
use tower::ServiceExt as _;

use super::{http, openapi};
use crate::gateway::listener_scope::ListenerScope;
use crate::gateway::metrics::OTHER;
use crate::gateway::operation::{BodyInput, Input, Operation, OperationTable, Output, PathInput, QueryInput};
use crate::gateway::problem::Problem;
use crate::gateway::protocols::route::{RouteTable, RouteTableBuilder, RoutedRequest};
use crate::gateway::request::OperationContext;
use crate::gateway::state::Gateway;
use crate::gateway::{delivery, operations};

/// The rows as routes.
struct Routes {
    table: RouteTableBuilder,
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
        let terms = operation.terms;
        let method = http::method(operation.verb);
        self.table
            .on(method, operation.path, operation.id, move |routed| {
                Box::pin(http::call::<P, Q, B, O, F, Fut>(terms, run.clone(), routed))
            });
        self.rows.push(operation.taking::<Q, B>());
    }
}

/// What is served at a listener. Nodes come to the shared gateway.
pub(super) fn routes(gateway: &Arc<Gateway>, listener: &ListenerScope) -> RouteTable {
    let mut routes = Routes {
        table: RouteTableBuilder::new(listener.name()),
        rows: Vec::new(),
    };
    operations::list(&mut routes);
    let Routes { mut table, rows } = routes;
    table.on(Method::GET, "/healthz", OTHER, |_| {
        Box::pin(async { Ok("ok\n".into_response()) })
    });
    // As it is sent: it is made once.
    let document = Bytes::from(openapi::document(&rows).to_string());
    table.on(Method::GET, "/v1/openapi.json", OTHER, move |routed| {
        Box::pin(send_document(document.clone(), routed))
    });
    if listener.is_shared() && gateway.nodes.are_enabled() {
        let service = delivery::service(Arc::clone(gateway));
        table.any(delivery::ATTACH_PATH, move |routed| {
            Box::pin(attach(service.clone(), routed))
        });
    }
    table.build()
}

/// The OpenAPI document, for whoever proves who it is.
async fn send_document(document: Bytes, routed: RoutedRequest) -> Result<Response<Body>, Problem> {
    let (parts, _) = routed.request.into_parts();
    http::context(&routed.gateway, &routed.scope, &parts.headers).await?;
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((json, document).into_response())
}

/// The stream to a node, which finds its scope among the extensions of the request.
async fn attach(service: delivery::Service, routed: RoutedRequest) -> Result<Response<Body>, Problem> {
    let RoutedRequest {
        scope, mut request, ..
    } = routed;
    request.extensions_mut().insert(scope);
    let Ok(response) = service.oneshot(request).await;
    Ok(response.map(Body::new))
}
