//! What is the same of objects of every kind.

mod namespace;
mod ready;
mod time;

pub use self::namespace::{Namespace, NamespaceBinding};
pub use self::ready::{ReadySummary, ready_conditions};
pub(crate) use self::time::whole_second;
