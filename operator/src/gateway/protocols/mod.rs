//! What is spoken at a listener. A protocol is a value: its routes, which find the caller in the way of the
//! protocol and turn requests into inputs of operations, and how it writes a problem. Another one is another
//! value beside [`OWN`] and [`ATTESTATIONS`]; no operation changes for it.

mod attestations;
mod middleware;
mod own;
mod protocol;

pub(in crate::gateway) use self::attestations::ATTESTATIONS;
pub(in crate::gateway) use self::middleware::REQUEST_ID;
pub(in crate::gateway) use self::own::{OWN, bearer};
pub(in crate::gateway) use self::protocol::Protocol;
