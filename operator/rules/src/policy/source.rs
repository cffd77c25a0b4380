//! Where a statement stands.

use std::fmt;

/// What a set of statements comes from, inside one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A SecretPolicy of this name.
    Policy(String),
    /// `spec.readers` of the ManagedSecret of this name.
    Readers(String),
}

impl Source {
    /// The id of one of its statements, counted from 0; unique in the namespace.
    pub(super) fn statement_id(&self, index: usize) -> String {
        match self {
            Self::Policy(name) => format!("policy/{name}#{index}"),
            Self::Readers(name) => format!("readers/{name}#{index}"),
        }
    }

    /// The statement of an id.
    pub(super) fn of_statement(id: &str) -> Option<(Self, usize)> {
        let (source, index) = id.rsplit_once('#')?;
        let index = index.parse().ok()?;
        let (kind, name) = source.split_once('/')?;
        match kind {
            "policy" => Some((Self::Policy(name.to_owned()), index)),
            "readers" => Some((Self::Readers(name.to_owned()), index)),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(name) => write!(f, "SecretPolicy `{name}`"),
            Self::Readers(name) => write!(f, "spec.readers of ManagedSecret `{name}`"),
        }
    }
}
