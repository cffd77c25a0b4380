//! Names, stages and version ids as they stand in paths of requests.

use std::fmt::Display;
use std::str::FromStr;

use strongroom_model::name::{NamespaceName, SecretName, Stage, StageName, VersionId};
use strongroom_model::{DefaultSecretName, ProductCode};

fn one<T: FromStr + Display + PartialEq>(text: &str, most: usize) {
    if let Ok(name) = text.parse::<T>() {
        assert_eq!(name.to_string(), text, "it is written as something else");
        assert!(!text.is_empty() && text.len() <= most, "its length is not legal");
        assert!(
            text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%'),
            "it says more than it shows"
        );
    }
}

/// Reads a name of each kind: what is one is written as it was read, and shows all that it has.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    one::<NamespaceName>(text, NamespaceName::MAX);
    one::<SecretName>(text, SecretName::MAX);
    one::<Stage>(text, StageName::MAX);
    one::<VersionId>(text, VersionId::MAX);
    one::<ProductCode>(text, ProductCode::MAX);
    if let Ok(name) = SecretName::new(text) {
        default_secret(&name);
    }
}

/// A name is a product's, an ordinary one or nobody's; both parts of a product's are in it, and no more.
fn default_secret(name: &SecretName) {
    match DefaultSecretName::split(name) {
        Ok(Some(split)) => {
            assert_eq!(split.to_string(), name.as_str(), "the parts are not the whole");
            assert!(ProductCode::new(split.code()).is_ok(), "no product has this code");
            assert!(!split.identifier().contains('!'), "a part too many");
        }
        Ok(None) => assert!(!name.is_products(), "a product's name is ordinary"),
        Err(error) => assert!(
            name.is_products() && !error.to_string().is_empty(),
            "an error says nothing"
        ),
    }
}
