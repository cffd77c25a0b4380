//! What somebody has of the store, and how people read it. Must not keep an account; `namespace_quotas` and
//! `product_quotas` do.

use std::fmt;

use strongroom_model::id::NamespaceId;

use super::commit_changes::ChangedRow;
use super::product_account::product_of;
use crate::engine::Table;
use crate::format::{Head, Quota};

/// What a namespace has, or all products together, counted as [`Quota`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// How many, those in a recovery window included.
    pub secrets: u64,
    /// Bytes of their rows.
    pub bytes: u64,
}

impl Usage {
    /// Whether there is more of something than a quota allows.
    #[must_use]
    pub const fn is_above(&self, quota: &Quota) -> bool {
        self.secrets > quota.secrets || self.bytes > quota.bytes
    }

    pub(super) const fn plus(self, more: Self) -> Self {
        Self {
            secrets: self.secrets.saturating_add(more.secrets),
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }

    /// The same once that has happened.
    pub(super) const fn changed_by(self, change: UsageChange) -> Self {
        Self {
            secrets: self.secrets.saturating_add_signed(change.secrets),
            bytes: self.bytes.saturating_add_signed(change.bytes),
        }
    }

    /// The fuller of the two, in percent, rounded down.
    #[must_use]
    pub fn percent_of(&self, quota: &Quota) -> u64 {
        let percent = |used: u64, most: u64| match most {
            0 if used == 0 => 0,
            0 => u64::MAX,
            most => u64::try_from(u128::from(used) * 100 / u128::from(most)).unwrap_or(u64::MAX),
        };
        percent(self.secrets, quota.secrets).max(percent(self.bytes, quota.bytes))
    }
}

/// What one commit adds, or takes away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct UsageChange {
    pub(super) secrets: i64,
    pub(super) bytes: i64,
}

impl UsageChange {
    /// Adds what becomes of a row of a secret.
    pub(super) fn add_row(&mut self, row: &ChangedRow<'_>) {
        let bytes = |value: Option<&[u8]>| {
            let bytes = value.map_or(0, |value| row_bytes(row.key, value));
            i64::try_from(bytes).unwrap_or(i64::MAX)
        };
        self.bytes += bytes(row.after) - bytes(row.before);
        if row.table == Table::Head {
            self.secrets += i64::from(row.after.is_some()) - i64::from(row.before.is_some());
        }
    }
}

/// What a secret counts on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum QuotaAccount {
    /// What its namespace may have.
    Namespace(NamespaceId),
    /// What all products together may have.
    Products,
}

impl QuotaAccount {
    /// What this secret counts on.
    pub(crate) fn for_head(head: &Head) -> Self {
        match product_of(&head.name) {
            Some(_) => Self::Products,
            None => Self::Namespace(head.namespace),
        }
    }
}

/// What a command that is carried out adds to an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct QuotaUse {
    pub(crate) account: QuotaAccount,
    pub(crate) usage: Usage,
}

/// A number of bytes as people read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HumanBytes(pub u64);

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..10_240 => write!(f, "{bytes} bytes"),
            bytes @ 10_240..10_485_760 => write!(f, "{} KiB", bytes / 1_024),
            bytes => write!(f, "{} MiB", bytes / 1_048_576),
        }
    }
}

/// What a quota counts: the value with its key.
pub(super) fn row_bytes(key: &[u8], value: &[u8]) -> u64 {
    u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_as_people_read_them() {
        for (bytes, told) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 KiB"),
            (429_496_729, "409 MiB"),
        ] {
            assert_eq!(HumanBytes(bytes).to_string(), told);
        }
    }
}
