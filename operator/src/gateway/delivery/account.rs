//! The ServiceAccount that a node plugin runs as, as an argument names it.

use std::str::FromStr;

use strongroom_model::name::{NamespaceName, is_object_name};
use strongroom_rules::policy::Identity;

/// `NAMESPACE/NAME`, or `NAME` for one in the process's own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeAccount {
    namespace: Option<NamespaceName>,
    name: String,
}

/// What is said of a ServiceAccount is no name of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NodeAccountError {
    /// The part before the slash.
    #[error(
        "the part before `/` is not a valid namespace name; write NAMESPACE/NAME, as in `strongroom-node/strongroom-node`"
    )]
    Namespace,
    /// The part behind the slash.
    #[error("not a valid ServiceAccount name; write NAMESPACE/NAME, as in `strongroom-node/strongroom-node`")]
    Name,
}

impl FromStr for NodeAccount {
    type Err = NodeAccountError;

    fn from_str(text: &str) -> Result<Self, NodeAccountError> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => {
                let namespace = namespace.parse().map_err(|_| NodeAccountError::Namespace)?;
                (Some(namespace), name)
            }
            None => (None, text),
        };
        if !is_object_name(name) {
            return Err(NodeAccountError::Name);
        }
        Ok(Self {
            namespace,
            name: name.to_owned(),
        })
    }
}

impl NodeAccount {
    /// Its namespace, where it is named.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_ref().map(NamespaceName::as_str)
    }

    /// Who that is, for a process in the namespace `own`.
    pub(in crate::gateway) fn identity(&self, own: &str) -> Identity {
        Identity::ServiceAccount {
            namespace: self.namespace().unwrap_or(own).to_owned(),
            name: self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity_of(text: &str) -> Result<Identity, NodeAccountError> {
        text.parse::<NodeAccount>()
            .map(|account| account.identity("strongroom"))
    }

    #[test]
    fn an_account_is_named_with_its_namespace_or_is_of_the_own_one() {
        let identity = |namespace: &str, name: &str| {
            Identity::from_username(&format!("system:serviceaccount:{namespace}:{name}"))
        };
        assert_eq!(identity_of("node"), Ok(identity("strongroom", "node")));
        assert_eq!(identity_of("nodes/node"), Ok(identity("nodes", "node")));
        for wrong in ["/node", "No/node", "a b/node", "a.b/node"] {
            assert_eq!(identity_of(wrong), Err(NodeAccountError::Namespace), "{wrong}");
        }
        for wrong in ["", "nodes/", "nodes/a/b", "Node", "nodes/a:b"] {
            assert_eq!(identity_of(wrong), Err(NodeAccountError::Name), "{wrong}");
        }
    }
}
