//! Custom resource types, without a client.
