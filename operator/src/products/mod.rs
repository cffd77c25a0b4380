//! Which products there are, shared by the watches that bring them and the requests that ask; and what
//! requests, objects and audit sinks tell of them.
//!
//! What a product may is decided in `strongroom_rules::product`, on a [`ProductDirectory`] that never
//! changes: a newer one takes its place. Until the first lists of SecretProducts and Namespaces are complete
//! there is none, and nothing is decided about a secret: a Deny may be about a product's managers, and a
//! tenant could claim as its own what is a product's.
//!
//! [`ProductDirectory`]: strongroom_rules::product::ProductDirectory

mod endpoints;
mod handle;
mod sightings;
mod sink_backlog;
mod standing;

pub(crate) use self::endpoints::{EndpointMatch, ProductEndpoints};
pub(crate) use self::handle::ProductDirectoryHandle;
pub(crate) use self::sightings::ManagerSightings;
pub(crate) use self::sink_backlog::{SinkBacklog, SinkBacklogHandle};
pub(crate) use self::standing::{ObservedProduct, ProductArrival, ProductRecognition, recognize};
