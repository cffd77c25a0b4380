//! How this process speaks to the API server: as whom it writes, how it lists and watches, what it makes of
//! errors, how it writes Events, and how it deletes what is ours. Must not know why.

mod error;
mod event_reason;
mod event_writer;
pub(crate) mod field_manager;
mod native_removal;
mod recovery_label;
pub(crate) mod watch;

pub(crate) use self::error::*;
pub(crate) use self::event_reason::EventReason;
pub(crate) use self::event_writer::{EventMessage, EventWriter};
pub(crate) use self::native_removal::{LeftoverSecret, remove_native_secret};
pub(crate) use self::recovery_label::keeps_nothing;
