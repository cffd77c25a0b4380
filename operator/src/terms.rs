//! On which terms volumes of pods have a secret (`spec.delivery`): told by the watch that sees the objects, asked by the stream to nodes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use strongroom_crds::period::Period;
use strongroom_crds::v1alpha1::{Delivery, OnRevoke};

/// How long an absent `offlineMaxAge` is.
const OFFLINE: Duration = Duration::from_secs(24 * 3_600);

/// The terms of one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Whether files go from running pods with the access to them.
    pub(crate) wipe: bool,
    /// For how long a node without a gateway may serve it to new pods.
    pub(crate) offline: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            wipe: false,
            offline: OFFLINE,
        }
    }
}

impl Terms {
    /// What an object says.
    pub(crate) fn of(delivery: Option<&Delivery>) -> Self {
        let age = delivery.and_then(|delivery| delivery.offline_max_age.as_deref());
        Self {
            wipe: delivery.and_then(|delivery| delivery.on_revoke) == Some(OnRevoke::Wipe),
            // What is no time serves nobody: the schema lets none through.
            offline: age.map_or(OFFLINE, |age| {
                let seconds = age.parse::<Period>().map_or(0, Period::seconds);
                Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
            }),
        }
    }
}

/// What objects with these UIDs say, by namespace and by the name of their secret in the store.
type Objects = HashMap<(String, String), BTreeMap<String, (String, Terms)>>;

/// The terms of all secrets; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct TermsBook(Arc<RwLock<Objects>>);

impl TermsBook {
    /// The object with this name and UID is like this now; none: it is gone. Answers whether that is news.
    pub(crate) fn saw(
        &self,
        namespace: &str,
        (object, uid): (&str, &str),
        store_name: &str,
        terms: Option<Terms>,
    ) -> bool {
        let place = (namespace.to_owned(), store_name.to_owned());
        let mut objects = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Most say nothing, and need no room.
        let Some(terms) = terms.filter(|terms| *terms != Terms::default()) else {
            let Some(of_name) = objects.get_mut(&place) else {
                return false;
            };
            let news = of_name.remove(object).is_some();
            if of_name.is_empty() {
                objects.remove(&place);
            }
            return news;
        };
        let said = (uid.to_owned(), terms);
        let before = objects
            .entry(place)
            .or_default()
            .insert(object.to_owned(), said.clone());
        before != Some(said)
    }

    /// A complete list has come; what `is_there` does not know is gone.
    pub(crate) fn listed(&self, is_there: impl Fn(&str, &str) -> bool) {
        let mut objects = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for ((namespace, _), of_name) in objects.iter_mut() {
            of_name.retain(|object, _| is_there(namespace, object));
        }
        objects.retain(|_, of_name| !of_name.is_empty());
    }

    /// The terms of a secret: what the object says that the store has as its owner. What others say who claim its name counts for nothing.
    pub(crate) fn of(&self, namespace: &str, store_name: &str, owner: Option<&str>) -> Terms {
        let objects = self.0.read().unwrap_or_else(PoisonError::into_inner);
        objects
            .get(&(namespace.to_owned(), store_name.to_owned()))
            .into_iter()
            .flat_map(|of_name| of_name.values())
            .find(|(uid, _)| owner == Some(uid))
            .map(|(_, terms)| *terms)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_keep_and_a_day() {
        let day = Terms::of(None);
        assert_eq!((day.wipe, day.offline.as_secs()), (false, 86_400));
        let delivery = |age: &str| Delivery {
            on_revoke: Some(OnRevoke::Wipe),
            offline_max_age: Some(age.to_owned()),
        };
        for (age, seconds) in [("2h", 7_200), ("0s", 0), ("soon", 0)] {
            let terms = Terms::of(Some(&delivery(age)));
            assert_eq!((terms.wipe, terms.offline.as_secs()), (true, seconds), "{age}");
        }
    }

    #[test]
    fn the_owner_alone_counts_for_as_long_as_it_is_there() {
        let book = TermsBook::default();
        let hours = |wipe, hours: u64| {
            Some(Terms {
                wipe,
                offline: Duration::from_secs(hours * 3_600),
            })
        };
        let (a, b) = (("a", "uid-a"), ("b", "uid-b"));
        assert!(book.saw("shop", a, "db", hours(true, 30)));
        assert!(book.saw("shop", b, "db", hours(false, 1)));
        assert!(!book.saw("shop", b, "db", hours(false, 1)) && !book.saw("shop", ("c", "uid-c"), "db", None));
        assert_eq!(Some(book.of("shop", "db", Some("uid-a"))), hours(true, 30));
        assert_eq!(Some(book.of("shop", "db", Some("uid-b"))), hours(false, 1));
        for nobody in [None, Some("uid-c")] {
            assert_eq!(book.of("shop", "db", nobody), Terms::default());
        }
        assert_eq!(book.of("mail", "db", Some("uid-a")), Terms::default());
        assert!(book.saw("shop", ("a", "uid-again"), "db", hours(true, 30)));
        assert_eq!(book.of("shop", "db", Some("uid-a")), Terms::default());
        book.listed(|_, object| object != "a");
        assert_eq!(book.of("shop", "db", Some("uid-again")), Terms::default());
    }
}
