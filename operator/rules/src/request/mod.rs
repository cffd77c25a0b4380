//! Parsers for input of unauthenticated clients, which run before any lookup: bounded, and without a panic on
//! any bytes.

pub mod first_message;
pub mod list_query;
pub mod token;
