//! Streams to nodes: who gets which values, when, how often, and what is audited of it.

mod access;
mod journal;
mod node;
mod pod_events;
mod products;
mod tokens;
mod values;

pub(super) use self::node::{NODE, Node};
