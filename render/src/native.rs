//! The data of a native Secret: which keys are copied, which are rendered, and whether its type takes them.
//! The API server's rules for a type (`ValidateSecret` in Kubernetes' `pkg/apis/core/validation`) are asked
//! here first: its own messages show a part of the value.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};
use strongroom_model::Value;

use crate::mismatch::{Detail, Mismatch};
use crate::template::{Renderer, Scope, TemplateError};

/// Largest data of a Secret, in bytes, as the API server counts it: all values, without the keys.
pub const DATA_BYTES: usize = 1_048_576;

/// What a native Secret is made of.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    /// The `type` of the Secret, whose rules the data have to meet.
    pub type_: &'a str,
    /// The keys of the value that are copied; none: all of them, or none beside a template.
    pub keys: Option<&'a [String]>,
    /// Templates by the key that each fills.
    pub templates: Option<&'a BTreeMap<String, String>>,
}

/// Why a value does not become the data of a native Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// `secret.keys` names a key that the value does not have.
    #[error("`secret.keys` names `{key}`, which the value does not have; it has {present}")]
    UnknownKey {
        /// The key as the spec names it.
        key: String,
        /// The keys there are, quoted.
        present: String,
    },
    /// The type requires a key.
    #[error(
        "a Secret of type `{type_}` needs {needed}: make it with `secret.template`, or choose another type"
    )]
    MissingForType {
        /// The `type` as the spec names it.
        type_: String,
        /// The keys, quoted.
        needed: &'static str,
    },
    /// A template is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The value does not fit the templates or the type.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

/// The data. What does not depend on the value is looked at first, so that what is said of a value is the
/// same for all that don't fit.
///
/// # Errors
/// A [`DataError`]; it names keys and fields, never bytes.
pub fn data(recipe: Recipe<'_>, value: &Value) -> Result<Value, DataError> {
    let none = BTreeMap::new();
    let templates = recipe.templates.unwrap_or(&none);
    let mut data = copied(recipe, value)?;
    let mut renderer = Renderer::new(Scope::from_value(value));
    for (key, text) in templates {
        renderer.check(key, text)?;
    }
    let names: BTreeSet<&str> = data.names().chain(templates.keys().map(String::as_str)).collect();
    if let Some(needed) = missing_for_type(recipe.type_, &names) {
        return Err(DataError::MissingForType {
            type_: recipe.type_.to_owned(),
            needed,
        });
    }
    let made: Result<(), Detail> = templates
        .iter()
        .try_for_each(|(key, text)| {
            data.insert(key.clone(), renderer.render(key, text)?);
            Ok(())
        })
        .and_then(|()| fits(recipe.type_, &data));
    match made {
        Ok(()) => Ok(data),
        Err(detail) => {
            let asked = templates.iter().map(|(key, text)| renderer.demand(key, text));
            let mut places: Vec<String> = asked.collect::<Result<_, _>>()?;
            places.extend(demand_of_type(recipe.type_));
            Err(Mismatch::new(&places, detail).into())
        }
    }
}

/// The keys of the value that are copied.
fn copied(recipe: Recipe<'_>, value: &Value) -> Result<Value, DataError> {
    let Some(keys) = recipe.keys else {
        let templated = recipe.templates.is_some_and(|templates| !templates.is_empty());
        return Ok(if templated {
            Value::new()
        } else {
            value.duplicate()
        });
    };
    keys.iter()
        .map(|key| match value.key(key) {
            Some(bytes) => Ok((key.clone(), bytes.duplicate())),
            None => {
                let present: Vec<String> = value.names().map(|name| format!("`{name}`")).collect();
                Err(DataError::UnknownKey {
                    key: key.clone(),
                    present: present.join(", "),
                })
            }
        })
        .collect()
}

/// What the API server requires of a type and the keys lack.
fn missing_for_type(type_: &str, names: &BTreeSet<&str>) -> Option<&'static str> {
    let all = |needed: &[&str]| needed.iter().all(|key| names.contains(key));
    let (complete, needed) = match type_ {
        "kubernetes.io/tls" => (all(&["tls.crt", "tls.key"]), "`tls.crt` and `tls.key`"),
        "kubernetes.io/ssh-auth" => (all(&["ssh-privatekey"]), "`ssh-privatekey`"),
        "kubernetes.io/dockerconfigjson" => (all(&[".dockerconfigjson"]), "`.dockerconfigjson`"),
        "kubernetes.io/dockercfg" => (all(&[".dockercfg"]), "`.dockercfg`"),
        "kubernetes.io/basic-auth" => (
            names.contains("username") || names.contains("password"),
            "`username` or `password`",
        ),
        _ => (true, ""),
    };
    (!complete).then_some(needed)
}

/// Whether the API server takes what is in the keys.
fn fits(type_: &str, data: &Value) -> Result<(), Detail> {
    let size: usize = data.iter().map(|(_, bytes)| bytes.expose().len()).sum();
    if size > DATA_BYTES {
        return Err(Detail::new(format!(
            "all keys together are {size} bytes, and at most {DATA_BYTES}"
        )));
    }
    let of = |key: &str| data.key(key).map(|bytes| bytes.expose()).unwrap_or_default();
    match type_ {
        "kubernetes.io/dockerconfigjson" => json(".dockerconfigjson", of(".dockerconfigjson")),
        "kubernetes.io/dockercfg" => json(".dockercfg", of(".dockercfg")),
        "kubernetes.io/ssh-auth" if of("ssh-privatekey").is_empty() => {
            Err(Detail::new("`ssh-privatekey` is empty"))
        }
        _ => Ok(()),
    }
}

