//! The labels that say something about an object. None of them gives a right.

/// On a ManagedSecret: code of the product that made it. It is for people and selectors; whose secret it is
/// says the name in the store.
pub const PRODUCT: &str = "strongroom.dev/product";
