//! Compares a SecretProduct with the one that the store recorded: what the store has to record, or what a
//! person has to accept first. `strongroom_rules::product` decides whether it counts as another product.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use strongroom_model::name::{ExternalId, NamespaceName};
use strongroom_model::time::Timestamp;
use strongroom_model::{Hosting, ProductCode};
use strongroom_rules::product::{ProductChange, ProductIdentity, compare_product};
use strongroom_rules::uid::Uid;
use strongroom_store::vault::{ProductManager, ProductQuota, ProductRecord};

/// Hexadecimal digits of an adoption token.
const TOKEN_CHARS: usize = 16;

/// A SecretProduct as it is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObservedProduct {
    /// `metadata.name`.
    pub(crate) code: ProductCode,
    /// `metadata.uid`.
    pub(crate) uid: ExternalId,
    /// `metadata.creationTimestamp`.
    pub(crate) created: Timestamp,
    /// `spec.managers`: namespace and name of each ServiceAccount.
    pub(crate) managers: BTreeSet<(NamespaceName, String)>,
    /// `spec.hosting`, each with its quota.
    pub(crate) hosting: BTreeMap<Hosting, ProductQuota>,
    /// Annotation `strongroom.dev/adopt-product`.
    pub(crate) adopts: Option<String>,
}

/// Whether the product is the one that the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProductRecognition {
    /// It is, or there was none.
    Recognized {
        /// What the store is to know of it.
        record: ProductRecord,
        /// How it came to be so.
        arrival: ProductArrival,
    },
    /// It is another one, and waits for a person.
    Changed {
        /// How it differs, in words.
        differences: Vec<String>,
        /// What the annotation has to say.
        token: String,
    },
}

/// How a product came to be as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProductArrival {
    /// There was none of this code.
    First,
    /// Its object is the one that is recorded.
    Recorded,
    /// It was deleted, and is applied again with the same managers.
    Returned,
    /// A person accepted its managers.
    Adopted,
}

/// Compares a product with what the store knows of its code. `namespace_uid` is what the cluster says of a
/// namespace; none where it is not there.
pub(crate) fn recognize(
    known: Option<&ProductRecord>,
    observed: &ObservedProduct,
    namespace_uid: impl Fn(&NamespaceName) -> Option<ExternalId>,
) -> ProductRecognition {
    let managers = managers(known, observed, &namespace_uid);
    let recorded = known.map(recorded_identity);
    let declared = declared_identity(observed, &namespace_uid);
    let (arrival, adopted) = match compare_product(recorded.as_ref(), Some(&declared)) {
        ProductChange::None | ProductChange::New | ProductChange::Absent => (ProductArrival::First, false),
        ProductChange::Same | ProductChange::Edited => {
            // An edit that names other managers is nobody's adoption.
            let same = recorded.is_some_and(|recorded| recorded.managers.keys().eq(declared.managers.keys()));
            let was_adopted = known.is_some_and(|known| known.adopted);
            (ProductArrival::Recorded, was_adopted && same)
        }
        ProductChange::Again => (ProductArrival::Returned, known.is_some_and(|known| known.adopted)),
        ProductChange::Changed { differences } => {
            let token = adoption_token(&observed.uid, &managers);
            if observed.adopts.as_deref() != Some(token.as_str()) {
                return ProductRecognition::Changed { differences, token };
            }
            (ProductArrival::Adopted, true)
        }
    };
    let record = ProductRecord {
        code: observed.code.clone(),
        incarnation: observed.uid.clone(),
        since: known.map_or(observed.created, |known| known.since),
        managers,
        hosting: observed.hosting.clone(),
        adopted,
    };
    ProductRecognition::Recognized { record, arrival }
}

fn rules_uid(uid: &ExternalId) -> Uid {
    Uid::new(uid.as_str())
}

fn recorded_identity(known: &ProductRecord) -> ProductIdentity {
    let managers = known.managers.iter().map(|manager| {
        let account = (manager.namespace.to_string(), manager.name.clone());
        (account, manager.namespace_uid.as_ref().map(rules_uid))
    });
    ProductIdentity {
        incarnation: rules_uid(&known.incarnation),
        managers: managers.collect(),
    }
}

