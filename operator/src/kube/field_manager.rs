//! The names under which our writes are recorded in `metadata.managedFields`
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers>).

/// The controllers.
pub(crate) use strongroom_rules::native_secret::owners::FIELD_MANAGER as CONTROLLERS;

/// The operations of the gateway.
pub(crate) const GATEWAY: &str = "strongroom-api";
/// What the process reports of itself for people.
pub(crate) const REPORT: &str = "strongroom-report";
/// The extension API server.
pub(crate) const EXTENSION_API: &str = "strongroom-front";
/// The rotation of certificates that processes show to each other.
pub(crate) const CERTIFICATES: &str = "strongroom-gateway";
