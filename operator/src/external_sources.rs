//! Which ManagedSecrets take their values over the API, which of those may make a default secret, and which
//! EncryptionKeys a secret must use: the watches write it, and requests that bring values read it. It also
//! works the other way: an object that a request changed is reconciled at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use strongroom_rules::policy::name_matches;

use crate::claim_index::ClaimIndex;

/// The declarations; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ExternalSourceIndex {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    objects: ClaimIndex<ExternalDeclaration>,
    /// What the claim rule said to objects that name a default secret, by namespace and name.
    product_claims: RwLock<HashMap<(String, String), ProductClaim>>,
    /// `spec.requiredFor` of the EncryptionKeys that have it, by namespace and name.
    required_for: RwLock<BTreeMap<(String, String), Vec<String>>>,
    changed: UnboundedSender<(String, String)>,
    queue: Mutex<Option<UnboundedReceiver<(String, String)>>>,
}

/// A ManagedSecret whose source is `external`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExternalDeclaration {
    /// `metadata.name`.
    pub(crate) object: String,
    /// `metadata.uid`.
    pub(crate) uid: String,
    /// When it was made.
    pub(crate) created: Option<Timestamp>,
    /// `spec.encryptionKey`.
    pub(crate) key: Option<String>,
    /// `spec.secret.name`.
    pub(crate) native: Option<String>,
}

/// What the claim rule said to an object that names a default secret.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProductClaim {
    /// `metadata.uid`.
    uid: String,
    /// It may make the secret.
    allowed: bool,
}

/// Who takes the first value of a default secret that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FirstOwner {
    /// No object with the source `external` has the name.
    Nobody,
    /// An object that may make the secret.
    Object(ExternalDeclaration),
    /// No claim rule has looked at an object that has the name.
    Undecided,
    /// Only objects have the name that may not make the secret; the name of one.
    Refused(String),
}

impl Default for ExternalSourceIndex {
    fn default() -> Self {
        let (changed, queue) = unbounded();
        Self {
            inner: Arc::new(Inner {
                objects: ClaimIndex::default(),
                product_claims: RwLock::default(),
                required_for: RwLock::default(),
                changed,
                queue: Mutex::new(Some(queue)),
            }),
        }
    }
}

impl ExternalSourceIndex {
    /// An object is like this now; none: it takes no values, or is gone.
    pub(crate) fn update(
        &self,
        namespace: &str,
        object: &str,
        store_name: &str,
        declaration: Option<ExternalDeclaration>,
    ) {
        if declaration.is_none() {
            let place = (namespace.to_owned(), object.to_owned());
            self.inner.product_claims.write().remove(&place);
        }
        let objects = &self.inner.objects;
        objects.update(namespace, object, store_name, declaration);
    }

    /// The claim rule says whether the object with this UID may make the default secret that it names.
    pub(crate) fn set_claim(&self, namespace: &str, object: &str, uid: &str, allowed: bool) {
        let place = (namespace.to_owned(), object.to_owned());
        let claim = ProductClaim {
            uid: uid.to_owned(),
            allowed,
        };
        self.inner.product_claims.write().insert(place, claim);
    }

    /// A complete list has come; what `is_there` does not know is gone.
    pub(crate) fn retain(&self, is_there: impl Fn(&str, &str) -> bool) {
        let mut claims = self.inner.product_claims.write();
        claims.retain(|(namespace, object), _| is_there(namespace, object));
        drop(claims);
        self.inner.objects.retain(is_there);
    }

    /// The object that makes the default secret of this name with its first value. That an object was there
    /// first counts for nothing: a tenant could have been.
    pub(crate) fn first_owner(&self, namespace: &str, store_name: &str) -> FirstOwner {
        let claims = self.inner.product_claims.read();
        let allowed = |declaration: &ExternalDeclaration| {
            let place = (namespace.to_owned(), declaration.object.clone());
            let claim = claims.get(&place).filter(|claim| claim.uid == declaration.uid);
            claim.map(|claim| claim.allowed)
        };
        let found = self.inner.objects.find(namespace, store_name, |objects| {
            let mut refused = None;
            let mut undecided = false;
            for declaration in objects {
                match allowed(declaration) {
                    Some(true) => return Some(FirstOwner::Object(declaration.clone())),
                    Some(false) => refused = Some(declaration.object.clone()),
                    None => undecided = true,
                }
            }
            match refused {
                _ if undecided => Some(FirstOwner::Undecided),
                Some(object) => Some(FirstOwner::Refused(object)),
                None => None,
            }
        });
        found.unwrap_or(FirstOwner::Nobody)
    }

