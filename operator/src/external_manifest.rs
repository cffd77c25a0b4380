//! Builds the ManagedSecrets that this process creates itself: their values arrive over the API. Pure.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;
use sha2::{Digest, Sha256};
use strongroom_crds::label;
use strongroom_crds::v1alpha1::{ExternalSource, ManagedSecret, ManagedSecretSpec, Source};
use strongroom_model::PRODUCT_SEPARATOR;

/// Longest DNS label (RFC 1123 section 2.1, RFC 1035 section 2.3.4).
const LABEL_BYTES: usize = 63;
/// What a name that is made up ends with: a dash, and so many characters of a digest.
const NAME_DIGEST_CHARS: usize = 8;

/// The name of the object of a secret: the secret's own, where that is a DNS label; otherwise what is left of
/// it, and a digest that tells such names apart.
pub(crate) fn object_name(secret: &str) -> String {
    let is_label = secret.len() <= LABEL_BYTES
        && secret.bytes().all(|byte| is_plain(byte) || byte == b'-')
        && !secret.starts_with('-')
        && !secret.ends_with('-')
        && !secret.is_empty();
    if is_label {
        return secret.to_owned();
    }
    let mut slug = String::new();
    for byte in secret.to_ascii_lowercase().bytes() {
        match is_plain(byte) {
            true => slug.push(char::from(byte)),
            false if slug.ends_with('-') || slug.is_empty() => {}
            false => slug.push('-'),
        }
    }
    slug.truncate(LABEL_BYTES - NAME_DIGEST_CHARS - 1);
    let slug = slug.trim_end_matches('-');
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(secret.as_bytes()));
    let digest = digest.get(..NAME_DIGEST_CHARS).unwrap_or_default();
    if slug.is_empty() {
        format!("s-{digest}")
    } else {
        format!("{slug}-{digest}")
    }
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// What a ManagedSecret says that is made here.
#[derive(Debug)]
pub(crate) struct ExternalManifest<'a> {
    pub(crate) secret: &'a str,
    pub(crate) description: Option<&'a str>,
    pub(crate) labels: &'a BTreeMap<String, String>,
    pub(crate) key: Option<&'a str>,
}

/// A ManagedSecret whose values arrive over the API.
pub(crate) fn external_managed_secret(name: &str, declared: &ExternalManifest<'_>) -> ManagedSecret {
    let spec = ManagedSecretSpec {
        store_name: Some(declared.secret.to_owned()).filter(|secret| secret != name),
        description: declared.description.map(str::to_owned),
        source: Source::External(ExternalSource::default()),
        readers: None,
        delivery: None,
        encryption_key: declared.key.map(str::to_owned),
        secret: None,
        deletion: None,
        suspend: None,
    };
    let mut labels = declared.labels.clone();
    if let Some((code, _)) = declared.secret.split_once(PRODUCT_SEPARATOR) {
        labels.insert(label::PRODUCT.to_owned(), code.to_owned());
    }
    let mut object = ManagedSecret::new(name, spec);
    object.metadata = ObjectMeta {
        labels: Some(labels).filter(|labels| !labels.is_empty()),
        ..object.metadata
    };
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_label_gets_one_of_its_own() {
        for label in ["db", "db-main", "0", &"a".repeat(63)] {
            assert_eq!(object_name(label), label);
        }
        let mut made = std::collections::BTreeSet::new();
        let long = "a".repeat(64);
        let odd = [
            "acs/db", "acs.db", "DB", "db-", "-db", "a@b", "a//b", "a/b", "@", "+", &long, "aa_",
        ];
        for odd in odd {
            let name = object_name(odd);
            assert!(name.len() <= LABEL_BYTES, "{name}");
            assert_eq!(object_name(&name), name, "it is a label: {name}");
            assert!(made.insert(name), "{odd}");
        }
        assert!(object_name("acs/db").starts_with("acs-db-"));
    }

    #[test]
    fn the_object_of_a_default_secret_names_its_product_and_no_other_does() {
        let made = |secret: &str| {
            let declared = ExternalManifest {
                secret,
                description: None,
                labels: &BTreeMap::from([("team".to_owned(), "red".to_owned())]),
                key: None,
            };
            external_managed_secret(&object_name(secret), &declared)
        };
        let object = made("pg!orders");
        assert_eq!(object.spec.store_name.as_deref(), Some("pg!orders"));
        let labels = object.metadata.labels.unwrap();
        assert_eq!(labels[label::PRODUCT], "pg");
        assert_eq!(labels["team"], "red");
        assert!(
            !made("orders")
                .metadata
                .labels
                .unwrap()
                .contains_key(label::PRODUCT)
        );
    }
}
