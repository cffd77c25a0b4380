//! The UID of a Kubernetes object: the only thing that says whether two sightings are the same object. Names
//! are reused, UIDs never.

use std::fmt;

/// `metadata.uid` of an object, as the API server wrote it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(String);

impl Uid {
    /// Wraps the text of a `metadata.uid`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for a precondition or a record.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