    /// The object that takes values for the secret of this name: the one with this UID, where the secret
    /// belongs to an object; else the one that was there first.
    pub(crate) fn for_secret(
        &self,
        namespace: &str,
        store_name: &str,
        owner: Option<&str>,
    ) -> Option<ExternalDeclaration> {
        self.inner.objects.find(namespace, store_name, |claims| {
            claims
                .filter(|declaration| owner.is_none_or(|uid| declaration.uid == uid))
                .min_by_key(|declaration| (declaration.created, &declaration.object))
                .cloned()
        })
    }

    /// The names of secrets that must lie under this key; none: it requires nothing, or is gone.
    pub(crate) fn set_required_for(&self, namespace: &str, key: &str, names: Option<Vec<String>>) {
        let place = (namespace.to_owned(), key.to_owned());
        let required_for = &self.inner.required_for;
        let mut required_for = required_for.write();
        match names {
            Some(names) => drop(required_for.insert(place, names)),
            None => drop(required_for.remove(&place)),
        }
    }

    /// A complete list of EncryptionKeys has come; what `is_there` does not know is gone.
    pub(crate) fn retain_keys(&self, is_there: impl Fn(&(String, String)) -> bool) {
        let required_for = &self.inner.required_for;
        required_for.write().retain(|place, _| is_there(place));
    }

    /// The EncryptionKey under which the secret of this name must lie; the first by name, where several say
    /// so.
    pub(crate) fn required_key(&self, namespace: &str, store_name: &str) -> Option<String> {
        let required_for = &self.inner.required_for;
        let required_for = required_for.read();
        let required = required_for.iter().find(|((home, _), names)| {
            home == namespace && names.iter().any(|name| name_matches(name, store_name))
        });
        required.map(|((_, key), _)| key.clone())
    }

    /// A request changed the secret of this object.
    pub(crate) fn notify_changed(&self, namespace: &str, object: &str) {
        // A closed channel means that the process ends.
        let _ = self
            .inner
            .changed
            .unbounded_send((namespace.to_owned(), object.to_owned()));
    }

    /// Namespace and name of each object that was changed. It can be taken once.
    pub(crate) fn take_changes(&self) -> Option<UnboundedReceiver<(String, String)>> {
        self.inner.queue.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(object: &str, uid: &str, created: i64) -> ExternalDeclaration {
        ExternalDeclaration {
            object: object.to_owned(),
            uid: uid.to_owned(),
            created: Timestamp::from_second(created).ok(),
            key: None,
            native: None,
        }
    }

    #[test]
    fn the_owner_is_asked_where_two_claim_a_name_and_the_first_one_where_there_is_none() {
        let declared = ExternalSourceIndex::default();
        declared.update("shop", "a", "db", Some(declaration("a", "uid-a", 2)));
        declared.update("shop", "b", "db", Some(declaration("b", "uid-b", 1)));
        let of = |owner| {
            declared
                .for_secret("shop", "db", owner)
                .map(|declaration| declaration.object)
        };
        assert_eq!(of(Some("uid-b")), Some("b".to_owned()));
        assert_eq!(of(Some("uid-c")), None);
        assert_eq!(of(None), Some("b".to_owned()));
        assert_eq!(declared.for_secret("other", "db", None), None);
        declared.update("shop", "b", "db", None);
        assert_eq!(of(None), Some("a".to_owned()));
        declared.retain(|_, _| false);
        assert_eq!(of(None), None);
    }

    #[test]
    fn only_an_object_that_may_make_a_default_secret_takes_its_first_value() {
        let declared = ExternalSourceIndex::default();
        let owner = || declared.first_owner("shop", "pg!orders");
        assert_eq!(owner(), FirstOwner::Nobody);
        // Somebody was there before the product, and nobody has looked yet.
        declared.update("shop", "a", "pg!orders", Some(declaration("a", "uid-a", 1)));
        assert_eq!(owner(), FirstOwner::Undecided);
        declared.set_claim("shop", "a", "uid-a", false);
        assert_eq!(owner(), FirstOwner::Refused("a".to_owned()));
        let product = declaration("b", "uid-b", 2);
        declared.update("shop", "b", "pg!orders", Some(product.clone()));
        assert_eq!(owner(), FirstOwner::Undecided);
        declared.set_claim("shop", "b", "uid-b", true);
        assert_eq!(owner(), FirstOwner::Object(product));
        // Made again under its name, by whomever.
        declared.update("shop", "b", "pg!orders", Some(declaration("b", "uid-c", 3)));
        assert_eq!(owner(), FirstOwner::Undecided);
        declared.update("shop", "b", "pg!orders", None);
        assert_eq!(owner(), FirstOwner::Refused("a".to_owned()));
        declared.retain(|_, _| false);
        assert_eq!(owner(), FirstOwner::Nobody);
    }
}
