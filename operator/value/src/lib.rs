//! The value of a secret in memory where it is made, rendered and delivered: rules, templates, the stream,
//! nodes and the CLI hold values as this type, so none of them can print one or forget to wipe it. What comes
//! out of the store, and goes into it, has the store's own type in controllers and gateway.
//!
//! And what all say of secrets and keys in one way: the grammar of a name, the bounds of a recovery window,
//! the states of a key.
//!
//! Must not know where a value comes from or goes to.

mod key_state;
mod recovery_window;
mod secret_name;
mod value;
mod visible;

pub use key_state::KeyState;
pub use recovery_window::{DEFAULT_RECOVERY_WINDOW_DAYS, RECOVERY_WINDOW_DAYS};
pub use secret_name::{
    PRODUCT_SEPARATOR, SECRET_NAME_BYTES, SECRET_NAME_CLASS, SECRET_NAME_PATTERN, is_secret_name_byte,
};
pub use value::{KeyBytes, VALUE_BYTES, Value};
pub use visible::{json_visible, visible, visible_lines};
