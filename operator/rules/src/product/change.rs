//! Whether a SecretProduct is the one that the secrets of its code were made by.
//!
//! INVARIANT: with the secrets of a product nobody becomes its manager by applying another product of its
//! name, or by making the namespace of a manager again.

use std::collections::BTreeMap;

use super::directory::ProductState;
use crate::uid::Uid;

/// What a product is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductIdentity {
    /// UID of the SecretProduct.
    pub incarnation: Uid,
    /// The managers by namespace and name, each with the UID of its namespace; none where there is no such
    /// namespace, or it is not known yet.
    pub managers: BTreeMap<(String, String), Option<Uid>>,
}

impl ProductIdentity {
    /// The namespaces of the managers whose UID is known.
    fn namespaces(&self) -> BTreeMap<&str, &Uid> {
        self.managers
            .iter()
            .filter_map(|((namespace, _), uid)| Some((namespace.as_str(), uid.as_ref()?)))
            .collect()
    }
}

/// What became of a product since it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProductChange {
    /// There never was one.
    None,
    /// There was none before: it is recorded.
    New,
    /// It is as recorded.
    Same,
    /// It was deleted and applied again with the same managers and namespaces: it is recorded, and people are
    /// told.
    Again,
    /// The same object has other managers by now, or a namespace came to be known: it is recorded.
    Edited,
    /// It is another one: nothing of its secrets is changed until somebody adopts it.
    Changed {
        /// How it differs, in words.
        differences: Vec<String>,
    },
    /// It is gone; its record stays.
    Absent,
}

impl ProductChange {
    /// Whether the product may act. A product that never was has no state.
    #[must_use]
    pub const fn state(&self) -> Option<ProductState> {
        match self {
            Self::None => None,
            Self::New | Self::Same | Self::Again | Self::Edited => Some(ProductState::Present),
            Self::Changed { .. } => Some(ProductState::Changed),
            Self::Absent => Some(ProductState::Absent),
        }
    }
}

/// What became of a product, by what was recorded of it and what its SecretProduct says now.
#[must_use]
pub fn compare_product(
    recorded: Option<&ProductIdentity>,
    declared: Option<&ProductIdentity>,
) -> ProductChange {
    let (recorded, declared) = match (recorded, declared) {
        (None, None) => return ProductChange::None,
        (None, Some(_)) => return ProductChange::New,
        (Some(_), None) => return ProductChange::Absent,
        (Some(recorded), Some(declared)) => (recorded, declared),
    };
    let same_object = recorded.incarnation == declared.incarnation;
    let mut differences = made_again(recorded, declared);
    if !same_object {
        differences.extend(other_managers(recorded, declared));
    }
    if !differences.is_empty() {
        return ProductChange::Changed { differences };
    }
    match (same_object, has_learned(recorded, declared)) {
        (true, false) => ProductChange::Same,
        (true, true) => ProductChange::Edited,
        (false, _) => ProductChange::Again,
    }
}

fn account((namespace, name): &(String, String)) -> String {
    format!("ServiceAccount `{name}` of namespace `{namespace}`")
}

/// Namespaces that are others than was recorded, whichever managers are in them by now.
fn made_again(recorded: &ProductIdentity, declared: &ProductIdentity) -> Vec<String> {
    let before = recorded.namespaces();
    declared
        .namespaces()
        .into_iter()
        .filter(|(namespace, now)| before.get(namespace).is_some_and(|before| before != now))
        .map(|(namespace, _)| format!("namespace `{namespace}` of a manager was made again"))
        .collect()
}

fn other_managers(recorded: &ProductIdentity, declared: &ProductIdentity) -> Vec<String> {
    let added = declared
        .managers
        .keys()
        .filter(|manager| !recorded.managers.contains_key(*manager))
        .map(|manager| format!("{} was no manager", account(manager)));
    let removed = recorded
        .managers
        .keys()
        .filter(|manager| !declared.managers.contains_key(*manager))
        .map(|manager| format!("{} is no manager any more", account(manager)));
    added.chain(removed).collect()
}

