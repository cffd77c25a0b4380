//! Messages to the controller of keys: the number of users of a key changed, data keys have to be rewrapped,
//! or an object exists.

use std::collections::HashMap;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use strongroom_crds::v1alpha1::EncryptionKey;
use tokio::sync::Notify;

use crate::controllers::cached_object::CachedObject;

/// References to objects that have to be looked at.
type Queue = UnboundedReceiver<ObjectRef<CachedObject<EncryptionKey>>>;

/// The way to the controller of keys.
#[derive(Debug)]
pub(crate) struct KeyQueue {
    touched: UnboundedSender<ObjectRef<CachedObject<EncryptionKey>>>,
    queue: Mutex<Option<Queue>>,
    rewrap: Notify,
    /// UID of each object by namespace and name; none until the first list is complete.
    objects: Mutex<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    listed: bool,
    there: HashMap<(String, String), String>,
}

impl Default for KeyQueue {
    fn default() -> Self {
        let (touched, queue) = unbounded();
        Self {
            touched,
            queue: Mutex::new(Some(queue)),
            rewrap: Notify::new(),
            objects: Mutex::default(),
        }
    }
}

impl KeyQueue {
    /// Something lies under this key, where there is one, that did not before.
    pub(crate) fn used(&self, namespace: &str, name: Option<&str>) {
        if let Some(name) = name {
            // A closed channel means that the process ends.
            let _ = self
                .touched
                .unbounded_send(ObjectRef::new(name).within(namespace));
        }
    }

    /// The objects to look at. It can be taken once.
    pub(crate) fn queue(&self) -> Option<Queue> {
        self.queue.lock().take()
    }

    /// Data keys have to be wrapped anew.
    pub(crate) fn rewrap(&self) {
        self.rewrap.notify_one();
    }

    /// Waits for [`KeyQueue::rewrap`].
    pub(crate) async fn rewrap_wanted(&self) {
        self.rewrap.notified().await;
    }

    fn objects<T>(&self, with: impl FnOnce(&mut Objects) -> T) -> T {
        with(&mut self.objects.lock())
    }

    /// An object was listed or changed.
    pub(crate) fn saw_object(&self, namespace: &str, name: &str, uid: &str) {
        let place = (namespace.to_owned(), name.to_owned());
        self.objects(|objects| objects.there.insert(place, uid.to_owned()));
    }

    /// An object is gone.
    pub(crate) fn lost_object(&self, namespace: &str, name: &str) {
        let place = (namespace.to_owned(), name.to_owned());
        self.objects(|objects| drop(objects.there.remove(&place)));
    }

    /// A complete list has come; these are all.
    pub(crate) fn listed(&self, there: HashMap<(String, String), String>) {
        self.objects(|objects| {
            objects.listed = true;
            objects.there = there;
        });
    }

    /// Whether there is an object of this name. While that is not known, there is.
    pub(crate) fn has_object(&self, namespace: &str, name: &str) -> bool {
        self.objects(|objects| {
            !objects.listed
                || objects
                    .there
                    .contains_key(&(namespace.to_owned(), name.to_owned()))
        })
    }

    /// Every object there is.
    pub(crate) fn all_objects(&self) -> Vec<(String, String)> {
        self.objects(|objects| objects.there.keys().cloned().collect())
    }

    /// UID of every object there is.
    pub(crate) fn uids(&self) -> Vec<String> {
        self.objects(|objects| objects.there.values().cloned().collect())
    }
}
