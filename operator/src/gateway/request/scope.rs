//! A request before its caller is authenticated: all that the port and the protocol know of it, in one value
//! that is passed from station to station.

use std::sync::Arc;

use super::capacity::Slot;
use super::context::Arrival;
use crate::gateway::listen::{Connection, Peer};
use crate::gateway::listener_scope::ListenerScope;

/// What a request is a part of, and what it holds.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct RequestScope {
    pub(in crate::gateway) arrival: Arrival,
    /// The listener that it came by.
    pub(in crate::gateway) listener: Arc<ListenerScope>,
    pub(in crate::gateway) peer: Peer,
    /// The connection, where there is one.
    pub(in crate::gateway) connection: Option<Arc<Connection>>,
    /// What the request holds of the service.
    pub(in crate::gateway) slot: Arc<Slot>,
}
