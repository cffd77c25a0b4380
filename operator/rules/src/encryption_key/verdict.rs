//! The state of an `EncryptionKey` when nothing is left to do, and its messages.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use strongroom_crds::condition::{ConditionStatus, Reason};

use crate::object::{ReadySummary, whole_second};
use crate::uid::Uid;

/// How the object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyVerdict {
    /// It is as wanted.
    Ready {
        /// Whether the key works.
        enabled: bool,
    },
    /// There are steps left.
    Working,
    /// It is being deleted: nothing is done and nothing is said.
    Leaving,
    /// Somebody has to act, or time has to pass.
    Blocked(KeyBlocker),
}

/// What keeps the object from being ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyBlocker {
    /// The namespace is on its way out.
    NamespaceTerminating,
    /// The namespace was deleted and made again.
    NamespaceRecreated {
        /// UID of the older one.
        recorded: Uid,
    },
    /// An older key of this name is about to be destroyed.
    Ending {
        /// When its window ended.
        until: Timestamp,
    },
}

impl KeyBlocker {
    pub(super) const fn recheck(&self) -> Option<SignedDuration> {
        match self {
            Self::Ending { .. } => Some(SignedDuration::from_mins(1)),
            Self::NamespaceTerminating | Self::NamespaceRecreated { .. } => None,
        }
    }
}

impl fmt::Display for KeyBlocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NamespaceTerminating => {
                f.write_str("the namespace is being deleted, so nothing in it is changed")
            }
            Self::NamespaceRecreated { recorded } => write!(
                f,
                "the keys under this namespace's name belong to an earlier namespace with UID `{recorded}`; if this one may have them, \
                 a cluster administrator annotates the Namespace with `strongroom.dev/accept-namespace={recorded}`"
            ),
            Self::Ending { until } => write!(
                f,
                "the deletion window of the key that had this name ended at {}; it will be destroyed within the hour, and then a new key is created",
                whole_second(*until)
            ),
        }
    }
}

impl KeyVerdict {
    /// What it says as a condition. `None`: nothing is to be said any more.
    #[must_use]
    pub fn ready_summary(&self, dependents: u64) -> Option<ReadySummary> {
        let said = |ready, reason, message: String| {
            Some(ReadySummary {
                ready,
                reason,
                message,
            })
        };
        match self {
            Self::Leaving => None,
            Self::Ready { enabled: true } => said(
                ConditionStatus::True,
                Reason::Ready,
                format!("the key works; {dependents} secrets depend on it"),
            ),
            Self::Ready { enabled: false } => said(
                ConditionStatus::True,
                Reason::KeyDisabled,
                format!(
                    "the key is disabled by its spec; the {dependents} secrets that depend on it can be neither read nor written"
                ),
            ),
            Self::Working => said(
                ConditionStatus::Unknown,
                Reason::Progressing,
                "steps are left to do".to_owned(),
            ),
            Self::Blocked(block) => said(
                ConditionStatus::False,
                match block {
                    KeyBlocker::NamespaceTerminating => Reason::NamespaceTerminating,
                    KeyBlocker::NamespaceRecreated { .. } => Reason::NamespaceRecreated,
                    KeyBlocker::Ending { .. } => Reason::KeyNotReady,
                },
                block.to_string(),
            ),
        }
    }
}
