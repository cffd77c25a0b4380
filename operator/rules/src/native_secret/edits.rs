//! What somebody else changed in a native Secret of ours: which key, and which field manager.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use super::NativeSecretContent;
use super::owners::{self, Part};

/// How many keys a message names.
const MAX_NAMED: usize = 3;

/// A key whose value is not the wanted one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DriftedKey {
    /// Where it is.
    pub part: Part,
    /// The key of the data, the label or the annotation.
    pub name: String,
}

impl fmt::Display for DriftedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.part.name(), self.name)
    }
}

/// A change that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What was changed.
    pub key: DriftedKey,
    /// The field manager that owns the value which is there; absent: the key was taken away, which nothing
    /// records.
    pub manager: Option<String>,
}

/// Several edits in words: the first few keys of each manager.
#[derive(Debug)]
pub struct Edits<'a>(pub &'a [Edit]);

impl fmt::Display for Edits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut managers: BTreeMap<Option<&str>, Vec<&DriftedKey>> = BTreeMap::new();
        for edit in self.0 {
            managers
                .entry(edit.manager.as_deref())
                .or_default()
                .push(&edit.key);
        }
        // Who is known comes first.
        for (index, (manager, keys)) in managers.iter().rev().enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            match manager {
                Some(manager) => write!(f, "field manager `{manager}` changed {}", DriftedKeys(keys))?,
                None => write!(f, "somebody took away {}", DriftedKeys(keys))?,
            }
        }
        Ok(())
    }
}

/// Several keys in words: the first few of them.
#[derive(Debug)]
pub struct DriftedKeys<'a>(pub &'a [&'a DriftedKey]);

impl fmt::Display for DriftedKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().take(MAX_NAMED).enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            key.fmt(f)?;
        }
        match self.0.len().saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl NativeSecretContent {
    /// The keys of a native Secret that are not as this content wants them. Labels and annotations that
    /// others added are theirs.
    #[must_use]
    pub fn differences(&self, found: &Secret) -> Vec<DriftedKey> {
        let mut keys = Vec::new();
        let mut add = |part, name: &str| {
            keys.push(DriftedKey {
                part,
                name: name.to_owned(),
            });
        };
        let data = found.data.as_ref();
        for (key, bytes) in self.data.iter() {
            if data
                .and_then(|data| data.get(key))
                .is_none_or(|found| found.0 != bytes.expose())
            {
                add(Part::Data, key);
            }
        }
        for key in data.into_iter().flat_map(BTreeMap::keys) {
            if self.data.key(key).is_none() {
                add(Part::Data, key);
            }
        }
        for (part, wanted, found) in [
            (Part::Labels, &self.labels, &found.metadata.labels),
            (Part::Annotations, &self.annotations, &found.metadata.annotations),
        ] {
            for (key, value) in wanted {
                if found.as_ref().and_then(|found| found.get(key)) != Some(value) {
                    add(part, key);
                }
            }
        }
        keys
    }

    /// What others changed in a native Secret of ours. A value that our manager still owns is the one that we
    /// wrote, if an older one. `known`: it was found right before with just this content, so that a key which
    /// is not there was taken away.
    #[must_use]
    pub fn edits(&self, found: &Secret, known: bool) -> Vec<Edit> {
        let entries = found.metadata.managed_fields.as_deref().unwrap_or_default();
        if !Part::ALL
            .into_iter()
            .any(|part| !owners::ours(entries, part).is_empty())
        {
            // Taken over, and not written yet.
            return Vec::new();
        }
        let edit = |key: DriftedKey| edited(entries, key, known);
        self.differences(found).into_iter().filter_map(edit).collect()
    }
}

fn edited(entries: &[ManagedFieldsEntry], key: DriftedKey, known: bool) -> Option<Edit> {
    if owners::ours(entries, key.part).contains(key.name.as_str()) {
        return None;
    }
    let manager = owners::other(entries, key.part, &key.name).map(str::to_owned);
    (manager.is_some() || known).then_some(Edit { key, manager })
}
