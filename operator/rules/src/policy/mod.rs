//! Who may do what with which secrets: SecretPolicies, compiled to Cedar (<https://docs.cedarpolicy.com/>),
//! and the decision.
//!
//! Must not read a clock, an object or the store: what is known about a request comes with it.

mod action;
mod bounds;
mod compile;
mod decide;
mod denial;
mod deny_everything;
mod evaluate;
mod explain;
mod fallback;
mod filter;
mod namespace;
mod pattern;
mod policy_index;
mod policy_set;
mod range;
mod readers;
mod request;
mod shared;
mod source;

#[cfg(test)]
mod tests;

pub use action::Action;
pub use bounds::{BOUNDS, BOUNDS_WITH_DENIALS, PolicyLimitExceeded, Weight};
pub use compile::{CompileError, CompileReason, CompiledPolicy, check, compile};
pub use decide::{Decision, MissingPermission, PolicyKind, decide, decide_by};
pub use denial::denial;
pub use deny_everything::deny_everything;
pub use evaluate::EvaluationError;
pub use explain::{Explanation, explain};
pub use fallback::{Fallback, KnownGenerations, StoredGeneration, UnknownReason, fallback};
pub use namespace::NamespacePolicies;
pub use pattern::name_matches;
pub use policy_set::{PolicySet, StatementName, StatementRef};
pub use readers::readers_policy;
pub use request::{Identity, PolicyScope, Principal, ProductContext, Request, RequestFacts, SecretRef};
pub use shared::SharedStatements;
pub use source::PolicySource;