fn declared_identity(
    observed: &ObservedProduct,
    namespace_uid: &impl Fn(&NamespaceName) -> Option<ExternalId>,
) -> ProductIdentity {
    let managers = observed.managers.iter().map(|(namespace, name)| {
        let account = (namespace.to_string(), name.clone());
        (account, namespace_uid(namespace).as_ref().map(rules_uid))
    });
    ProductIdentity {
        incarnation: rules_uid(&observed.uid),
        managers: managers.collect(),
    }
}

/// The managers as the store is to know them. Where a namespace is not there, what was known of it stays:
/// somebody else may make it again.
fn managers(
    known: Option<&ProductRecord>,
    observed: &ObservedProduct,
    namespace_uid: &impl Fn(&NamespaceName) -> Option<ExternalId>,
) -> BTreeSet<ProductManager> {
    let recorded = |namespace: &NamespaceName| {
        let managers = known.into_iter().flat_map(|known| &known.managers);
        managers
            .filter(|manager| manager.namespace == *namespace)
            .find_map(|manager| manager.namespace_uid.clone())
    };
    let managers = observed.managers.iter().map(|(namespace, name)| ProductManager {
        namespace_uid: namespace_uid(namespace).or_else(|| recorded(namespace)),
        namespace: namespace.clone(),
        name: name.clone(),
    });
    managers.collect()
}

