//! How much one namespace may have in force, so that a decision has a bound whatever its policies say.
//!
//! INVARIANT: one decision looks at no more statements, and matches no more wildcards, than the bounds of the
//! namespaces that it concerns.

use std::fmt;
use std::sync::Arc;

use super::compile::{Attachment, CompiledStatement};

/// What policies cost whoever asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// SecretPolicies.
    pub policies: usize,
    /// Statements without a window of the day in whose names, and in those that their policy is attached to,
    /// there is no wildcard.
    pub statements: usize,
    /// The other statements: each is looked at for every request, or takes a calendar.
    pub wildcard_statements: usize,
    /// Wildcards in the names of policies and of statements; those of actions do not count.
    pub wildcards: usize,
}

/// The most that a namespace has in force.
pub const BOUNDS: Weight = Weight {
    policies: 1_000,
    statements: 10_000,
    wildcard_statements: 1_000,
    wildcards: 4_000,
};

/// The same with room for policies that are over it, and deny.
pub const BOUNDS_WITH_DENIALS: Weight = Weight {
    policies: BOUNDS.policies + 100,
    statements: BOUNDS.statements + 100,
    wildcard_statements: BOUNDS.wildcard_statements + 100,
    wildcards: BOUNDS.wildcards + 1_000,
};

impl Weight {
    pub(super) fn new(attachment: &Attachment, statements: &[Arc<CompiledStatement>]) -> Self {
        let names: usize = attachment
            .names()
            .iter()
            .map(super::pattern::Pattern::wildcards)
            .sum();
        let wild = |statement: &&Arc<CompiledStatement>| {
            names > 0 || !statement.filter.wild.is_empty() || statement.filter.window.is_some()
        };
        let wildcard_statements = statements.iter().filter(wild).count();
        let of_statement = |statement: &Arc<CompiledStatement>| {
            let wild = statement.filter.wild.iter();
            wild.map(super::filter::Wild::wildcards).sum::<usize>()
        };
        Self {
            policies: 1,
            statements: statements.len() - wildcard_statements,
            wildcard_statements,
            wildcards: names + statements.iter().map(of_statement).sum::<usize>(),
        }
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            policies: self.policies + other.policies,
            statements: self.statements + other.statements,
            wildcard_statements: self.wildcard_statements + other.wildcard_statements,
            wildcards: self.wildcards + other.wildcards,
        }
    }

    pub(super) const fn less(self, other: Self) -> Self {
        Self {
            policies: self.policies.saturating_sub(other.policies),
            statements: self.statements.saturating_sub(other.statements),
            wildcard_statements: self.wildcard_statements.saturating_sub(other.wildcard_statements),
            wildcards: self.wildcards.saturating_sub(other.wildcards),
        }
    }

    /// Which bound it is over.
    ///
    /// # Errors
    /// [`PolicyLimitExceeded`] names the first of them.
    pub const fn within(self, bounds: Self) -> Result<(), PolicyLimitExceeded> {
        let (what, has, may) = if self.policies > bounds.policies {
            (Bound::Policies, self.policies, bounds.policies)
        } else if self.statements > bounds.statements {
            (Bound::Statements, self.statements, bounds.statements)
        } else if self.wildcard_statements > bounds.wildcard_statements {
            let (has, may) = (self.wildcard_statements, bounds.wildcard_statements);
            (Bound::WildcardStatements, has, may)
        } else if self.wildcards > bounds.wildcards {
            (Bound::Wildcards, self.wildcards, bounds.wildcards)
        } else {
            return Ok(());
        };
        Err(PolicyLimitExceeded { what, has, may })
    }
}

/// With a policy its namespace would have more in force than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the namespace would have {has} {what}, and at most {may} are allowed; remove or narrow some of them, then change this policy"
)]
pub struct PolicyLimitExceeded {
    what: Bound,
    has: usize,
    may: usize,
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Policies,
    Statements,
    WildcardStatements,
    Wildcards,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Policies => "SecretPolicies",
            Self::Statements => "statements without wildcards",
            Self::WildcardStatements => "statements with wildcards or a window",
            Self::Wildcards => "wildcards in names",
        })
    }
}
