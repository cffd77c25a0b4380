//! How a secret is delivered to volumes of pods (`spec.delivery`): the watch of ManagedSecrets writes it, and
//! the stream to nodes reads it.

use std::sync::Arc;
use std::time::Duration;

use strongroom_crds::period::Period;
use strongroom_crds::v1alpha1::{Delivery, OnRevoke};

use crate::claim_index::ClaimIndex;

/// How long an absent `offlineMaxAge` is.
const DEFAULT_OFFLINE_MAX_AGE: Duration = Duration::from_secs(24 * 3_600);

/// The terms of one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryPolicy {
    /// Whether files go from running pods with the access to them.
    pub(crate) wipe: bool,
    /// For how long a node without a gateway may serve it to new pods.
    pub(crate) offline: Duration,
}

impl Default for DeliveryPolicy {
    fn default() -> Self {
        Self {
            wipe: false,
            offline: DEFAULT_OFFLINE_MAX_AGE,
        }
    }
}

impl DeliveryPolicy {
    /// What an object says.
    pub(crate) fn from_spec(delivery: Option<&Delivery>) -> Self {
        let age = delivery.and_then(|delivery| delivery.offline_max_age.as_deref());
        Self {
            wipe: delivery.and_then(|delivery| delivery.on_revoke) == Some(OnRevoke::Wipe),
            // What is no time serves nobody: the schema lets none through.
            offline: age.map_or(DEFAULT_OFFLINE_MAX_AGE, |age| {
                let seconds = age.parse::<Period>().map_or(0, Period::seconds);
                Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
            }),
        }
    }
}

/// The policies of all secrets, each with the UID of the object that says it; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeliveryPolicyIndex(Arc<ClaimIndex<(String, DeliveryPolicy)>>);

impl DeliveryPolicyIndex {
    /// The object with this name and UID is like this now; none: it is gone. Answers whether that is news.
    pub(crate) fn update(
        &self,
        namespace: &str,
        (object, uid): (&str, &str),
        store_name: &str,
        terms: Option<DeliveryPolicy>,
    ) -> bool {
        // Most say nothing, and need no room.
        let said = terms.filter(|terms| *terms != DeliveryPolicy::default());
        let claim = said.map(|terms| (uid.to_owned(), terms));
        self.0.update(namespace, object, store_name, claim)
    }

    /// A complete list has come; what `is_there` does not know is gone.
    pub(crate) fn retain(&self, is_there: impl Fn(&str, &str) -> bool) {
        self.0.retain(is_there);
    }

    /// The terms of a secret: what the object says that the store has as its owner. What others say who claim
    /// its name counts for nothing.
    pub(crate) fn for_secret(
        &self,
        namespace: &str,
        store_name: &str,
        owner: Option<&str>,
    ) -> DeliveryPolicy {
        let of_owner = self.0.find(namespace, store_name, |mut claims| {
            claims
                .find(|(uid, _)| owner == Some(uid))
                .map(|(_, terms)| *terms)
        });
        of_owner.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_keep_and_a_day() {
        let day = DeliveryPolicy::from_spec(None);
        assert_eq!((day.wipe, day.offline.as_secs()), (false, 86_400));
        let delivery = |age: &str| Delivery {
            on_revoke: Some(OnRevoke::Wipe),
            offline_max_age: Some(age.to_owned()),
        };
        for (age, seconds) in [("2h", 7_200), ("0s", 0), ("soon", 0)] {
            let terms = DeliveryPolicy::from_spec(Some(&delivery(age)));
            assert_eq!((terms.wipe, terms.offline.as_secs()), (true, seconds), "{age}");
        }
    }

    #[test]
    fn the_owner_alone_counts_for_as_long_as_it_is_there() {
        let index = DeliveryPolicyIndex::default();
        let hours = |wipe, hours: u64| {
            Some(DeliveryPolicy {
                wipe,
                offline: Duration::from_secs(hours * 3_600),
            })
        };
        let (a, b) = (("a", "uid-a"), ("b", "uid-b"));
        assert!(index.update("shop", a, "db", hours(true, 30)));
        assert!(index.update("shop", b, "db", hours(false, 1)));
        assert!(
            !index.update("shop", b, "db", hours(false, 1))
                && !index.update("shop", ("c", "uid-c"), "db", None)
        );
        assert_eq!(
            Some(index.for_secret("shop", "db", Some("uid-a"))),
            hours(true, 30)
        );
        assert_eq!(
            Some(index.for_secret("shop", "db", Some("uid-b"))),
            hours(false, 1)
        );
        for nobody in [None, Some("uid-c")] {
            assert_eq!(index.for_secret("shop", "db", nobody), DeliveryPolicy::default());
        }
        assert_eq!(
            index.for_secret("mail", "db", Some("uid-a")),
            DeliveryPolicy::default()
        );
        assert!(index.update("shop", ("a", "uid-again"), "db", hours(true, 30)));
        assert_eq!(
            index.for_secret("shop", "db", Some("uid-a")),
            DeliveryPolicy::default()
        );
        index.retain(|_, object| object != "a");
        assert_eq!(
            index.for_secret("shop", "db", Some("uid-again")),
            DeliveryPolicy::default()
        );
    }
}
