//! The protocol of `docs/api.md`: paths and verbs, JSON, problem documents.

mod credentials;
mod http;
mod openapi;
mod problem_document;
mod router;

pub(in crate::gateway) use self::credentials::bearer;
use super::Protocol;
use crate::gateway::problem::Problem;

/// The own protocol.
pub(in crate::gateway) const OWN: Protocol = Protocol {
    name: "own",
    routes: router::routes,
    write_problem: Problem::document,
};
