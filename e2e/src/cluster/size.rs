//! How much of a cluster is wanted.

use std::fmt;
use std::str::FromStr;

/// The cluster's size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Size {
    /// etcd, the API server and the controller manager on loopback: seconds, no root, no pods.
    #[default]
    Api,
    /// And a node: scheduler, kube-proxy, containerd, kubelet.
    OneNode,
    /// And a second node.
    TwoNodes,
}

impl Size {
    /// How many nodes run pods.
    #[must_use]
    pub const fn nodes(self) -> u8 {
        match self {
            Self::Api => 0,
            Self::OneNode => 1,
            Self::TwoNodes => 2,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "api",
            Self::OneNode => "one",
            Self::TwoNodes => "two",
        })
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "api" => Ok(Self::Api),
            "one" => Ok(Self::OneNode),
            "two" => Ok(Self::TwoNodes),
            other => Err(format!(
                "`{other}` is no size of the cluster; say `api`, `one` or `two`"
            )),
        }
    }
}
