//! What a watch says of the objects of a kind, without the protocol of its lists: that one begins, may break
//! off and begin again, and is complete, is understood here.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use futures::{Stream, StreamExt};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

/// What a watch says.
#[derive(Debug)]
pub(crate) enum WatchChange<K> {
    /// The object is there, and like this.
    Applied {
        object: K,
        /// A list says so: what happened to the object meanwhile may be left out.
        listed: bool,
    },
    /// The object is gone, and was like this.
    Deleted(K),
    /// A list is complete: no other object is there.
    Listed(ListedObjects),
}

impl<K> WatchChange<K> {
    /// An object was made or changed.
    pub(crate) const fn applied(object: K) -> Self {
        let listed = false;
        Self::Applied { object, listed }
    }
}

/// The objects of a list: the UID of each by its namespace and name.
#[derive(Debug)]
pub(crate) struct ListedObjects {
    began: Instant,
    uids: HashMap<(String, String), String>,
}

impl Default for ListedObjects {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            uids: HashMap::new(),
        }
    }
}

impl ListedObjects {
    fn insert(&mut self, object: &impl Resource) {
        let place = (object.namespace().unwrap_or_default(), object.name_any());
        self.uids.insert(place, object.uid().unwrap_or_default());
    }

    /// When the list began: an object that was made later need not be in it.
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// Whether there is an object of this name.
    pub(crate) fn contains(&self, namespace: &str, name: &str) -> bool {
        self.uids.contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    /// The UIDs of the objects of the list, in no order.
    pub(crate) fn uids(&self) -> HashSet<String> {
        self.uids.values().cloned().collect()
    }
}

impl<'a, K: Resource + 'a> FromIterator<&'a K> for ListedObjects {
    fn from_iter<I: IntoIterator<Item = &'a K>>(objects: I) -> Self {
        let mut listed = Self::default();
        for object in objects {
            listed.insert(object);
        }
        listed
    }
}

/// What the events of a watch say.
pub(crate) fn changes<K: Resource + Send>(
    events: impl Stream<Item = Event<K>> + Send,
) -> impl Stream<Item = WatchChange<K>> + Send {
    let mut listing = ListedObjects::default();
    events.filter_map(move |event| {
        let change = match event {
            Event::Init => {
                listing = ListedObjects::default();
                None
            }
            Event::InitApply(object) => {
                listing.insert(&object);
                let listed = true;
                Some(WatchChange::Applied { object, listed })
            }
            Event::InitDone => Some(WatchChange::Listed(std::mem::take(&mut listing))),
            Event::Apply(object) => Some(WatchChange::applied(object)),
            Event::Delete(object) => Some(WatchChange::Deleted(object)),
        };
        std::future::ready(change)
    })
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use k8s_openapi::api::core::v1::Secret;
    use kube::core::PartialObjectMeta;
    use serde_json::json;

    use super::*;

    fn secret(name: &str) -> PartialObjectMeta<Secret> {
        let metadata = json!({"name": name, "namespace": "shop", "uid": format!("uid-{name}")});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[tokio::test]
    async fn a_list_that_breaks_off_says_nothing_of_who_is_there() {
        let events = [
            Event::Init,
            Event::InitApply(secret("a")),
            // It breaks off, and begins again.
            Event::Init,
            Event::InitApply(secret("b")),
            Event::InitDone,
            Event::Apply(secret("c")),
            Event::Delete(secret("b")),
        ];
        let mut told = Vec::new();
        let mut listed = Vec::new();
        let mut changes = Box::pin(changes(stream::iter(events)));
        while let Some(change) = changes.next().await {
            match change {
                WatchChange::Applied { object, listed } => told.push((object.name_any(), listed)),
                WatchChange::Deleted(object) => told.push((object.name_any(), false)),
                WatchChange::Listed(objects) => listed.push(objects),
            }
        }
        let named = |name: &str, listed| (name.to_owned(), listed);
        let expected = [
            named("a", true),
            named("b", true),
            named("c", false),
            named("b", false),
        ];
        assert_eq!(told, expected);
        let [objects] = &listed[..] else {
            panic!("one list is complete: {listed:?}")
        };
        assert!(objects.contains("shop", "b") && !objects.contains("shop", "a"));
        assert!(!objects.contains("pay", "b"));
        assert_eq!(objects.uids(), HashSet::from(["uid-b".to_owned()]));
    }
}
