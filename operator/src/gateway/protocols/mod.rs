//! What is spoken at a listener. A protocol is a value: its routes, which find the caller in the way of the
//! protocol and turn requests into inputs of operations, and how it writes a problem. Another one is another
//! value beside [`OWN`] and [`ATTESTATIONS`]; no operation changes for it.
//!
//! | module | idea |
//! |---|---|
//! | `protocol` | a protocol as a value |
//! | `service` | what is around every request, by whatever protocol |
//! | `route` | which path and method lead where |
//! | `request_body` | the body of a request, bounded and wiped |
//! | `own`, `attestations` | the protocols |

mod attestations;
mod own;
mod protocol;
mod request_body;
mod route;
mod service;

pub(in crate::gateway) use self::attestations::ATTESTATIONS;
pub(in crate::gateway) use self::own::{OWN, bearer};
pub(in crate::gateway) use self::protocol::Protocol;
#[cfg(test)]
pub(in crate::gateway) use self::service::ProtocolService;
pub(in crate::gateway) use self::service::REQUEST_ID;
