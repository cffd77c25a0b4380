//! A record of how the keys of a value were made: for each key a digest of the settings of its source. It
//! shows which generators were changed since, and which keys the source does not name any more. Nothing in it
//! depends on a value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use strongroom_crds::v1alpha1::KeySource;

use super::outputs;

/// Characters of the digest of a key's name: 24 bits.
const NAME_DIGEST_CHARS: usize = 4;
/// Characters of the digest of the settings: 36 bits.
const SETTINGS_DIGEST_CHARS: usize = 6;
/// Most keys that are remembered: those that 32 sources make, and some that were named before.
const MAX_KEYS: usize = 96;

/// How the keys of the current version were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeneratorRecord {
    /// The value holds, or held, keys that came another way: by an import, by the API, sealed.
    foreign: bool,
    /// Digest of the settings by digest of the key's name.
    settings: BTreeMap<String, String>,
}

impl GeneratorRecord {
    /// Of a value that comes another way than from generators.
    #[must_use]
    pub fn foreign() -> Self {
        Self {
            foreign: true,
            settings: BTreeMap::new(),
        }
    }

    /// Of a value that the sources made as a whole.
    pub fn made<'a>(sources: impl IntoIterator<Item = (&'a String, &'a KeySource)>) -> Self {
        let mut record = Self::default();
        for (name, source) in sources {
            record.remade(name, source);
        }
        record
    }

    /// The source was made anew, by its settings as they are.
    pub fn remade(&mut self, name: &str, source: &KeySource) {
        let settings = settings_digest(name, source);
        for key in outputs(name, source) {
            self.settings.insert(name_digest(&key), settings.clone());
        }
    }

    /// Sources that are named, whose key is there, and of which nothing is remembered, count as made by their
    /// settings as they are: their key came another way, or from a version of Strongroom that remembered
    /// nothing. A literal is what it says.
    pub fn assume<'a>(
        &mut self,
        sources: impl IntoIterator<Item = (&'a String, &'a KeySource)>,
        present: impl Fn(&str) -> bool,
    ) {
        for (name, source) in sources {
            for key in outputs(name, source).iter().filter(|key| present(key)) {
                if self.settings_of(key).is_none() {
                    self.settings
                        .insert(name_digest(key), settings_digest(name, source));
                }
            }
        }
    }

    /// Forgets keys that are gone. Where keys may come another way, it stays known that the source named
    /// them: an older version that becomes current again can bring them back.
    pub fn forget<'a>(&mut self, keys: impl IntoIterator<Item = &'a str>) {
        if !self.foreign {
            for key in keys {
                self.settings.remove(&name_digest(key));
            }
        }
    }

    /// The named sources whose key was made by other settings than they have now. A literal is not made: it
    /// is what it says.
    pub fn changed<'a>(
        &self,
        sources: impl IntoIterator<Item = (&'a String, &'a KeySource)>,
    ) -> Vec<&'a str> {
        sources
            .into_iter()
            .filter(|(_, source)| !matches!(source, KeySource::Literal(_)))
            .filter(|(name, source)| {
                let first = outputs(name, source).into_iter().next();
                let recorded = first.and_then(|key| self.settings_of(&key));
                recorded.is_some_and(|recorded| *recorded != settings_digest(name, source))
            })
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Whether a key of the value that no source names has to go: the source named it once, or nothing but
    /// the source ever made keys. What a source with other settings left beside its key stays as long as that
    /// key does.
    pub(super) fn leaves<'a>(
        &self,
        key: &str,
        sources: impl IntoIterator<Item = (&'a String, &'a KeySource)>,
    ) -> bool {
        let Some(made_by) = self.settings_of(key) else {
            return !self.foreign;
        };
        !sources.into_iter().any(|(name, source)| {
            outputs(name, source)
                .first()
                .is_some_and(|first| self.settings_of(first) == Some(made_by))
        })
    }

    fn settings_of(&self, key: &str) -> Option<&String> {
        self.settings.get(&name_digest(key))
    }

    /// Keeps to the most keys; those that `named` lacks go first.
    #[must_use]
    pub fn bounded<'a>(mut self, sources: impl IntoIterator<Item = (&'a String, &'a KeySource)>) -> Self {
        let mut surplus = self.settings.len().saturating_sub(MAX_KEYS);
        if surplus > 0 {
            let named: BTreeSet<String> = sources
                .into_iter()
                .flat_map(|(name, source)| outputs(name, source))
                .map(|key| name_digest(&key))
                .collect();
            self.settings.retain(|name, _| {
                let goes = surplus > 0 && !named.contains(name);
                surplus -= usize::from(goes);
                !goes
            });
        }
        self
    }
}

impl fmt::Display for GeneratorRecord {
    /// The text that the store keeps. INVARIANT: a later release reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.foreign { "+" } else { "=" })?;
        for (name, settings) in &self.settings {
            write!(f, "{name}{settings}")?;
        }
        Ok(())
    }
}

/// A text that is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record of generators")]
pub struct RecordError;

impl FromStr for GeneratorRecord {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let (foreign, mut rest) = match (text.strip_prefix('+'), text.strip_prefix('=')) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(RecordError),
        };
        let mut settings = BTreeMap::new();
        while !rest.is_empty() {
            let (entry, more) = rest
                .split_at_checked(NAME_DIGEST_CHARS + SETTINGS_DIGEST_CHARS)
                .ok_or(RecordError)?;
            let (name, made_by) = entry.split_at_checked(NAME_DIGEST_CHARS).ok_or(RecordError)?;
            settings.insert(name.to_owned(), made_by.to_owned());
            rest = more;
        }
        Ok(Self { foreign, settings })
    }
}

