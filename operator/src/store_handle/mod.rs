//! The one bridge from tasks to the store, for controllers and gateway: reads go to threads that may wait for
//! the disk, changes wait for the writer's answer.
//!
//! What is read of a secret or a key is the store's own type; what is asked of it is its own command. Each
//! call writes its audit record below this line.

mod declarations;
mod failure;
mod handle;
mod keys;
mod policies;
mod products;
mod requester;
mod secrets;
mod time;

pub(crate) use self::failure::{StoreErrorKind, StoreFailure};
pub(crate) use self::handle::StoreHandle;
pub(crate) use self::keys::{KeyChange, OwnedKey};
pub(crate) use self::requester::on_behalf_of;
pub(crate) use self::secrets::{NamespaceRecord, Orphan, OwnedSecret};
pub(crate) use self::time::{store_time, timestamp};
