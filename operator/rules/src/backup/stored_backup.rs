//! What lies at the destination.

use jiff::Timestamp;

/// A backup at its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBackup {
    /// What it is called there.
    pub name: String,
    /// When it was taken.
    pub taken: Timestamp,
    /// It was read back, and every part of it opened.
    pub verified: bool,
}
