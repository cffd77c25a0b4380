//! How the keys of a value differ from what `source.generate` declares, and which of them a new version
//! generates again.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_crds::v1alpha1::KeySource;

use super::record::GeneratorRecord;
use super::{missing, outputs};
use crate::value::Value;

/// What the declared keys ask for and the current version does not have. Names alone, no bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Sources that were not made yet.
    pub missing: Vec<String>,
    /// Literals whose text is another one than the value's.
    pub literals: Vec<String>,
    /// Keys of the value that no source names any more.
    pub removed: Vec<String>,
}

impl Differences {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.literals.is_empty() && self.removed.is_empty()
    }

    /// The names, in the order of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let all = self.missing.iter().chain(&self.literals).chain(&self.removed);
        all.map(String::as_str)
    }

    /// The sources that a new version makes, whatever it is made for: those that were never made and the
    /// literals that changed, beside those that `again` names. The one place that says so.
    pub fn made_by<'a>(
        &'a self,
        sources: impl IntoIterator<Item = (&'a String, &'a KeySource)>,
        again: impl Fn(&str, &KeySource) -> bool,
    ) -> BTreeSet<&'a str> {
        let declared = self.missing.iter().chain(&self.literals).map(String::as_str);
        let again = sources
            .into_iter()
            .filter(move |(name, source)| again(name, source))
            .map(|(name, _)| name.as_str());
        declared.chain(again).collect()
    }
}

/// Compares the declared keys with those of a value, of which `record` tells how they were made.
pub fn differences(
    sources: &BTreeMap<String, KeySource>,
    value: &Value,
    record: &GeneratorRecord,
) -> Differences {
    let present: BTreeSet<&str> = value.names().collect();
    let literals = sources.iter().filter(|(name, source)| match source {
        KeySource::Literal(text) => value
            .key(name)
            .is_some_and(|bytes| bytes.expose() != text.as_bytes()),
        _ => false,
    });
    let declared: BTreeSet<String> = sources
        .iter()
        .flat_map(|(name, source)| outputs(name, source))
        .collect();
    let removed = present
        .iter()
        .filter(|key| !declared.contains(**key) && record.leaves(key, sources));
    Differences {
        missing: missing(sources, &present)
            .into_iter()
            .map(str::to_owned)
            .collect(),
        literals: literals.map(|(name, _)| name.clone()).collect(),
        removed: removed.map(|key| (*key).to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn sources(json: Json) -> BTreeMap<String, KeySource> {
        serde_json::from_value(json).unwrap()
    }

    fn value(keys: &[(&str, &str)]) -> Value {
        keys.iter()
            .map(|(key, text)| ((*key).to_owned(), text.as_bytes().to_vec().into()))
            .collect()
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_as_declared_has_no_differences() {
        let declared = sources(
            json!({"user": {"literal": "app"}, "key": {"rsa": {}}, "tls": {"x509": {"commonName": "a"}}}),
        );
        let record = GeneratorRecord::made(&declared);
        let value = value(&[
            ("user", "app"),
            ("key", "k"),
            ("key.pub", "p"),
            ("tls.key", "k"),
            ("tls.crt", "c"),
            ("ca.crt", "r"),
        ]);
        assert!(differences(&declared, &value, &record).is_empty());
    }

    #[test]
    fn an_edited_literal_a_new_key_and_one_that_left_are_told_apart() {
        let before =
            sources(json!({"user": {"literal": "a"}, "old": {"rsa": {}}, "password": {"password": {}}}));
        let record = GeneratorRecord::made(&before);
        let value = value(&[("user", "a"), ("old", "k"), ("old.pub", "p"), ("password", "x")]);
        let now = sources(
            json!({"user": {"literal": "b"}, "new": {"uuid": {}}, "password": {"password": {"length": 8}}}),
        );
        let found = differences(&now, &value, &record);
        assert_eq!(
            found,
            Differences {
                missing: names(&["new"]),
                literals: names(&["user"]),
                removed: names(&["old", "old.pub"]),
            }
        );
        let rotated = |_: &str, source: &KeySource| crate::generate::rotates(source);
        assert_eq!(
            found.made_by(&now, rotated),
            BTreeSet::from(["new", "user", "password"])
        );
        assert_eq!(found.made_by(&now, |_, _| false), BTreeSet::from(["new", "user"]));
    }

    #[test]
    fn what_came_another_way_stays_until_the_source_has_named_it() {
        let now = sources(json!({"password": {"password": {}}}));
        let brought = value(&[("password", "x"), ("theirs", "y")]);
        let mut record = GeneratorRecord::foreign();
        record.assume(&now, |key| brought.key(key).is_some());
        assert!(differences(&now, &brought, &record).is_empty());
        let naming = sources(json!({"password": {"password": {}}, "theirs": {"literal": "y"}}));
        record.assume(&naming, |key| brought.key(key).is_some());
        assert!(differences(&naming, &brought, &record).is_empty());
        assert_eq!(differences(&now, &brought, &record).removed, names(&["theirs"]));
        // Also when an older version brings it back.
        record.forget(["theirs"]);
        assert_eq!(differences(&now, &brought, &record).removed, names(&["theirs"]));
    }

    #[test]
    fn a_changed_generator_keeps_what_the_old_one_made_until_it_is_made_anew() {
        let mut record = GeneratorRecord::made(&sources(json!({"a": {"rsa": {}}})));
        let now = sources(json!({"a": {"uuid": {}}}));
        let value = value(&[("a", "k"), ("a.pub", "p")]);
        assert!(differences(&now, &value, &record).is_empty());
        assert_eq!(record.changed(&now), ["a"]);
        record.remade("a", &now["a"]);
        assert_eq!(differences(&now, &value, &record).removed, names(&["a.pub"]));
        assert_eq!(record.changed(&now), Vec::<&str>::new());
    }
}
