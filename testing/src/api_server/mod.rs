//! A small API server behind a real client.

mod answer;
mod client;
pub mod managed_fields;
mod objects;
mod request;
mod server;

pub use self::answer::{failure, merge_patch};
pub use self::request::ApiRequest;
pub use self::server::{ApiServer, NS, SECRETS};
