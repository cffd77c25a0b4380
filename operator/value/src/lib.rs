//! The value of a secret in memory where it is made, rendered and delivered: rules, templates, the stream,
//! nodes and the CLI hold values as this type, so none of them can print one or forget to wipe it. What comes
//! out of the store, and goes into it, has the store's own type in controllers and gateway.
//!
//! Must not know where a value comes from or goes to.

mod value;
mod visible;

pub use value::{KeyBytes, VALUE_BYTES, Value};
pub use visible::{json_visible, visible, visible_lines};
