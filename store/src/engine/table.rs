//! The tables. Must not be renumbered or renamed: both are part of the format.

/// One table of the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// Store-wide facts under fixed names.
    Meta,
    /// Namespaces by their id.
    Namespace,
    /// Blind index of names to ids.
    Name,
    /// Heads of secrets by their id.
    Head,
    /// Sealed values by secret id and sequence.
    Version,
    /// Wrapped data keys by secret id and sequence.
    DataKey,
    /// Encryption keys by their id.
    Key,
    /// Wrapped material of encryption keys by key id and version.
    KeyVersion,
    /// What is due when: purges and key deletions, by time.
    Due,
    /// The mutation chain by epoch and sequence.
    Audit,
    /// Places of readers of the mutation chain.
    Cursor,
    /// Access policies in force. A file that was made before there were any gets the table with its first
    /// record.
    Policy,
    /// What each outside object declares, by the object, as it was last taken in. Made with its first record,
    /// as the next one is.
    Declaration,
    /// Who wrote or deleted outside objects of which nothing was seen yet.
    Attestation,
    /// Products as they were last seen, by their codes. Made with its first record too.
    Product,
}

impl Table {
    /// Every table, in the order of the codes.
    pub const ALL: [Self; 15] = [
        Self::Meta,
        Self::Namespace,
        Self::Name,
        Self::Head,
        Self::Version,
        Self::DataKey,
        Self::Key,
        Self::KeyVersion,
        Self::Due,
        Self::Audit,
        Self::Cursor,
        Self::Policy,
        Self::Declaration,
        Self::Attestation,
        Self::Product,
    ];

    /// The stable code, used in MACs and backups.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Meta => 1,
            Self::Namespace => 2,
            Self::Name => 3,
            Self::Head => 4,
            Self::Version => 5,
            Self::DataKey => 6,
            Self::Key => 7,
            Self::KeyVersion => 8,
            Self::Due => 9,
            Self::Audit => 10,
            Self::Cursor => 11,
            Self::Policy => 12,
            Self::Declaration => 13,
            Self::Attestation => 14,
            Self::Product => 15,
        }
    }

    /// The table of a stable code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.code() == code)
    }

    /// The stable name in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Namespace => "namespace",
            Self::Name => "name",
            Self::Head => "head",
            Self::Version => "version",
            Self::DataKey => "data-key",
            Self::Key => "key",
            Self::KeyVersion => "key-version",
            Self::Due => "due",
            Self::Audit => "audit",
            Self::Cursor => "cursor",
            Self::Policy => "policy",
            Self::Declaration => "declaration",
            Self::Attestation => "attestation",
            Self::Product => "product",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn codes_are_unique_and_dense() {
        for (index, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(table.code()), index + 1);
            assert_eq!(Table::from_code(table.code()), Some(table));
        }
        assert_eq!(Table::from_code(0), None);
    }
}
