//! A caller as the key of an account: by its principal, or by the namespace of its principal. The key wraps
//! the caller and compares only that part, so that a request takes its shares without copying a name.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use strongroom_rules::policy::Identity;

use crate::gateway::authenticate::Caller;

/// Equal for all callers of one principal.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct PrincipalKey(Arc<Caller>);

/// Equal for all callers whose principals are of one namespace.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct NamespaceKey(Arc<Caller>);

impl PrincipalKey {
    pub(in crate::gateway) fn new(caller: &Arc<Caller>) -> Self {
        Self(Arc::clone(caller))
    }

    fn identity(&self) -> &Identity {
        &self.0.principal.identity
    }
}

impl NamespaceKey {
    /// None for who is of no namespace.
    pub(in crate::gateway) fn new(caller: &Arc<Caller>) -> Option<Self> {
        let key = Self(Arc::clone(caller));
        key.name().is_some().then_some(key)
    }

    fn name(&self) -> Option<&str> {
        self.0.principal.identity.namespace()
    }
}

impl PartialEq for PrincipalKey {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for PrincipalKey {}

impl Hash for PrincipalKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl PartialEq for NamespaceKey {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for NamespaceKey {}

impl Hash for NamespaceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

#[cfg(test)]
impl Caller {
    /// Somebody of whom nothing else is known.
    pub(in crate::gateway) fn named(identity: Identity) -> Arc<Self> {
        Arc::new(Self {
            principal: strongroom_rules::policy::Principal {
                identity,
                groups: Vec::new(),
            },
            account_uid: None,
            pod: None,
            node: None,
            offline: false,
            via_extension_api: false,
            may_get: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    use super::*;

    fn caller(username: &str, pod: &str) -> Arc<Caller> {
        let caller = Caller::named(Identity::from_username(username));
        Arc::new(Caller {
            pod: Some((pod.to_owned(), pod.to_owned())),
            ..Caller::clone(&caller)
        })
    }

    #[test]
    fn a_key_tells_principals_or_namespaces_and_nothing_else() {
        let callers = [
            caller("system:serviceaccount:shop:a", "one"),
            caller("system:serviceaccount:shop:a", "two"),
            caller("system:serviceaccount:shop:b", "three"),
            caller("system:serviceaccount:pay:a", "four"),
            caller("jane", "five"),
        ];
        let principals: HashSet<_> = callers.iter().map(PrincipalKey::new).collect();
        assert_eq!(principals.len(), 4);
        let namespaces: HashSet<_> = callers.iter().filter_map(NamespaceKey::new).collect();
        assert_eq!(namespaces.len(), 2);
        // A set finds two keys unequal by their hashes alone, and a table with few places does not.
        let [one, .., pay, _] = callers.each_ref().map(NamespaceKey::new);
        assert!(one.is_some() && one != pay);
        let [one, two, other, ..] = callers.each_ref().map(PrincipalKey::new);
        assert!(one == two && one != other);
    }

    #[test]
    fn keys_that_differ_have_hashes_that_differ() {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let one = caller("system:serviceaccount:shop:a", "one");
        let (same, other) = (
            caller("system:serviceaccount:shop:a", "two"),
            caller("system:serviceaccount:pay:a", "three"),
        );
        let namespace = |caller| hasher.hash_one(NamespaceKey::new(caller).unwrap());
        assert_eq!(namespace(&one), namespace(&same));
        assert_ne!(namespace(&one), namespace(&other));
        let principal = |caller| hasher.hash_one(PrincipalKey::new(caller));
        assert_eq!(principal(&one), principal(&same));
        assert_ne!(principal(&one), principal(&other));
    }
}
