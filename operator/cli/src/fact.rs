//! Something of the cluster, as far as a person may see it with rights of their own.

use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;

use crate::cluster::Cluster;

/// Something of the cluster.
#[derive(Clone, Debug)]
pub(crate) enum Fact<T> {
    Seen(T),
    /// It does not exist.
    Absent,
    /// The person may not see it: what that takes.
    Hidden(String),
    /// Whoever was asked did not answer, or nothing that is understood.
    Unreadable(String),
}

impl<T> Fact<T> {
    /// What the API server answered; `right` is what it takes to see it.
    pub(crate) fn from_answer(
        cluster: &Cluster,
        answer: Result<Option<T>, kube::Error>,
        right: String,
    ) -> Self {
        match answer {
            Ok(Some(seen)) => Self::Seen(seen),
            Ok(None) => Self::Absent,
            Err(kube::Error::Api(status)) if status.code == 403 => Self::Hidden(right),
            Err(error) => Self::Unreadable(cluster.failure(error).to_string()),
        }
    }

    pub(crate) const fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(seen) => Some(seen),
            _ => None,
        }
    }

    /// What is known of something that is found by way of this, which was not.
    pub(crate) fn missing<U>(&self) -> Fact<U> {
        match self {
            Self::Seen(_) | Self::Absent => Fact::Absent,
            Self::Hidden(right) => Fact::Hidden(right.clone()),
            Self::Unreadable(reason) => Fact::Unreadable(reason.clone()),
        }
    }
}

impl<K> Fact<Vec<K>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    /// The objects of a namespace, which an API of that namespace lists; `kinds` names them to people.
    pub(crate) async fn listed(
        cluster: &Cluster,
        api: &Api<K>,
        labels: &str,
        (kinds, namespace): (&str, &str),
    ) -> Self {
        let listed = api.list(&ListParams::default().labels(labels)).await;
        let right = format!("`list` of {kinds} in namespace `{namespace}`");
        Self::from_answer(cluster, listed.map(|list| Some(list.items)), right)
    }
}