/// Whether there is something to record: another set of managers, or a namespace whose UID was not known. A
/// namespace that is gone keeps the UID that it had.
fn has_learned(recorded: &ProductIdentity, declared: &ProductIdentity) -> bool {
    let unknown = |(manager, uid): (&(String, String), &Option<Uid>)| {
        uid.is_some() && recorded.managers.get(manager) != Some(uid)
    };
    !recorded.managers.keys().eq(declared.managers.keys()) || declared.managers.iter().any(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Managers by namespace and the UID of that, each called `controller`.
    fn identity(incarnation: &str, managers: &[(&str, Option<&str>)]) -> ProductIdentity {
        ProductIdentity {
            incarnation: Uid::new(incarnation),
            managers: managers
                .iter()
                .map(|(namespace, uid)| {
                    let manager = ((*namespace).to_owned(), "controller".to_owned());
                    (manager, uid.map(Uid::new))
                })
                .collect(),
        }
    }

    #[test]
    fn a_product_is_the_same_only_with_its_managers_and_their_namespaces() {
        let recorded = identity("1", &[("aigw", Some("a"))]);
        let compare = |declared: &ProductIdentity| compare_product(Some(&recorded), Some(declared));
        for (declared, expected) in [
            (identity("1", &[("aigw", Some("a"))]), ProductChange::Same),
            (identity("2", &[("aigw", Some("a"))]), ProductChange::Again),
            // The namespace is gone; when it is back, its UID tells.
            (identity("1", &[("aigw", None)]), ProductChange::Same),
            // Whoever may edit the object adds managers and takes them away.
            (
                identity("1", &[("aigw", Some("a")), ("more", Some("m"))]),
                ProductChange::Edited,
            ),
            (identity("1", &[("more", Some("m"))]), ProductChange::Edited),
        ] {
            assert_eq!(compare(&declared), expected, "{declared:?}");
        }
        let made_again = "namespace `aigw` of a manager was made again";
        for (declared, said) in [
            (identity("1", &[("aigw", Some("b"))]), made_again),
            (identity("2", &[("aigw", Some("b"))]), made_again),
            (
                identity("2", &[("aigw", Some("a")), ("more", Some("m"))]),
                "ServiceAccount `controller` of namespace `more` was no manager",
            ),
            (
                identity("2", &[("more", Some("m"))]),
                "ServiceAccount `controller` of namespace `aigw` is no manager any more",
            ),
        ] {
            match compare(&declared) {
                ProductChange::Changed { differences } => {
                    assert!(differences.iter().any(|text| text == said), "{differences:?}");
                }
                other => panic!("{declared:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn another_manager_in_a_namespace_that_was_made_again_is_no_way_around() {
        let recorded = identity("1", &[("aigw", Some("a"))]);
        let declared = ProductIdentity {
            incarnation: Uid::new("1"),
            managers: BTreeMap::from([(("aigw".to_owned(), "other".to_owned()), Some(Uid::new("b")))]),
        };
        let change = compare_product(Some(&recorded), Some(&declared));
        assert_eq!(change.state(), Some(ProductState::Changed), "{change:?}");
    }

    #[test]
    fn a_namespace_that_was_not_known_is_learned_once() {
        let recorded = identity("1", &[("aigw", None)]);
        let declared = identity("1", &[("aigw", Some("a"))]);
        let compare = |recorded, declared| compare_product(Some(recorded), Some(declared));
        assert_eq!(compare(&recorded, &declared), ProductChange::Edited);
        assert_eq!(compare(&declared, &declared), ProductChange::Same);
        // Restored into another cluster: the object is another one, and no namespace is known.
        let elsewhere = identity("2", &[("aigw", Some("b"))]);
        assert_eq!(compare(&recorded, &elsewhere), ProductChange::Again);
    }

    #[test]
    fn only_a_product_that_was_there_is_gone() {
        let one = identity("1", &[("aigw", Some("a"))]);
        for (recorded, declared, expected, state) in [
            (None, None, ProductChange::None, None),
            (None, Some(&one), ProductChange::New, Some(ProductState::Present)),
            (
                Some(&one),
                None,
                ProductChange::Absent,
                Some(ProductState::Absent),
            ),
        ] {
            let change = compare_product(recorded, declared);
            assert_eq!((&change, change.state()), (&expected, state));
        }
    }
}
