//! The matrix, cell by cell, and what a product's state adds to it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::json;
use strongroom_crds::v1alpha1::SecretProductSpec;
use strongroom_model::name::SecretName;
use strongroom_model::{DefaultSecretName, Hosting, ProductCode};

use super::matrix::{OPERATIONS, columns, operation_name};
use super::*;
use crate::policy::{Action, Identity, PolicyScope};
use crate::uid::Uid;

fn account(namespace: &str, name: &str) -> Identity {
    Identity::ServiceAccount {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn manager() -> Identity {
    account("aigw-system", "controller")
}

/// Product `aigw`, which may own secrets in `shop`.
fn product() -> ProductFacts {
    let spec: SecretProductSpec = serde_json::from_value(json!({
        "displayName": "AI gateway", "docs": "https://wiki.example.org/aigw",
        "managers": [{"namespace": "aigw-system", "name": "controller"}],
        "namespaces": {}, "hosting": ["Free", "Paid"],
        "quota": {"paid": {"perNamespace": 3, "total": 5}},
    }))
    .unwrap();
    ProductFacts::from_spec(
        ProductCode::new("aigw").unwrap(),
        &spec,
        (ProductState::Present, Timestamp::UNIX_EPOCH),
        NamespaceSelection::Named(BTreeSet::from(["shop".to_owned()])),
        |namespace| Some(Uid::new(format!("uid-of-{namespace}"))),
    )
}

fn directory(change: impl FnOnce(&mut ProductFacts)) -> ProductDirectory {
    let mut facts = product();
    change(&mut facts);
    ProductDirectory::new([facts])
}

/// What is said about `aigw!payments` in `shop` over the shared gateway.
fn said(
    directory: &ProductDirectory,
    identity: &Identity,
    hosting: Hosting,
    action: Action,
) -> Result<MatrixVerdict, ProductRefusal> {
    asked(
        directory,
        identity,
        ("shop", hosting, ListenerFacts::Shared),
        action,
    )
}

fn asked(
    directory: &ProductDirectory,
    identity: &Identity,
    (namespace, hosting, listener): (&str, Hosting, ListenerFacts<'_>),
    action: Action,
) -> Result<MatrixVerdict, ProductRefusal> {
    let name = SecretName::new("aigw!payments").unwrap();
    let target = Target {
        namespace,
        name: DefaultSecretName::split(&name).unwrap().unwrap(),
        hosting,
    };
    decide_product(directory, &directory.caller(identity), &target, action, listener)
}

/// The file as it is read here, without the parser that it is judged by.
fn written() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut lines = MATRIX_CSV.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let names: Vec<String> = columns()
        .map(|(role, hosting, listener)| {
            let hosting = hosting.as_str().to_lowercase();
            format!("{}-{hosting}-{}", role.as_str(), listener.as_str())
        })
        .collect();
    assert_eq!(head[0], "operation");
    assert_eq!(head[1..], names);
    lines.map(|line| (line[0], line[1..].to_vec())).collect()
}

#[test]
fn the_file_has_a_word_for_each_of_its_112_cells() {
    let written = written();
    let operations: Vec<&str> = written.iter().map(|(operation, _)| *operation).collect();
    assert_eq!(operations, OPERATIONS.map(operation_name));
    let mut cells = 0;
    for ((operation, words), action) in written.iter().zip(OPERATIONS) {
        assert_eq!(words.len(), 8, "{operation}");
        for (word, (role, hosting, listener)) in words.iter().zip(columns()) {
            let read = cell(action, role, hosting, listener);
            assert_eq!(
                read.as_str(),
                *word,
                "{operation} {role:?} {hosting} {listener:?}"
            );
            cells += 1;
        }
    }
    assert_eq!(cells, 112);
}

/// The matrix as a rule in words, beside the file.
#[test]
fn the_file_says_what_the_concept_does() {
    for action in OPERATIONS {
        for (role, hosting, listener) in columns() {
            let reads = matches!(
                action,
                Action::ListSecrets
                    | Action::DescribeSecret
                    | Action::ListSecretVersionIds
                    | Action::GetSecretValue
            );
            let about_policies = matches!(action, Action::SetSecretPolicy | Action::GetSecretPolicy);
            let expected = match (role, hosting, listener) {
                (_, Hosting::Free, ListenerKind::Dedicated) => MatrixCell::Hosting,
                (ProductRole::Manager, ..) if action.is_products() => MatrixCell::Yes,
                (ProductRole::Manager, ..) => MatrixCell::Managed,
                (ProductRole::User, Hosting::Free, _) if reads => MatrixCell::Identity,
                (ProductRole::User, Hosting::Free, _) if about_policies => MatrixCell::NoPolicy,
                (ProductRole::User, Hosting::Paid, _) if reads || about_policies => MatrixCell::Both,
                (ProductRole::User, ..) if action == Action::RotateSecret => MatrixCell::UserMay,
                (ProductRole::User, ..) => MatrixCell::Managed,
            };
            let found = cell(action, role, hosting, listener);
            assert_eq!(found, expected, "{action} {role:?} {hosting} {listener:?}");
        }
    }
}

#[test]
fn each_cell_is_answered() {
    let directory = directory(|_| {});
    let own = [ProductCode::new("aigw").unwrap()];
    for action in OPERATIONS {
        for (role, hosting, listener) in columns() {
            let came_by = match listener {
                ListenerKind::Shared => ListenerFacts::Shared,
                ListenerKind::Dedicated => ListenerFacts::Dedicated(&own),
            };
            assert_eq!(came_by.kind(), listener);
            let caller = match role {
                ProductRole::Manager => manager(),
                ProductRole::User => account("shop", "checkout"),
            };
            let answer = asked(&directory, &caller, ("shop", hosting, came_by), action);
            let place = format!("{action} {role:?} {hosting} {listener:?}: {answer:?}");
            let scope = match hosting {
                Hosting::Free => PolicyScope::IdentityOnly,
                Hosting::Paid => PolicyScope::Both,
            };
            match cell(action, role, hosting, listener) {
                MatrixCell::Yes | MatrixCell::Identity | MatrixCell::Both => {
                    assert_eq!(answer, Ok(MatrixVerdict { role, scope }), "{place}");
                }
                MatrixCell::Managed | MatrixCell::UserMay => {
                    assert!(matches!(answer, Err(ProductRefusal::Managed { .. })), "{place}");
                }
                MatrixCell::Hosting => {
                    let refused = matches!(answer, Err(ProductRefusal::DedicatedListener { .. }));
                    assert!(refused, "{place}");
                }
                MatrixCell::NoPolicy => {
                    let refused = matches!(answer, Err(ProductRefusal::NoSecretPolicies { .. }));
                    assert!(refused, "{place}");
                }
            }
        }
    }
}

#[test]
fn a_gateway_for_other_products_serves_neither_this_ones_secrets_nor_ordinary_ones() {
    let directory = directory(|product| product.users_rotate = true);
    let codes = |codes: &[&str]| -> Vec<ProductCode> {
        codes.iter().map(|code| ProductCode::new(code).unwrap()).collect()
    };
    let both = codes(&["pg", "aigw"]);
    for others in [codes(&["pg"]), codes(&["aigw-2", "ai"]), codes(&[])] {
        for action in OPERATIONS {
            for caller in [manager(), account("shop", "checkout")] {
                for hosting in Hosting::ALL {
                    let at = |products: &[ProductCode]| {
                        let listener = ListenerFacts::Dedicated(products);
                        asked(&directory, &caller, ("shop", hosting, listener), action)
                    };
                    let refused = match hosting {
                        Hosting::Free => matches!(at(&others), Err(ProductRefusal::DedicatedListener { .. })),
                        Hosting::Paid => matches!(at(&others), Err(ProductRefusal::OtherGateway { .. })),
                    };
                    assert!(refused, "{action} {caller} {hosting}: {:?}", at(&others));
                    let elsewhere = matches!(at(&both), Err(ProductRefusal::OtherGateway { .. }));
                    assert!(!elsewhere, "{action} {caller} {hosting}");
                }
            }
        }
        let ordinary = ListenerFacts::Dedicated(&others).serves_ordinary("db");
        let text = ordinary.unwrap_err().to_string();
        assert!(
            text.contains("`db`") && text.contains("use the shared gateway"),
            "{text}"
        );
    }
    assert_eq!(ListenerFacts::Shared.serves_ordinary("db"), Ok(()));
}

#[test]
fn nobody_purges_and_the_use_of_a_key_is_no_operation() {
    let directory = directory(|product| product.users_rotate = true);
    for caller in [
        manager(),
        account("shop", "checkout"),
        Identity::User("jane".to_owned()),
    ] {
        for action in [Action::PurgeSecret, Action::Decrypt, Action::GenerateDataKey] {
            for hosting in Hosting::ALL {
                let answer = said(&directory, &caller, hosting, action);
                assert!(
                    matches!(answer, Err(ProductRefusal::Managed { .. })),
                    "{caller} {action}: {answer:?}"
                );
            }
        }
    }
}

#[test]
fn a_user_may_rotate_where_the_product_says_so() {
    let directory = directory(|product| product.users_rotate = true);
    let verdict = said(
        &directory,
        &account("shop", "app"),
        Hosting::Free,
        Action::RotateSecret,
    );
    assert_eq!(
        verdict,
        Ok(MatrixVerdict {
            role: ProductRole::User,
            scope: PolicyScope::IdentityOnly
        })
    );
    // The product puts a new version instead.
    let refused = said(&directory, &manager(), Hosting::Free, Action::RotateSecret);
    assert!(matches!(
        refused,
        Err(ProductRefusal::Managed { by_manager: true, .. })
    ));
}

#[test]
fn a_product_that_may_not_act_is_not_written_and_is_read() {
    let user = account("shop", "checkout");
    let absent = directory(|product| product.state = ProductState::Absent);
    let changed = directory(|product| product.state = ProductState::Changed);
    let suspended = directory(|product| product.suspend = true);
    let elsewhere = directory(|product| product.namespaces = NamespaceSelection::none());
    let unknown = ProductDirectory::default();
    for (directory, refused) in [
        (&absent, "was deleted"),
        (&changed, "other managers"),
        (&suspended, "is suspended"),
        (&elsewhere, "in namespace `shop`"),
        (&unknown, "there is no product `aigw`"),
    ] {
        for action in [Action::CreateSecret, Action::PutSecretValue, Action::DeleteSecret] {
            let error = said(directory, &manager(), Hosting::Paid, action).unwrap_err();
            assert!(error.to_string().contains(refused), "{error}");
            // A user is refused whatever the product is like.
            assert!(
                said(directory, &user, Hosting::Paid, action).is_err(),
                "{refused}"
            );
        }
        for who in [&user, &manager()] {
            let read = said(directory, who, Hosting::Paid, Action::GetSecretValue);
            assert!(read.is_ok(), "{refused}: {read:?}");
            // Who reads a tenant's secret stays the tenant's to say.
            let policy = said(directory, &user, Hosting::Paid, Action::SetSecretPolicy);
            assert!(policy.is_ok(), "{refused}: {policy:?}");
        }
        // Suspended, the product still reads as itself; otherwise it is a user like others.
        let role = said(directory, &manager(), Hosting::Paid, Action::GetSecretValue)
            .unwrap()
            .role;
        let expected = if refused == "is suspended" {
            ProductRole::Manager
        } else {
            ProductRole::User
        };
        assert_eq!(role, expected, "{refused}");
    }
}

#[test]
fn a_product_makes_only_what_it_offers() {
    let create = |hosting: &[Hosting], wanted| {
        let directory = directory(|product| product.hosting.retain(|offered, _| hosting.contains(offered)));
        said(&directory, &manager(), wanted, Action::CreateSecret)
    };
    for hosting in Hosting::ALL {
        assert!(create(&[hosting], hosting).is_ok());
    }
    let refused = create(&[Hosting::Paid], Hosting::Free);
    assert!(
        matches!(refused, Err(ProductRefusal::KeyRequired { .. })),
        "{refused:?}"
    );
    let refused = create(&[Hosting::Free], Hosting::Paid);
    assert!(
        matches!(refused, Err(ProductRefusal::NotOffered { .. })),
        "{refused:?}"
    );
    // What it made before goes on.
    let paid_alone = directory(|product| product.hosting.retain(|offered, _| *offered == Hosting::Paid));
    assert!(said(&paid_alone, &manager(), Hosting::Free, Action::PutSecretValue).is_ok());
}

#[test]
fn without_secret_policies_a_paid_secret_is_read_as_a_free_one() {
    let directory = directory(|product| product.secret_policies = false);
    let user = account("shop", "checkout");
    let read = said(&directory, &user, Hosting::Paid, Action::GetSecretValue).unwrap();
    assert_eq!(read.scope, PolicyScope::IdentityOnly);
    for action in [Action::SetSecretPolicy, Action::GetSecretPolicy] {
        let refused = said(&directory, &user, Hosting::Paid, action);
        assert!(
            matches!(refused, Err(ProductRefusal::NoSecretPolicies { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_refusal_names_the_product_and_its_page_and_no_other_secret() {
    let directory = directory(|_| {});
    let error = said(
        &directory,
        &account("shop", "x"),
        Hosting::Paid,
        Action::DeleteSecret,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`aigw!payments` is managed by product `aigw` (AI gateway): make the change there (https://wiki.example.org/aigw)"
    );
}

#[test]
fn product_ness_is_a_fact_about_the_caller() {
    let second = |namespaces| {
        let mut facts = product();
        facts.code = ProductCode::new("pg").unwrap();
        facts.namespaces = namespaces;
        facts
    };
    // One manager, two products.
    let directory = ProductDirectory::new([product(), second(NamespaceSelection::All)]);
    let codes = |identity: &Identity| -> Vec<String> {
        let caller = directory.caller(identity);
        caller.managed.iter().map(ToString::to_string).collect()
    };
    assert_eq!(codes(&manager()), ["aigw", "pg"]);
    for other in [
        account("aigw-system", "other"),
        account("shop", "controller"),
        // A user who is called like it.
        Identity::User("system:serviceaccount:aigw-system".to_owned()),
    ] {
        assert_eq!(codes(&other), [""; 0], "{other}");
    }
    let manager = manager();
    let caller = directory.caller(&manager);
    let acts = |namespace, name: &str| {
        let name = SecretName::new(name).unwrap();
        let target = Target {
            namespace,
            name: DefaultSecretName::split(&name).unwrap().unwrap(),
            hosting: Hosting::Free,
        };
        directory
            .context(&caller, &target)
            .acts_for
            .map(ToString::to_string)
    };
    assert_eq!(acts("shop", "aigw!x").as_deref(), Some("aigw"));
    assert_eq!(acts("shop", "pg!x").as_deref(), Some("pg"));
    assert_eq!(acts("team-b", "aigw!x"), None);
    assert_eq!(acts("team-b", "pg!x").as_deref(), Some("pg"));
    assert_eq!(acts("shop", "other!x"), None);
}

#[test]
fn of_a_product_that_may_not_act_managers_count_for_what_is_denied_alone() {
    for (state, suspend, acts) in [
        (ProductState::Present, false, true),
        (ProductState::Present, true, true),
        (ProductState::Absent, false, false),
        (ProductState::Changed, false, false),
    ] {
        let directory = directory(|product| (product.state, product.suspend) = (state, suspend));
        let manager = manager();
        let caller = directory.caller(&manager);
        assert_eq!(caller.managed.len(), usize::from(acts), "{state:?}");
        assert_eq!(caller.named_by, [ProductCode::new("aigw").unwrap()], "{state:?}");
        assert_eq!(caller.context().named_by, caller.named_by);
    }
    // Neither those before nor those who took their place have rights.
    let directory = directory(|product| {
        product.state = ProductState::Changed;
        product.managers_before = product.managers.clone();
        "other".clone_into(&mut product.managers[0].name);
    });
    for (name, named_by) in [("controller", 1), ("other", 1), ("third", 0)] {
        let identity = account("aigw-system", name);
        let caller = directory.caller(&identity);
        assert_eq!(
            (caller.managed.len(), caller.named_by.len()),
            (0, named_by),
            "{name}"
        );
    }
}

#[test]
fn quotas_are_none_where_the_spec_names_none() {
    let hosting = product().hosting;
    let paid = QuotaLimits {
        per_namespace: 3,
        total: 5,
    };
    assert_eq!(
        hosting,
        BTreeMap::from([(Hosting::Free, QuotaLimits::default()), (Hosting::Paid, paid)])
    );
}
