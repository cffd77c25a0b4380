//! What somebody sends who has not said yet who it is, read before anything is asked or kept: bounded, and
//! without a panic for whatever bytes.

pub mod first_message;
pub mod list_query;
pub mod token;
