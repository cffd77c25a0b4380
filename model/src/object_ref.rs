//! An object of the outside, by its name and its uid.

use crate::name::{ExternalId, NameError};

/// An object of the outside. It is the same one exactly as long as its uid is this one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectRef {
    /// What people call it; a later one may be called the same.
    pub name: String,
    /// What the outside system calls it for good.
    pub uid: ExternalId,
}

impl ObjectRef {
    /// An object of this name, whose uid is parsed.
    ///
    /// # Errors
    /// The text is no uid.
    pub fn new(name: impl Into<String>, uid: &str) -> Result<Self, NameError> {
        Ok(Self {
            name: name.into(),
            uid: ExternalId::new(uid)?,
        })
    }
}
