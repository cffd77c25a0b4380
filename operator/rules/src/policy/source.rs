//! Where a statement stands.

use std::fmt;

/// What a set of statements comes from, inside one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicySource {
    /// A SecretPolicy of this name.
    Policy(String),
    /// `spec.readers` of the ManagedSecret of this name.
    Readers(String),
}

impl fmt::Display for PolicySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(name) => write!(f, "SecretPolicy `{name}`"),
            Self::Readers(name) => write!(f, "spec.readers of ManagedSecret `{name}`"),
        }
    }
}
