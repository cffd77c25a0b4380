//! What objects declare about secrets, by the name that they claim. Several objects may claim one name, each
//! with its own declaration.

use std::collections::btree_map::Values;
use std::collections::{BTreeMap, HashMap};

use parking_lot::RwLock;

/// What objects say, by namespace and by the name of their secret in the store, and then by their own name.
type Claims<T> = HashMap<(String, String), BTreeMap<String, T>>;

/// The claims of one sort. Of an object that says nothing, nothing is kept.
#[derive(Debug)]
pub(crate) struct ClaimIndex<T>(RwLock<Claims<T>>);

impl<T> Default for ClaimIndex<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T: PartialEq> ClaimIndex<T> {
    /// An object says this now; none: nothing, or it is gone. Answers whether that is news.
    pub(crate) fn update(&self, namespace: &str, object: &str, store_name: &str, claim: Option<T>) -> bool {
        let place = (namespace.to_owned(), store_name.to_owned());
        let mut claims = self.0.write();
        let Some(claim) = claim else {
            let Some(of_name) = claims.get_mut(&place) else {
                return false;
            };
            let is_news = of_name.remove(object).is_some();
            if of_name.is_empty() {
                claims.remove(&place);
            }
            return is_news;
        };
        let of_name = claims.entry(place).or_default();
        if of_name.get(object) == Some(&claim) {
            return false;
        }
        of_name.insert(object.to_owned(), claim);
        true
    }

    /// A complete list has come; objects that `is_there` does not know are gone.
    pub(crate) fn retain(&self, is_there: impl Fn(&str, &str) -> bool) {
        let mut claims = self.0.write();
        for ((namespace, _), of_name) in claims.iter_mut() {
            of_name.retain(|object, _| is_there(namespace, object));
        }
        claims.retain(|_, of_name| !of_name.is_empty());
    }

    /// What `choose` takes of the claims to a name, which come in order of their objects' names.
    pub(crate) fn find<R>(
        &self,
        namespace: &str,
        store_name: &str,
        choose: impl FnOnce(Values<'_, String, T>) -> Option<R>,
    ) -> Option<R> {
        let claims = self.0.read();
        let of_name = claims.get(&(namespace.to_owned(), store_name.to_owned()))?;
        choose(of_name.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(index: &ClaimIndex<u8>, name: &str) -> Vec<u8> {
        let found = index.find("shop", name, |claims| Some(claims.copied().collect()));
        found.unwrap_or_default()
    }

    #[test]
    fn each_object_says_its_own_until_it_is_gone() {
        let index = ClaimIndex::default();
        assert!(index.update("shop", "b", "db", Some(2)));
        assert!(index.update("shop", "a", "db", Some(1)));
        assert!(!index.update("shop", "a", "db", Some(1)), "no news");
        assert!(index.update("shop", "a", "db", Some(3)));
        assert!(!index.update("shop", "c", "db", None));
        assert!(!index.update("shop", "a", "other", None));
        assert_eq!(all(&index, "db"), [3, 2]);
        assert!(all(&index, "other").is_empty());
        assert!(index.update("shop", "a", "db", None));
        assert_eq!(all(&index, "db"), [2]);
        assert!(index.update("mail", "b", "db", Some(4)));
        index.retain(|namespace, _| namespace == "mail");
        assert!(all(&index, "db").is_empty());
        assert_eq!(index.0.read().len(), 1, "no name is kept that nobody claims");
    }
}
