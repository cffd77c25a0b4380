//! Strongroom's custom resource types, their CustomResourceDefinitions and the vocabulary of their
//! conditions.
//!
//! What one object can say about itself is checked here: by the schema, and by the CEL rules in it. This
//! crate must not link a client, read a clock, or decide anything that needs a second object.

pub mod annotation;
pub mod condition;
mod definition;
pub mod label;
mod manifest;
pub mod period;
pub mod v1alpha1;
pub mod view;

pub use definition::{YamlError, all, definition_yaml, yaml};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
pub use manifest::{Manifest, ManifestError, parse_manifest};

/// The API group of every kind.
pub const GROUP: &str = "strongroom.dev";
