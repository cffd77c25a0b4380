//! Which ManagedSecrets a person may `get` by RBAC, as the extension API server found out and tells the
//! gateway beside the verified identity.
//!
//! INVARIANT: like the identity itself, it counts only where the client of the connection proved to be the
//! extension API server.

use std::fmt;
use std::str::FromStr;

use strongroom_store::vault::SecretView;

/// Objects of one namespace that the caller may `get`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MayGet {
    pub(super) namespace: String,
    /// The object; none: all of the namespace.
    pub(super) object: Option<String>,
}

impl MayGet {
    /// Whether the object that declares this secret is among them. A secret that no object declares is so for
    /// whoever may `get` them all.
    pub(super) fn covers(&self, namespace: &str, secret: &SecretView) -> bool {
        let declares = |object: &String| {
            secret
                .object
                .as_ref()
                .is_some_and(|bound| bound.name.as_str() == object)
        };
        self.namespace == namespace && self.object.as_ref().is_none_or(declares)
    }
}

/// `namespace/object`, or `namespace/*`.
impl fmt::Display for MayGet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.object.as_deref().unwrap_or("*"))
    }
}

impl FromStr for MayGet {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (namespace, object) = text.split_once('/').ok_or(())?;
        if namespace.is_empty() || object.is_empty() {
            return Err(());
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            object: (object != "*").then(|| object.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["shop/*", "shop/checkout-db"] {
            assert_eq!(text.parse::<MayGet>().unwrap().to_string(), text);
        }
        for text in ["", "shop", "/db", "shop/"] {
            assert_eq!(text.parse::<MayGet>(), Err(()), "{text}");
        }
    }
}
