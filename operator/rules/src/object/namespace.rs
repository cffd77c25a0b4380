//! The namespace of an object, whatever its kind.

use crate::uid::Uid;

/// The namespace of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// `metadata.uid`.
    pub uid: Uid,
    /// It is on its way out: the API server refuses new objects in it.
    pub terminating: bool,
    /// Annotation `strongroom.dev/accept-namespace`: the UID of the older namespace whose secrets this one
    /// may have.
    pub accepts: Option<Uid>,
    /// What the store recorded under its name.
    pub binding: NamespaceBinding,
}

/// What the store knows about a namespace's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceBinding {
    /// Never seen.
    Unbound,
    /// Seen with this UID.
    Bound,
    /// Seen with another UID: that namespace was deleted and this one made in its place.
    Recreated {
        /// UID of the one that the secrets belong to.
        recorded: Uid,
    },
}
