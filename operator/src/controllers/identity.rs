//! Which object is worked on.

use kube::{Resource, ResourceExt};
use strongroom_model::object_ref::ObjectRef;

use crate::store_handle::StoreFailure;

/// Namespace, name and UID of an object, and which state of it is meant.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// `metadata.resourceVersion` of the cached object, opaque.
    pub(crate) resource_version: String,
    pub(crate) generation: i64,
}

impl Identity {
    /// That of a cached object.
    pub(crate) fn from_object(object: &impl Resource) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
            generation: object.meta().generation.unwrap_or_default(),
        }
    }

    /// The object as the store records it.
    ///
    /// # Errors
    /// Its UID is none.
    pub(crate) fn object_ref(&self) -> Result<ObjectRef, StoreFailure> {
        Ok(ObjectRef::new(&self.name, &self.uid)?)
    }
}
