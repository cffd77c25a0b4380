//! Classifies errors of the store once, for controllers and gateway, and says how controllers react to each.

use strongroom_crds::condition::Reason;
use strongroom_model::name::NameError;
use strongroom_rules::retry::ErrorClass;
use strongroom_store::engine::EngineError;
use strongroom_store::vault::{Refusal, StoreError};

/// Whose fault an error is, and so what becomes of the request: the caller's, the disk's or ours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StoreErrorKind<'a> {
    /// The store's rules say no, and would again.
    Refused(&'a Refusal),
    /// A record cannot be read.
    Damaged,
    /// No audit record can be written, so nothing is read or changed.
    AuditUnavailable,
    /// The disk is full.
    Full,
    /// Nothing is served now: it is closing, poisoned, fenced off, or does not know the outcome.
    Unavailable,
}

impl<'a> From<&'a StoreError> for StoreErrorKind<'a> {
    fn from(error: &'a StoreError) -> Self {
        match error {
            StoreError::Refused(refusal) => Self::Refused(refusal),
            StoreError::Damaged { .. } => Self::Damaged,
            StoreError::Audit(_) => Self::AuditUnavailable,
            StoreError::Engine(EngineError::OutOfSpace) => Self::Full,
            StoreError::Fenced
            | StoreError::Unknown { .. }
            | StoreError::NotCommitted
            | StoreError::AnchorUnavailable(_)
            | StoreError::Closed
            | StoreError::Engine(_)
            | StoreError::Crypto(_) => Self::Unavailable,
        }
    }
}

/// What went wrong in the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreFailure {
    /// The version from which a new one was made is not current any more.
    #[error("another version became current in the meantime")]
    BaseMoved,
    /// The key of the namespace is disabled or waits for its deletion.
    #[error("the encryption key is not enabled: {0}")]
    KeyDisabled(String),
    /// The old version of a key still wraps something, or something depends on the key.
    #[error("the encryption key is in use: {0}")]
    KeyInUse(String),
    /// The namespace has as much of the store as it may have.
    #[error("{0}")]
    NamespaceFull(String),
    /// The product has as many secrets as it may have, or all products together have.
    #[error("{0}")]
    ProductFull(String),
    /// The rules of the store say no.
    #[error("the store refused: {0}")]
    Refused(String),
    /// No audit record can be written, so nothing is read or changed.
    #[error("no audit record can be written: {0}")]
    AuditUnavailable(String),
    /// The disk is full.
    #[error("the store's disk is full; make room or enlarge its volume")]
    Full,
    /// A record cannot be read.
    #[error("a record in the store is damaged, restore a backup: {0}")]
    Damaged(String),
    /// The store serves nothing now: it is closing, poisoned, fenced off, or does not know the outcome.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

impl StoreFailure {
    /// How it is tried again, by the table in `strongroom_rules::retry`.
    pub(crate) fn class(&self) -> ErrorClass {
        match self {
            Self::BaseMoved => ErrorClass::Conflict,
            Self::KeyDisabled(_) | Self::KeyInUse(_) | Self::Refused(_) => ErrorClass::StoreRefused,
            Self::NamespaceFull(_) | Self::ProductFull(_) => ErrorClass::NamespaceFull,
            Self::AuditUnavailable(_) | Self::Full | Self::Unavailable(_) => ErrorClass::StoreUnavailable,
            Self::Damaged(_) => ErrorClass::StoreDamaged,
        }
    }

    /// The reason it gives in a condition.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::BaseMoved => Reason::Progressing,
            Self::KeyDisabled(_) => Reason::KeyDisabled,
            Self::NamespaceFull(_) => Reason::NamespaceFull,
            Self::ProductFull(_) => Reason::QuotaExceeded,
            Self::KeyInUse(_) | Self::Refused(_) | Self::Unavailable(_) => Reason::StoreUnavailable,
            Self::AuditUnavailable(_) => Reason::AuditUnavailable,
            Self::Full => Reason::StoreFull,
            Self::Damaged(_) => Reason::StoreDamaged,
        }
    }
}

impl From<StoreError> for StoreFailure {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match StoreErrorKind::from(&error) {
            StoreErrorKind::Refused(refusal) => match refusal {
                Refusal::BaseMoved => Self::BaseMoved,
                Refusal::KeyDisabled | Refusal::KeyPendingDeletion { .. } | Refusal::KeyDestroyed => {
                    Self::KeyDisabled(text)
                }
                Refusal::KeyInUse | Refusal::KeyVersionInUse => Self::KeyInUse(text),
                Refusal::NamespaceFull { .. } => Self::NamespaceFull(text),
                Refusal::ProductQuotaExceeded { .. } | Refusal::ProductsFull { .. } => {
                    Self::ProductFull(without_totals(refusal).unwrap_or(text))
                }
                _ => Self::Refused(text),
            },
            StoreErrorKind::Damaged => Self::Damaged(text),
            StoreErrorKind::AuditUnavailable => Self::AuditUnavailable(text),
            StoreErrorKind::Full => Self::Full,
            StoreErrorKind::Unavailable => Self::Unavailable(text),
        }
    }
}

/// The message for tenants, in conditions, if the one of the store shows totals of all namespaces; none: it
/// does not.
fn without_totals(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::ProductQuotaExceeded {
            code,
            hosting,
            namespace: None,
            ..
        } => Some(format!(
            "product `{code}` has as many default secrets of {hosting} hosting in all namespaces together as it may have, those in \
             recovery windows included; delete some, whose place is free once their recovery windows end, or have `spec.quota` of \
             SecretProduct `{code}` raised"
        )),
        Refusal::ProductsFull { .. } => Some(
            "products have used up their share of the store; delete default secrets, or ask an administrator to raise the share of a \
             namespace, from which that of products follows"
                .to_owned(),
        ),
        _ => None,
    }
}

impl From<NameError> for StoreFailure {
    fn from(error: NameError) -> Self {
        Self::Refused(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use strongroom_model::Hosting;
    use strongroom_store::vault::{Quota, Usage};

    use super::*;

    #[test]
    fn what_a_condition_says_of_a_full_product_names_no_total() {
        let quota = |namespace: Option<&str>| Refusal::ProductQuotaExceeded {
            code: "pg".parse().unwrap(),
            hosting: Hosting::Free,
            namespace: namespace.map(|name| name.parse().unwrap()),
            used: 4_321,
            limit: 1_234,
        };
        let share = Refusal::ProductsFull {
            used: Usage {
                secrets: 4_321,
                bytes: 4_321,
            },
            limit: Quota {
                secrets: 1_234,
                bytes: 1_234,
            },
        };
        for (refusal, has_numbers) in [(quota(Some("shop")), true), (quota(None), false), (share, false)] {
            let failure = StoreFailure::from(StoreError::Refused(refusal));
            let said = failure.to_string();
            assert_eq!(failure.reason(), Reason::QuotaExceeded, "{said}");
            for number in ["4321", "1234"] {
                assert_eq!(said.contains(number), has_numbers, "{said}");
            }
        }
    }
}
