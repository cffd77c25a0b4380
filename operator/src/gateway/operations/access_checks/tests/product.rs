//! What the product that owns a secret says: its operation matrix and its quota.

use super::*;

#[test]
fn every_refusal_of_the_matrix_has_a_result_of_its_own() {
    let (subject, decision) = (account("app"), allowed());
    let entry = entry(Hosting::Paid, ProductRole::User);
    for (code, expected, remedy) in [
        (
            Code::ProductManaged,
            Outcome::ManagedBy,
            "kubectl get secretproduct pg -o jsonpath={.spec.docs}",
        ),
        (
            Code::HostingRefused,
            Outcome::HostingRefused,
            "kubectl get secretproduct pg -o jsonpath={.spec.hosting}",
        ),
        (
            Code::KeyRequired,
            Outcome::KeyRequired,
            "kubectl -n shop get encryptionkeys",
        ),
        (
            Code::PolicyNotFound,
            Outcome::NoSecretPolicies,
            "kubectl get secretproduct pg -o yaml",
        ),
        (
            Code::ProductUnknown,
            Outcome::ProductUnknown,
            "kubectl apply -f SECRETPRODUCT",
        ),
        (
            Code::ProductAbsent,
            Outcome::ProductAbsent,
            "kubectl apply -f SECRETPRODUCT",
        ),
        (
            Code::ProductChanged,
            Outcome::ProductChanged,
            "kubectl strongroom product adopt pg",
        ),
        (
            Code::ProductSuspended,
            Outcome::ProductSuspended,
            r#"kubectl patch secretproduct pg --type merge -p '{"spec":{"suspend":false}}'"#,
        ),
        (
            Code::NamespaceNotSelected,
            Outcome::NamespaceNotSelected,
            "kubectl get secretproduct pg -o jsonpath={.spec.namespaces}",
        ),
    ] {
        let problem = Problem::new(code, "the matrix says no");
        let facts = AccessFacts {
            product: Some((&entry, "product `pg` owns it")),
            matrix: Err(&problem),
            ..facts(&subject, &decision)
        };
        let check = product(&facts);
        assert_eq!((check.result, check.remedy.as_deref()), (expected, Some(remedy)));
        assert_eq!(check.detail, "the matrix says no; product `pg` owns it");
    }
}

#[test]
fn what_the_matrix_leaves_to_policies_says_as_whom_and_by_which_cell() {
    let (subject, decision) = (account("app"), allowed());
    for (role, expected) in [
        (ProductRole::Manager, Outcome::Manager),
        (ProductRole::User, Outcome::User),
    ] {
        let entry = entry(Hosting::Paid, role);
        let facts = AccessFacts {
            product: Some((&entry, "product `pg` owns it")),
            ..facts(&subject, &decision)
        };
        let check = product(&facts);
        assert_eq!(check.result, expected);
        assert_eq!(check.detail, "product `pg` owns it; the matrix says `both`");
    }
    assert_eq!(outcome(Name::Product, |_| {}), (Outcome::NoProduct, None));
}

#[test]
fn a_quota_is_full_in_the_namespace_or_in_all_and_is_raised_where_it_is() {
    let (subject, decision) = (account("app"), allowed());
    // It may be hosted otherwise as it is: what counts is what comes of it.
    let entry = entry(Hosting::Paid, ProductRole::Manager);
    let of = |(used, limit): (u64, u64)| QuotaUsage { used, limit };
    for (in_namespace, total, patch) in [
        ((19, 20), (40, 500), None),
        (
            (20, 20),
            (40, 500),
            Some(r#"{"spec":{"quota":{"free":{"perNamespace":40,"total":500}}}}"#),
        ),
        (
            (2, 20),
            (500, 500),
            Some(r#"{"spec":{"quota":{"free":{"perNamespace":20,"total":1000}}}}"#),
        ),
        // None is offered yet, or a quota was lowered.
        (
            (0, 0),
            (0, 0),
            Some(r#"{"spec":{"quota":{"free":{"perNamespace":1,"total":1}}}}"#),
        ),
        (
            (9, 5),
            (9, 10),
            Some(r#"{"spec":{"quota":{"free":{"perNamespace":14,"total":14}}}}"#),
        ),
    ] {
        let facts = AccessFacts {
            product: Some((&entry, "product `pg` owns it")),
            quota: Some(QuotaFacts {
                hosting: Hosting::Free,
                in_namespace: of(in_namespace),
                total: Some(of(total)),
            }),
            ..facts(&subject, &decision)
        };
        let check = quota(&facts);
        let expected = match patch {
            None => (Outcome::Within, None),
            Some(patch) => (
                Outcome::QuotaExceeded,
                Some(format!(
                    "kubectl patch secretproduct pg --type merge -p '{patch}'"
                )),
            ),
        };
        assert_eq!(
            (check.result, check.remedy),
            expected,
            "{in_namespace:?} {total:?}"
        );
    }
    assert_eq!(outcome(Name::Quota, |_| {}), (Outcome::NoQuota, None));
}

#[test]
fn whoever_is_not_told_of_other_namespaces_is_told_of_this_one() {
    let (subject, decision) = (account("app"), allowed());
    let entry = entry(Hosting::Free, ProductRole::User);
    for (used, expected) in [(19, Outcome::Within), (20, Outcome::QuotaExceeded)] {
        let facts = AccessFacts {
            product: Some((&entry, "product `pg` owns it")),
            quota: Some(QuotaFacts {
                hosting: Hosting::Free,
                in_namespace: QuotaUsage { used, limit: 20 },
                total: None,
            }),
            ..facts(&subject, &decision)
        };
        let check = quota(&facts);
        assert_eq!(check.result, expected);
        assert_eq!(
            check.detail,
            format!(
                "product `pg` has {used} of 20 free secrets in the namespace, what it has in all is told to its managers"
            )
        );
        if let Some(remedy) = check.remedy {
            assert!(
                remedy.ends_with(r#"'{"spec":{"quota":{"free":{"perNamespace":40}}}}'"#),
                "{remedy}"
            );
        }
    }
}
