//! Which objects may have a product's secret, and that the others change nothing.

use std::collections::BTreeSet;

use serde_json::json;
use strongroom_crds::condition::Reason;
use strongroom_model::name::SecretName;
use strongroom_model::{DefaultSecretName, Hosting, ProductCode};

use super::*;
use crate::managed_secret::product_claim::{ClaimAuthor, ClaimFacts, ClaimRefusal, SecretCount, claim};
use crate::object::ReadySummary;
use crate::policy::Identity;
use crate::product::{NamespaceSelection, ProductFacts, ProductRefusal, ProductState};

fn controller() -> Identity {
    Identity::from_username("system:serviceaccount:aigw-system:controller")
}

fn product() -> ProductFacts {
    let spec = serde_json::from_value(json!({
        "managers": [{"namespace": "aigw-system", "name": "controller"}],
        "namespaces": {}, "hosting": ["Free", "Paid"],
        "quota": {"free": {"perNamespace": 2, "total": 3}, "paid": {"perNamespace": 2, "total": 3}},
    }))
    .unwrap();
    ProductFacts::from_spec(
        ProductCode::new("aigw").unwrap(),
        &spec,
        (ProductState::Present, at(0)),
        NamespaceSelection::Named(BTreeSet::from(["shop".to_owned()])),
        |_| None,
    )
}

