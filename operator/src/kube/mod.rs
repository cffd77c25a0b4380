//! How this process speaks to the API server: as whom it writes, how it lists and watches, what it makes of
//! errors, and how it writes Events. Must not know why.

mod error;
mod event_reason;
mod event_writer;
pub(crate) mod field_manager;
pub(crate) mod watch;

pub(crate) use self::error::*;
pub(crate) use self::event_reason::EventReason;
pub(crate) use self::event_writer::{EventMessage, EventWriter};
