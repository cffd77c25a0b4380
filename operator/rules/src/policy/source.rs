//! Where a statement stands.

use std::fmt;

/// What a set of statements comes from, inside one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicySource {
    /// A SecretPolicy of this name.
    Policy(String),
    /// `spec.readers` of the ManagedSecret of this name.
    Readers(String),
    /// What the managers of this product may do with its own secrets. It stands in no policy.
    Product(String),
}

impl PolicySource {
    /// The name of the object that it stands in.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Policy(name) | Self::Readers(name) | Self::Product(name) => name,
        }
    }

    /// What the object is, in words.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Policy(_) => "SecretPolicy",
            Self::Readers(_) => "spec.readers of ManagedSecret",
            Self::Product(_) => "the grant to the managers of SecretProduct",
        }
    }
}

impl fmt::Display for PolicySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind(), self.name())
    }
}