/// What a person accepts: this object with these managers in these namespaces, and no later ones.
fn adoption_token(uid: &ExternalId, managers: &BTreeSet<ProductManager>) -> String {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update(text.as_bytes());
        digest.update([0_u8]);
    };
    add(uid.as_str());
    for manager in managers {
        add(manager.namespace.as_str());
        add(&manager.name);
        add(manager.namespace_uid.as_ref().map_or("", ExternalId::as_str));
    }
    let mut token = HEXLOWER.encode(&digest.finalize());
    token.truncate(TOKEN_CHARS);
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ExternalId {
        ExternalId::new(text).unwrap()
    }

    fn namespace(name: &str) -> NamespaceName {
        NamespaceName::new(name).unwrap()
    }

    fn observed(uid: &str, managers: &[(&str, &str)]) -> ObservedProduct {
        ObservedProduct {
            code: ProductCode::new("pg").unwrap(),
            uid: id(uid),
            created: Timestamp::from_millis(7_000),
            managers: managers
                .iter()
                .map(|(home, name)| (namespace(home), (*name).to_owned()))
                .collect(),
            hosting: BTreeMap::from([(
                Hosting::Free,
                ProductQuota {
                    per_namespace: 2,
                    total: 3,
                },
            )]),
            adopts: None,
        }
    }

    /// UIDs of namespaces: `(name, uid)`.
    fn cluster(there: &'static [(&str, &str)]) -> impl Fn(&NamespaceName) -> Option<ExternalId> {
        move |name| {
            let mut there = there.iter();
            there.find(|(of, _)| *of == name.as_str()).map(|(_, uid)| id(uid))
        }
    }

    fn same(recognition: ProductRecognition) -> (ProductRecord, ProductArrival) {
        match recognition {
            ProductRecognition::Recognized { record, arrival } => (record, arrival),
            changed @ ProductRecognition::Changed { .. } => panic!("{changed:?}"),
        }
    }

    const HOME: &[(&str, &str)] = &[("pg-system", "n-1"), ("ops", "n-5")];
    const MADE_AGAIN: &[(&str, &str)] = &[("pg-system", "n-2"), ("ops", "n-5")];

    fn first() -> ProductRecord {
        let product = observed("u-1", &[("pg-system", "pg")]);
        let (record, arrival) = same(recognize(None, &product, cluster(HOME)));
        assert_eq!(arrival, ProductArrival::First);
        assert_eq!(record.since, Timestamp::from_millis(7_000));
        record
    }

    #[test]
    fn the_same_object_goes_on_and_says_who_the_managers_are() {
        let known = first();
        let product = observed("u-1", &[("pg-system", "pg")]);
        let again = recognize(Some(&known), &product, cluster(HOME));
        assert_eq!(same(again), (known.clone(), ProductArrival::Recorded));
        let edited = observed("u-1", &[("ops", "pg"), ("pg-system", "pg-2")]);
        let (record, arrival) = same(recognize(Some(&known), &edited, cluster(HOME)));
        assert_eq!(arrival, ProductArrival::Recorded);
        assert_eq!((record.managers.len(), record.adopted), (2, false));
    }

    #[test]
    fn applied_again_with_the_same_managers_it_returns_and_keeps_its_age() {
        let known = first();
        let mut product = observed("u-2", &[("pg-system", "pg")]);
        product.created = Timestamp::from_millis(9_000);
        let (record, arrival) = same(recognize(Some(&known), &product, cluster(HOME)));
        assert_eq!((arrival, record.since), (ProductArrival::Returned, known.since));
        assert_eq!(record.incarnation, id("u-2"));
    }

    #[test]
    fn other_managers_and_namespaces_that_were_made_again_wait_for_a_person() {
        let known = first();
        let others = observed("u-2", &[("ops", "pg")]);
        let home_again = observed("u-1", &[("pg-system", "pg")]);
        let more = observed("u-2", &[("ops", "pg"), ("pg-system", "pg")]);
        for (mut product, there, expected) in [
            (others, HOME, "is no manager any more"),
            (more, HOME, "was no manager"),
            (
                home_again,
                MADE_AGAIN,
                "namespace `pg-system` of a manager was made again",
            ),
        ] {
            let ProductRecognition::Changed { differences, token } =
                recognize(Some(&known), &product, cluster(there))
            else {
                panic!("{product:?} counts as the same");
            };
            assert!(
                differences.iter().any(|why| why.contains(expected)),
                "{differences:?}"
            );
            assert_eq!(token.len(), TOKEN_CHARS);
            product.adopts = Some("0000000000000000".to_owned());
            let other = recognize(Some(&known), &product, cluster(there));
            assert!(matches!(other, ProductRecognition::Changed { .. }), "{other:?}");
            product.adopts = Some(token);
            let (record, arrival) = same(recognize(Some(&known), &product, cluster(there)));
            assert_eq!((arrival, record.adopted), (ProductArrival::Adopted, true));
            // From then on it is so.
            let later = same(recognize(Some(&record), &product, cluster(there)));
            assert_eq!(later, (record, ProductArrival::Recorded));
        }
    }

    #[test]
    fn an_adoption_counts_for_what_was_adopted_and_for_nothing_later() {
        const THIRD: &[(&str, &str)] = &[("pg-system", "n-3")];
        let known = first();
        let mut product = observed("u-1", &[("pg-system", "pg")]);
        let ProductRecognition::Changed { token, .. } =
            recognize(Some(&known), &product, cluster(MADE_AGAIN))
        else {
            panic!("it is the same");
        };
        product.adopts = Some(token);
        let (adopted, _) = same(recognize(Some(&known), &product, cluster(MADE_AGAIN)));
        let later = recognize(Some(&adopted), &product, cluster(THIRD));
        assert!(matches!(later, ProductRecognition::Changed { .. }), "{later:?}");
    }

    #[test]
    fn a_namespace_that_is_away_is_remembered_and_one_that_was_never_there_is_learned() {
        let known = first();
        let product = observed("u-1", &[("pg-system", "pg")]);
        let (away, _) = same(recognize(Some(&known), &product, cluster(&[])));
        assert_eq!(away, known);
        let back = recognize(Some(&away), &product, cluster(MADE_AGAIN));
        assert!(matches!(back, ProductRecognition::Changed { .. }), "{back:?}");
        // As after the restore into another cluster.
        let (unknown, _) = same(recognize(None, &product, cluster(&[])));
        assert_eq!(unknown.managers.first().unwrap().namespace_uid, None);
        let mut elsewhere = product;
        elsewhere.uid = id("u-9");
        let (learned, arrival) = same(recognize(Some(&unknown), &elsewhere, cluster(HOME)));
        assert_eq!(arrival, ProductArrival::Returned);
        assert_eq!(learned.managers.first().unwrap().namespace_uid, Some(id("n-1")));
    }
}
