//! A protocol as a value.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use strongroom_model::id::RequestId;

use super::route::RouteTable;
use super::service::ProtocolService;
use crate::gateway::listener_scope::ListenerScope;
use crate::gateway::problem::Problem;
use crate::gateway::state::Gateway;

/// A dialect in which operations are called.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Protocol {
    /// For logs.
    pub(in crate::gateway) name: &'static str,
    /// Which path and method leads to which operation, at a listener.
    pub(super) routes: fn(&Arc<Gateway>, &ListenerScope) -> RouteTable,
    /// How it writes a problem.
    pub(super) write_problem: fn(Problem, &RequestId) -> Response<Body>,
}

impl Protocol {
    /// All that is served by this protocol at a listener.
    pub(in crate::gateway) fn service(
        self,
        gateway: Arc<Gateway>,
        listener: Arc<ListenerScope>,
    ) -> ProtocolService {
        ProtocolService::new(self, gateway, listener)
    }
}
