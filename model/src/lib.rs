//! One type for each fact that several crates speak of: names, ids, times, references to objects, the states
//! of a key, products and the names of their secrets, the bounds of a recovery window, secret bytes, and a
//! value while it is decided about.
//!
//! Must not do I/O, read a clock, or know where a value comes from or goes to.

pub mod id;
mod key_state;
pub mod name;
pub mod object_ref;
mod product;
mod public_random;
mod ram_principal;
mod recovery_window;
mod secret_bytes;
mod secret_name;
pub mod time;
mod value;
mod visible;

pub use key_state::KeyState;
pub use name::ProductCode;
pub use product::{DefaultSecretName, Hosting, RESERVED_PRODUCT_CODE};
pub use public_random::{NoRandomness, public_random};
pub use ram_principal::{
    RAM_PRINCIPAL_BYTES, RAM_PRINCIPAL_PATTERN, RamPrincipal, RamPrincipalError, RamSubject, is_ram_account,
};
pub use recovery_window::{DEFAULT_RECOVERY_WINDOW_DAYS, RECOVERY_WINDOW_DAYS};
pub use secret_bytes::SecretBytes;
pub use secret_name::{
    PRODUCT_SEPARATOR, SECRET_NAME_BYTES, SECRET_NAME_CLASS, SECRET_NAME_PATTERN, is_secret_name_byte,
};
pub use value::{VALUE_BYTES, Value};
pub use visible::{json_visible, visible, visible_lines};
