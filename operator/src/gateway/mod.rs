//! The API: secrets over HTTPS, under policies, audited.
//!
//! A request goes from station to station ([`request`]): who asks, how often, about what, whether it may; and
//! the request is audited. Then an operation ([`operations`]) does its work, by whatever protocol
//! ([`protocols`]) it was called at a listener. Must not decide by itself: `rules` does, and the store.
//!
//! | module | idea |
//! |---|---|
//! | [`server`] | listeners and tasks of the gateway in its process |
//! | [`state`] | what every request has at hand |
//! | [`listener`] | a port as a value |
//! | [`listener_scope`] | what a request has of the listener that it came by |
//! | [`dedicated_gateway`] | a gateway for some products alone, as an argument says it |
//! | [`protocols`] | a dialect as a value |
//! | [`request`] | the stations |
//! | [`operation`], [`operations`] | what an operation is, and all of them |
//! | [`extension_api`] | the aggregated API by which people come |
//! | [`delivery`] | the stream to nodes |
//! | [`metrics`] | what is counted |

mod attestations;
mod authenticate;
mod changes;
mod dedicated_gateway;
mod delivery;
pub(crate) mod extension_api;
mod forwarded;
mod labels;
mod limits;
pub(crate) mod listen;
mod listener;
mod listener_capacity;
mod listener_name;
mod listener_scope;
mod manager_homes;
mod may_get;
mod metrics;
mod namespaces;
mod objects;
mod operation;
mod operations;
mod problem;
mod protocols;
mod quota_reservations;
mod rate_buckets;
mod recent_puts;
pub(crate) mod request;
mod review_capacity;
mod sealing_keys;
mod server;
mod single_flight;
mod state;
pub(crate) mod tls;
mod ttl_cache;

#[cfg(test)]
mod tests;

pub(crate) use self::dedicated_gateway::{DedicatedGateway, DedicatedGateways, RepeatedGateway};
pub(crate) use self::delivery::NodeAccount;
pub(crate) use self::forwarded::ExtensionApiAccounts;
pub(crate) use self::limits::Rates;
pub(crate) use self::metrics::GatewayMetrics;
pub(crate) use self::request::{AddressShare, AddressShares};
pub(crate) use self::server::{GatewayError, GatewaySettings, ProcessContext, run};
pub(crate) use self::state::SharedState;
use self::state::{Gateway, blocking};
pub(crate) use self::tls::FileCertificate;
#[cfg(test)]
pub(crate) use self::tls::test_pem;
