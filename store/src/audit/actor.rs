//! Who did what an audit entry is about.

use std::fmt;

/// Who acts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Actor {
    /// A controller of ours, for an object.
    Controller(String),
    /// A person at the process itself.
    Admin(String),
    /// An authenticated caller.
    Principal(String),
    /// The store, by its own rules.
    System,
}

impl Actor {
    pub(super) const fn code(&self) -> u8 {
        match self {
            Self::Controller(_) => 1,
            Self::Admin(_) => 2,
            Self::Principal(_) => 3,
            Self::System => 4,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Controller(text) | Self::Admin(text) | Self::Principal(text) => text,
            Self::System => "",
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller(text) => write!(f, "controller {text}"),
            Self::Admin(text) => write!(f, "admin {text}"),
            Self::Principal(text) => f.write_str(text),
            Self::System => f.write_str("system"),
        }
    }
}
