//! What templates can name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use strongroom_model::Value;

use super::Problem;
use super::uses::{self, Spelling};

/// The variable that holds all keys by name.
const KEYS: &str = "keys";
/// The variable that holds all secrets by name, where there are several.
const SECRETS: &str = "secrets";

/// What templates can name. `Debug` shows names only.
pub struct Scope {
    variables: minijinja::Value,
    names: Names,
}

/// The names: everybody may see them.
#[derive(Debug)]
enum Names {
    /// Keys of one secret.
    Keys(BTreeSet<String>),
    /// Secrets, each with its keys.
    Secrets(BTreeMap<String, BTreeSet<String>>),
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.names).finish()
    }
}

impl Scope {
    /// The keys of a value: each that is an identifier, and all of them in `keys`.
    #[must_use]
    pub fn from_value(value: &Value) -> Self {
        let keys = keys_of(value);
        let mut variables: BTreeMap<String, minijinja::Value> = keys
            .iter()
            .filter(|(name, _)| uses::is_identifier(name))
            .map(|(name, key)| (name.clone(), key.clone()))
            .collect();
        let names = Names::Keys(keys.keys().cloned().collect());
        variables.insert(KEYS.to_owned(), minijinja::Value::from(keys));
        Self {
            variables: minijinja::Value::from(variables),
            names,
        }
    }

    /// Several secrets by name, each with its keys: `{{ db.password }}`; and all of them in `secrets`, unless
    /// one is called so.
    #[must_use]
    pub fn from_secrets<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        let mut names = BTreeMap::new();
        let mut variables = BTreeMap::new();
        for (name, value) in secrets {
            names.insert(name.to_owned(), value.names().map(str::to_owned).collect());
            variables.insert(name.to_owned(), minijinja::Value::from(keys_of(value)));
        }
        let all = minijinja::Value::from(variables.clone());
        variables.entry(SECRETS.to_owned()).or_insert(all);
        Self {
            variables: minijinja::Value::from(variables),
            names: Names::Secrets(names),
        }
    }

    pub(super) const fn variables(&self) -> &minijinja::Value {
        &self.variables
    }

    /// Names that the language cannot reach by themselves, and how they are written instead.
    pub(super) fn spellings(&self) -> Vec<Spelling> {
        let spelling = |name: &str, written: String| Spelling {
            name: name.to_owned(),
            written,
        };
        let odd = |name: &&String| !uses::is_plain(name);
        match &self.names {
            Names::Keys(keys) => keys
                .iter()
                .filter(odd)
                .map(|key| spelling(key, format!("{KEYS}[\"{key}\"]")))
                .collect(),
            Names::Secrets(secrets) => {
                let aliases = secrets
                    .keys()
                    .filter(odd)
                    .map(|alias| spelling(alias, format!("{SECRETS}[\"{alias}\"]")));
                // `true` behind a dot is a key's name.
                let keys = secrets.iter().flat_map(|(alias, keys)| {
                    let odd = keys.iter().filter(|key| !uses::is_identifier(key));
                    let map = if uses::is_plain(alias) {
                        alias.clone()
                    } else {
                        format!("{SECRETS}[\"{alias}\"]")
                    };
                    odd.map(move |key| spelling(&format!("{alias}.{key}"), format!("{map}[\"{key}\"]")))
                });
                aliases.chain(keys).collect()
            }
        }
    }

    /// Names of keys that a template uses, as it is read; `variables` are the engine's, with attributes.
    pub(super) fn used(&self, template: &str, variables: &BTreeSet<String>) -> Vec<String> {
        let used = |map: &str, key: &str| {
            variables.contains(&format!("{map}.{key}")) || uses::in_brackets(template, map, key)
        };
        match &self.names {
            Names::Keys(keys) => keys
                .iter()
                .filter(|key| variables.contains(*key) || used(KEYS, key))
                .cloned()
                .collect(),
            Names::Secrets(secrets) => secrets
                .iter()
                .flat_map(|(alias, keys)| keys.iter().map(move |key| (alias, key)))
                .filter(|(alias, key)| used(alias, key))
                .map(|(alias, key)| format!("{alias}.{key}"))
                .collect(),
        }
    }

    /// What the template names and there is not, where it does not ask whether it is there.
    pub(super) fn unknown(&self, template: &str, variables: &BTreeSet<String>) -> Option<Problem> {
        let first = |variable: &str| variable.split('.').next().unwrap_or_default().to_owned();
        let asked = |name: &str| uses::is_guarded(template, name);
        let quoted = |names: &BTreeSet<String>| {
            let names = names.iter().map(|name| format!("`{name}`"));
            names.collect::<Vec<_>>().join(", ")
        };
        match &self.names {
            Names::Keys(keys) => {
                let of_keys = variables
                    .iter()
                    .filter_map(|variable| variable.strip_prefix("keys."));
                let bracketed = uses::bracketed(template, KEYS);
                let named = variables.iter().map(|variable| first(variable));
                let named = named.filter(|name| name != KEYS).chain(of_keys.map(first));
                let unknown: BTreeSet<String> = named
                    .chain(bracketed.into_iter().map(str::to_owned))
                    .filter(|name| !keys.contains(name) && !asked(name))
                    .collect();
                (!unknown.is_empty()).then(|| Problem::UnknownName {
                    names: quoted(&unknown),
                    example: self
                        .spellings()
                        .into_iter()
                        .next()
                        .map_or_else(|| format!("{KEYS}[\"a.b\"]"), |spelling| spelling.written),
                })
            }
            Names::Secrets(secrets) => {
                let named = variables.iter().map(|variable| first(variable));
                let unknown: BTreeSet<String> = named
                    .filter(|name| name != SECRETS && !secrets.contains_key(name) && !asked(name))
                    .collect();
                if !unknown.is_empty() {
                    return Some(Problem::UnknownSecret {
                        names: quoted(&unknown),
                    });
                }
                let of_secret = |(alias, keys): (&String, &BTreeSet<String>)| {
                    let dotted = variables.iter().filter_map(|variable| {
                        Some(first(variable.strip_prefix(alias.as_str())?.strip_prefix('.')?))
                    });
                    let bracketed = uses::bracketed(template, alias).into_iter().map(str::to_owned);
                    let unknown = dotted
                        .chain(bracketed)
                        .filter(|key| !keys.contains(key) && !asked(key));
                    unknown.map(|key| format!("{alias}.{key}")).collect::<Vec<_>>()
                };
                let unknown: BTreeSet<String> = secrets.iter().flat_map(of_secret).collect();
                (!unknown.is_empty()).then(|| Problem::UnknownKey {
                    names: quoted(&unknown),
                })
            }
        }
    }
}

fn keys_of(value: &Value) -> BTreeMap<String, minijinja::Value> {
    value
        .iter()
        .map(|(name, bytes)| {
            let bytes = bytes.expose();
            let variable = match std::str::from_utf8(bytes) {
                Ok(text) => minijinja::Value::from(text),
                Err(_) => minijinja::Value::from_bytes(bytes.to_vec()),
            };
            (name.to_owned(), variable)
        })
        .collect()
}
