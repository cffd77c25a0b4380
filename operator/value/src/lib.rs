//! The value of a secret in memory. Controllers, gateway and nodes hold values as this type, so none of
//! them can print one or forget to wipe it.
//!
//! Must not know where a value comes from or goes to.

mod value;
mod visible;

pub use value::{KeyBytes, VALUE_BYTES, Value};
pub use visible::{json_visible, visible, visible_lines};