fn name_digest(key: &str) -> String {
    digest(&[b"key", key.as_bytes()], NAME_DIGEST_CHARS)
}

/// Of a literal it is that it is one: its text is compared with the value.
fn settings_digest(name: &str, source: &KeySource) -> String {
    let settings = match source {
        KeySource::Literal(_) => "literal".to_owned(),
        _ => canonical(source).to_string(),
    };
    digest(
        &[b"settings", name.as_bytes(), settings.as_bytes()],
        SETTINGS_DIGEST_CHARS,
    )
}

fn digest(parts: &[&[u8]], characters: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let mut text = BASE64URL_NOPAD.encode(&hash.finalize());
    text.truncate(characters);
    text
}

/// The settings without those that say what an absent field means anyway, or when a key is made rather than
/// how.
fn canonical(source: &KeySource) -> Json {
    let mut json = serde_json::to_value(source).unwrap_or_default();
    for (kind, settings) in json.as_object_mut().into_iter().flatten() {
        if let Some(settings) = settings.as_object_mut() {
            settings.retain(|field, value| !says_nothing(kind, field, value));
        }
    }
    json
}

fn says_nothing(kind: &str, field: &str, value: &Json) -> bool {
    match (kind, field) {
        ("password", "length") | ("hex" | "base64", "bytes") => *value == json!(32),
        ("password", "upper" | "lower" | "digits") => *value == json!(true),
        ("password", "exclude") => *value == json!(""),
        ("base64", "urlSafe") | ("x509", "isCA") => *value == json!(false),
        ("rsa", "bits") => *value == json!(3072),
        ("ecdsa", "curve") => *value == json!("P256"),
        ("x509", "keyAlgorithm") => *value == json!("EcdsaP256"),
        ("x509", "ca") => *value == json!({"selfSigned": {}}),
        ("x509", "renewBefore") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sources(json: Json) -> BTreeMap<String, KeySource> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn settings_that_say_the_same_are_no_change() {
        let made = GeneratorRecord::made(&sources(json!({
            "a": {"password": {}}, "b": {"hex": {}}, "c": {"base64": {"urlSafe": false}}, "d": {"rsa": {"bits": 3072}},
            "e": {"ecdsa": {}}, "tls": {"x509": {"commonName": "x"}},
        })));
        let same = sources(json!({
            "a": {"password": {"length": 32, "upper": true}}, "b": {"hex": {"bytes": 32}}, "c": {"base64": {}}, "d": {"rsa": {}},
            "e": {"ecdsa": {"curve": "P256"}},
            "tls": {"x509": {"commonName": "x", "isCA": false, "keyAlgorithm": "EcdsaP256", "ca": {"selfSigned": {}}}},
        }));
        assert_eq!(made.changed(&same), Vec::<&str>::new());
        let other = sources(json!({
            "a": {"password": {"length": 33}}, "b": {"hex": {"bytes": 16}}, "c": {"base64": {"urlSafe": true}},
            "d": {"rsa": {"bits": 4096}}, "e": {"ed25519": {}}, "tls": {"x509": {"commonName": "y"}},
        }));
        assert_eq!(made.changed(&other), ["a", "b", "c", "d", "e", "tls"]);
    }

    #[test]
    fn what_was_a_literal_is_a_changed_generator_and_the_text_of_a_literal_is_not_remembered() {
        let one = GeneratorRecord::made(&sources(json!({"a": {"literal": "one"}})));
        assert_eq!(
            one,
            GeneratorRecord::made(&sources(json!({"a": {"literal": "two"}})))
        );
        assert_eq!(
            one.changed(&sources(json!({"a": {"literal": "two"}}))),
            Vec::<&str>::new()
        );
        assert_eq!(one.changed(&sources(json!({"a": {"password": {}}}))), ["a"]);
    }

    #[test]
    fn nothing_is_said_of_what_is_not_remembered() {
        let now = sources(json!({"a": {"password": {"length": 64}}}));
        let mut record = GeneratorRecord::default();
        assert_eq!(record.changed(&now), Vec::<&str>::new());
        record.assume(&now, |key| key == "a");
        assert_eq!(record.changed(&now), Vec::<&str>::new());
        assert_eq!(record.changed(&sources(json!({"a": {"password": {}}}))), ["a"]);
    }

    #[test]
    fn the_text_is_that_of_the_first_release() {
        let record = GeneratorRecord::made(&sources(json!({"password": {"password": {"length": 20}}})));
        let text = record.to_string();
        assert_eq!(text.len(), 11);
        assert!(text.starts_with('='));
        assert_eq!(text.parse(), Ok(record));
        for wrong in ["", "x", "=abc", "+0123456789ab"] {
            assert_eq!(wrong.parse::<GeneratorRecord>(), Err(RecordError), "{wrong}");
        }
    }

    #[test]
    fn a_record_is_bounded_and_what_is_named_stays() {
        let mut record = GeneratorRecord::foreign();
        for number in 0..200 {
            record.remade(&format!("old{number}"), &KeySource::Literal(String::new()));
        }
        let named = sources(json!({"new": {"password": {}}}));
        record.remade("new", &named["new"]);
        let bounded = record.bounded(&named);
        assert_eq!(bounded.settings.len(), MAX_KEYS);
        assert_eq!(bounded.changed(&sources(json!({"new": {"uuid": {}}}))), ["new"]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(foreign: bool, names in prop::collection::btree_set("[a-z.]{1,8}", 0..40)) {
            let mut record = if foreign { GeneratorRecord::foreign() } else { GeneratorRecord::default() };
            for name in &names {
                record.remade(name, &KeySource::Literal(name.clone()));
            }
            prop_assert_eq!(record.to_string().parse(), Ok(record));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<GeneratorRecord>();
        }
    }
}