/// What is said about a new object of `aigw!payments` in `shop`, which the controller wrote, after a change
/// of what is known.
fn said(product: &ProductFacts, change: impl FnOnce(&mut ClaimFacts<'_>)) -> Option<Reason> {
    let refusal = refused(product, change)?;
    assert!(!refusal.to_string().is_empty());
    Some(refusal.reason())
}

fn refused(product: &ProductFacts, change: impl FnOnce(&mut ClaimFacts<'_>)) -> Option<ClaimRefusal> {
    let (controller, name) = (controller(), SecretName::new("aigw!payments").unwrap());
    let mut facts = ClaimFacts {
        namespace: "shop",
        name: DefaultSecretName::split(&name).unwrap().unwrap(),
        created: at(0),
        key: None,
        key_granted: true,
        held_key_granted: true,
        product: Some(product),
        author: ClaimAuthor::Attested(&controller),
        held: false,
        held_hosting: None,
        held_key: None,
        allow_default_key: false,
        used: SecretCount::default(),
    };
    change(&mut facts);
    claim(&facts).err()
}

#[test]
fn a_manager_makes_what_its_product_offers() {
    let all = product();
    assert_eq!(said(&all, |_| {}), None);
    assert_eq!(said(&all, |facts| facts.key = Some("payments")), None);
    let mut paid = product();
    paid.hosting.remove(&Hosting::Free);
    assert_eq!(said(&paid, |_| {}), Some(Reason::KeyRequired));
    let mut free = product();
    free.hosting.remove(&Hosting::Paid);
    let under_a_key = said(&free, |facts| facts.key = Some("payments"));
    assert_eq!(under_a_key, Some(Reason::HostingNotOffered));
    let not_granted = said(&all, |facts| {
        facts.key = Some("payments");
        facts.key_granted = false;
    });
    assert_eq!(not_granted, Some(Reason::KeyNotGranted));
}

#[test]
fn a_product_that_is_not_there_or_may_not_act_makes_and_changes_nothing() {
    let changed = |change: fn(&mut ProductFacts)| {
        let mut product = product();
        change(&mut product);
        product
    };
    for (product, reason) in [
        (
            changed(|product| product.state = ProductState::Absent),
            Reason::ProductAbsent,
        ),
        (
            changed(|product| product.state = ProductState::Changed),
            Reason::ProductChanged,
        ),
        (
            changed(|product| product.suspend = true),
            Reason::ProductSuspended,
        ),
        (
            changed(|product| product.namespaces = NamespaceSelection::none()),
            Reason::NamespaceNotSelected,
        ),
    ] {
        for held in [false, true] {
            let reasons = said(&product, |facts| {
                facts.held = held;
                facts.held_hosting = held.then_some(Hosting::Free);
                facts.author = ClaimAuthor::Accepted;
            });
            assert_eq!(reasons, Some(reason), "{held}");
        }
    }
    assert_eq!(
        said(&product(), |facts| facts.product = None),
        Some(Reason::ProductUnknown)
    );
}

#[test]
fn a_name_is_made_by_a_manager_or_by_whoever_manages_the_product() {
    let product = product();
    let other = Identity::from_username("system:serviceaccount:shop:controller");
    let person = Identity::User("jane".to_owned());
    let said = |author, held| {
        let (controller, name) = (controller(), SecretName::new("aigw!payments").unwrap());
        let author = match author {
            None => ClaimAuthor::Attested(&controller),
            Some(author) => author,
        };
        let facts = ClaimFacts {
            namespace: "shop",
            name: DefaultSecretName::split(&name).unwrap().unwrap(),
            created: at(0),
            key: None,
            key_granted: true,
            held_key_granted: true,
            product: Some(&product),
            author,
            held,
            held_hosting: None,
            held_key: None,
            allow_default_key: false,
            used: SecretCount::default(),
        };
        claim(&facts).err().map(|refusal| refusal.reason())
    };
    for held in [false, true] {
        for (author, reason) in [
            (None, None),
            (Some(ClaimAuthor::Manages(&person)), None),
            (Some(ClaimAuthor::Ourselves), None),
            (Some(ClaimAuthor::Accepted), None),
            (Some(ClaimAuthor::Attested(&other)), Some(Reason::NotManager)),
            (Some(ClaimAuthor::Attested(&person)), Some(Reason::NotManager)),
            (Some(ClaimAuthor::Unattested), Some(Reason::NotAttested)),
        ] {
            assert_eq!(said(author, held), reason, "{author:?} {held}");
        }
    }
}

#[test]
fn a_name_that_was_there_before_the_product_never_becomes_its() {
    let product = product();
    let older = |held| {
        said(&product, |facts| {
            facts.created = at(-1);
            facts.held = held;
        })
    };
    assert_eq!(older(false), Some(Reason::ProductNewer));
    // What the product made under an object before it was deleted and applied again stays its own.
    assert_eq!(older(true), None);
}

#[test]
fn a_quota_is_asked_for_one_more_and_not_for_what_is_there() {
    let product = product();
    let with = |in_namespace, total, held_hosting| {
        said(&product, |facts| {
            facts.used = SecretCount { in_namespace, total };
            facts.held_hosting = held_hosting;
            facts.key = Some("payments");
        })
    };
    assert_eq!(with(1, 2, None), None);
    assert_eq!(with(2, 2, None), Some(Reason::QuotaExceeded));
    assert_eq!(with(0, 3, None), Some(Reason::QuotaExceeded));
    // It counts already.
    assert_eq!(with(2, 3, Some(Hosting::Paid)), None);
    // From free to paid it takes room of the paid quota.
    assert_eq!(with(2, 3, Some(Hosting::Free)), Some(Reason::QuotaExceeded));
    assert_eq!(with(1, 2, Some(Hosting::Free)), None);
}

#[test]
fn a_tenant_is_told_no_number_of_other_namespaces() {
    let product = product();
    let message = |in_namespace, total| {
        refused(&product, |facts| {
            facts.used = SecretCount { in_namespace, total };
            facts.key = Some("payments");
        })
        .unwrap()
        .to_string()
    };
    let here = message(2, 3);
    assert!(
        here.contains("has 2 paid secrets in namespace `shop`, and 2 are allowed"),
        "{here}"
    );
    let in_all = message(1, 3);
    assert!(in_all.contains("in all namespaces together"), "{in_all}");
    assert!(!in_all.contains(|c: char| c.is_ascii_digit()), "{in_all}");
}

#[test]
fn a_product_takes_no_secret_from_under_the_tenants_key() {
    let product = product();
    let moved = |allow_default_key| {
        said(&product, |facts| {
            facts.held = true;
            facts.held_hosting = Some(Hosting::Paid);
            facts.held_key = Some("payments");
            facts.allow_default_key = allow_default_key;
        })
    };
    assert_eq!(moved(false), Some(Reason::KeyRequired));
    assert_eq!(moved(true), None);
}

#[test]
fn a_secret_leaves_one_key_for_another_where_both_are_granted() {
    let product = product();
    let moved = |granted: (bool, bool)| {
        said(&product, |facts| {
            facts.held = true;
            facts.held_hosting = Some(Hosting::Paid);
            facts.held_key = Some("payments");
            facts.key = Some("other");
            (facts.held_key_granted, facts.key_granted) = granted;
        })
    };
    assert_eq!(moved((true, true)), None);
    assert_eq!(moved((false, true)), Some(Reason::KeyNotGranted));
    assert_eq!(moved((true, false)), Some(Reason::KeyNotGranted));
}

#[test]
fn while_the_product_refuses_nothing_is_done() {
    let refusal = ClaimRefusal::Product(ProductRefusal::Unknown {
        code: "aigw".to_owned(),
    });
    let lost = |facts: &mut SecretFacts| {
        facts.stored = StoredSecretState::Absent;
        facts.object.recorded = RecordedSecretId::Unknown("lost".to_owned());
        facts.object.readopt = Some("lost".to_owned());
    };
    let deleted = |facts: &mut SecretFacts| {
        facts.stored = StoredSecretState::InRecoveryWindow {
            secret: secret(),
            until: at(9),
        };
        facts.object.restore = Some("abc".to_owned());
    };
    for base in [
        new(),
        with(settled(), missing),
        with(settled(), |facts| facts.rotation = scheduled(-1)),
        with(settled(), |facts| wanted(facts).native = None),
        with(settled(), lost),
        with(new(), deleted),
    ] {
        assert_ne!(plan(&base, at(0)).step, SecretStep::Nothing, "{base:?}");
        let refused = with(base, |facts| facts.product = Some(refusal.clone()));
        let plan = plan(&refused, at(0));
        assert_eq!(plan.step, SecretStep::Nothing);
        let summary = ReadySummary::from_verdict(&plan.verdict).unwrap();
        assert_eq!(summary.reason, Reason::ProductUnknown);
        assert!(plan.wake.is_some());
    }
}
