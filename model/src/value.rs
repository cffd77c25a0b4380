//! The value of a secret while it is decided about: keys and bytes, wiped when dropped and never printed.

use std::collections::BTreeMap;

use crate::secret_bytes::SecretBytes;

/// Largest value, in bytes: all names of keys and all their bytes.
pub const VALUE_BYTES: usize = 65_536;

/// A map of keys to bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Value(BTreeMap<String, SecretBytes>);

impl Value {
    /// A value without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key.
    pub fn insert(&mut self, key: impl Into<String>, bytes: impl Into<SecretBytes>) {
        self.0.insert(key.into(), bytes.into());
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// The bytes of a key.
    #[must_use]
    pub fn key(&self, key: &str) -> Option<&SecretBytes> {
        self.0.get(key)
    }

    /// The keys and their bytes, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretBytes)> {
        self.0.iter().map(|(key, bytes)| (key.as_str(), bytes))
    }

    /// The names of the keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Size in bytes, as the limit [`VALUE_BYTES`] counts it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0
            .iter()
            .map(|(key, bytes)| key.len() + bytes.expose().len())
            .sum()
    }

    /// Puts the keys of `newer` over those of `self`: a new version that keeps the others.
    pub fn overlay(&mut self, newer: Self) {
        self.0.extend(newer.0);
    }

    /// A second copy of all keys.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(
            self.0
                .iter()
                .map(|(key, bytes)| (key.clone(), bytes.duplicate()))
                .collect(),
        )
    }
}

impl FromIterator<(String, SecretBytes)> for Value {
    fn from_iter<I: IntoIterator<Item = (String, SecretBytes)>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

impl IntoIterator for Value {
    type Item = (String, SecretBytes);
    type IntoIter = std::collections::btree_map::IntoIter<String, SecretBytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