fn json(key: &str, bytes: &[u8]) -> Result<(), Detail> {
    let read = serde_json::from_slice::<Map<String, Json>>(bytes);
    read.map(drop)
        .map_err(|error| Detail::new(format!("`{key}` is not a JSON object: {error}")))
}

/// What a type asks of the value.
fn demand_of_type(type_: &str) -> Option<String> {
    let asked = match type_ {
        "kubernetes.io/dockerconfigjson" => {
            "a JSON object in `.dockerconfigjson`; in a template `| tojson` puts a text with its quotes into it"
        }
        "kubernetes.io/dockercfg" => {
            "a JSON object in `.dockercfg`; in a template `| tojson` puts a text with its quotes into it"
        }
        "kubernetes.io/ssh-auth" => "a private key in `ssh-privatekey`, and not nothing",
        _ => return None,
    };
    Some(format!("a Secret of type `{type_}` has {asked}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(keys: &[(&str, &[u8])]) -> Value {
        let mut value = Value::new();
        for (key, bytes) in keys {
            value.insert(*key, bytes.to_vec());
        }
        value
    }

    fn docker(password: &str) -> Result<Value, DataError> {
        let text = r#"{"auths":{"r":{"password":"{{ password }}"}}}"#;
        let templates = BTreeMap::from([(".dockerconfigjson".to_owned(), text.to_owned())]);
        let recipe = Recipe {
            type_: "kubernetes.io/dockerconfigjson",
            keys: None,
            templates: Some(&templates),
        };
        data(recipe, &value(&[("password", password.as_bytes())]))
    }

    #[test]
    fn a_docker_configuration_that_is_no_json_is_refused_without_a_byte_of_it() {
        assert!(docker("abc").is_ok());
        let refused = docker("abc\"Zdef").unwrap_err();
        for other in ["abc\"7def", "\"", "\n", "\\"] {
            let error = docker(other).unwrap_err();
            assert_eq!(
                (error.to_string(), format!("{error:?}")),
                (refused.to_string(), format!("{refused:?}"))
            );
        }
        let said = refused.to_string();
        assert!(
            said.contains("`| tojson`") && said.contains("key `password`"),
            "{said}"
        );
        let DataError::Mismatch(mismatch) = refused else {
            panic!("{refused}")
        };
        assert!(
            mismatch.detail().expose().contains("line 1 column"),
            "{}",
            mismatch.detail().expose()
        );
    }

    #[test]
    fn types_take_what_the_api_server_takes() {
        let made = |type_: &str, keys: &[(&str, &[u8])]| {
            let recipe = Recipe {
                type_,
                keys: None,
                templates: None,
            };
            data(recipe, &value(keys))
        };
        for good in [b"{}".as_slice(), br#"{"auths":{}}"#, b" {\n} "] {
            assert!(made("kubernetes.io/dockercfg", &[(".dockercfg", good)]).is_ok());
        }
        for bad in [
            b"".as_slice(),
            b"[]",
            b"null",
            b"\"{}\"",
            b"{\"a\":1e999}",
            b"\xef\xbb\xbf{}",
            b"{",
        ] {
            let error = made("kubernetes.io/dockercfg", &[(".dockercfg", bad)]).unwrap_err();
            assert!(matches!(error, DataError::Mismatch(_)), "{bad:?}");
        }
        assert!(made("kubernetes.io/ssh-auth", &[("ssh-privatekey", b"x")]).is_ok());
        assert!(made("kubernetes.io/ssh-auth", &[("ssh-privatekey", b"")]).is_err());
        assert!(made("kubernetes.io/tls", &[("tls.crt", b""), ("tls.key", b"")]).is_ok());
        assert!(made("kubernetes.io/basic-auth", &[("password", b"")]).is_ok());
    }

    proptest::proptest! {
        /// Of every type: condition, Event and log say the same of every two values that the API server would
        /// refuse.
        #[test]
        fn every_two_values_that_do_not_fit_are_refused_in_the_same_words(
            type_ in proptest::sample::select(vec![
                "Opaque", "kubernetes.io/tls", "kubernetes.io/ssh-auth", "kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg",
                "kubernetes.io/basic-auth",
            ]),
            templated: bool,
            one in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..12),
            other in "[{}\":,a0 ]{0,12}",
        ) {
            let names = ["tls.crt", "tls.key", "ssh-privatekey", ".dockerconfigjson", ".dockercfg", "username"];
            let text = |name: &str| (name.to_owned(), format!("{{{{ keys['{name}'] | trim }}}}"));
            let templates = BTreeMap::from(names.map(text));
            let refused = |bytes: &[u8]| {
                let recipe = Recipe { type_, keys: None, templates: templated.then_some(&templates) };
                let made = data(recipe, &value(&names.map(|name| (name, bytes))));
                made.map(drop).map_err(|error| format!("{error} {error:?}"))
            };
            if let (Err(one), Err(other)) = (refused(&one), refused(other.as_bytes())) {
                proptest::prop_assert_eq!(one, other);
            }
        }
    }
}
