//! The outside objects that records name.

use strongroom_model::name::{ExternalId, NamespaceName};

/// An outside object that declares something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeclaredObject {
    /// Such as `ManagedSecret`, at most 253 bytes.
    pub kind: String,
    /// Its namespace; of a namespace, itself.
    pub namespace: NamespaceName,
    /// What people call that object, at most 253 bytes.
    pub name: String,
    /// What the outside system calls it for good.
    pub uid: ExternalId,
}
