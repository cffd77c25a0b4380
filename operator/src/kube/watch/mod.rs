//! Lists and watches of the API server's objects, one object after the other as its bytes come: never more
//! than one is held, however large the objects of a tenant are, and however many.
//!
//! kube's own lists hold a whole page, as text and parsed.

mod change;
mod list_parser;
mod page_size;
mod pages;
mod selection;
mod thread;
mod watcher;

pub(crate) use self::change::{ListedObjects, WatchChange, changes};
pub(crate) use self::pages::list;
pub(crate) use self::selection::Selection;
pub(crate) use self::thread::{WatchThread, WatchThreadError};
pub(crate) use self::watcher::watcher;
