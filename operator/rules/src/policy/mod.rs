//! Who may do what with which secrets: SecretPolicies, compiled to Cedar (<https://docs.cedarpolicy.com/>), and the decision.
//!
//! Must not read a clock, an object or the store: what is known about a request comes with it.

mod action;
mod book;
mod compile;
mod decide;
mod denial;
mod explain;
mod fallback;
mod pattern;
mod readers;
mod request;
mod shard;
mod shared;
mod source;

#[cfg(test)]
mod tests;

pub use action::Action;
pub use book::{PolicyBook, StatementRef};
pub use compile::{CompileError, CompileReason, check};
pub use decide::{Decision, Missing, PolicyKind, decide};
pub use denial::denial;
pub use explain::{Explanation, Shown, explain};
pub use fallback::{Before, Fallback, Kept, Unknown, fallback};
pub use pattern::name_matches;
pub use readers::of_readers;
pub use request::{Facts, Identity, Principal, Request, SecretRef};
pub use shard::Unanswerable;
pub use source::Source;
