//! What a namespace has of the store, and how people read it. Must not keep an account; `namespace_quotas`
//! does.

use std::fmt;

use crate::format::Quota;

/// What a namespace has, counted as [`Quota`] says.
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
