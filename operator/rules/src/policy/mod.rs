//! Who may do what with which secrets: SecretPolicies, compiled to Cedar (<https://docs.cedarpolicy.com/>), and the decision.
//!
//! Must not read a clock, an object or the store: what is known about a request comes with it.

mod action;
mod ask;
mod attached;
mod book;
mod bounds;
mod compile;
mod decide;
mod denial;
mod denies;
mod explain;
mod fallback;
mod filter;
mod namespace;
mod pattern;
mod range;
mod readers;
mod request;
mod shared;
mod source;

#[cfg(test)]
mod tests;

pub use action::Action;
pub use ask::Unanswerable;
pub use book::{PolicyBook, StatementRef};
pub use bounds::{BOUNDS, BOUNDS_WITH_DENIALS, TooLarge, Weight};
pub use compile::{CompileError, CompileReason, CompiledPolicy, check, compile};
pub use decide::{Decision, Missing, PolicyKind, decide, decide_by};
pub use denial::denial;
pub use denies::denies;
pub use explain::{Explanation, explain};
pub use fallback::{Before, Fallback, Kept, Unknown, fallback};
pub use namespace::NamespacePolicies;
pub use pattern::name_matches;
pub use readers::of_readers;
pub use request::{Facts, Identity, Principal, Request, SecretRef};
pub use shared::SharedStatements;
pub use source::Source;
