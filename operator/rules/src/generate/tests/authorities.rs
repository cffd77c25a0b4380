//! Authorities that are renewed or get a new key, and what those that they signed get of it.

use super::*;

fn root(name: &str) -> KeySource {
    KeySource::X509(X509Source {
        is_ca: Some(true),
        ..x509(name)
    })
}

fn by_authority(source: X509Source) -> KeySource {
    KeySource::X509(X509Source {
        ca: Some(CertificateAuthority::ManagedSecret(ManagedCertificateAuthority {
            name: "root".into(),
            key: None,
        })),
        ..source
    })
}

fn authority(value: &Value, key: &str) -> Authority {
    Authority::from_value(value, key).expect("an authority")
}

fn chain(value: &Value, key: &str) -> Chain {
    Chain::from_value(value, key).expect("a certificate")
}

fn blocks(value: &Value, key: &str) -> usize {
    text(value, key).matches("BEGIN CERTIFICATE").count()
}

#[test]
fn a_renewed_authority_has_the_same_key_and_name_whatever_its_source_says_by_now() {
    let first = make(&[("ca", root("shop CA"))], None, 1).expect("made");
    let leaf = make(
        &[("tls", by_authority(x509("web")))],
        Some(&authority(&first, "ca")),
        2,
    )
    .expect("made");
    let other = KeySource::X509(X509Source {
        is_ca: Some(true),
        key_algorithm: Some(KeyAlgorithm::Ed25519),
        ..x509("another name")
    });
    let renewed = make_over(&[("ca", other)], None, PreviousValue::Renewed(&first), 3).expect("made");
    assert_eq!(text(&renewed, "ca.key"), text(&first, "ca.key"));
    assert_ne!(text(&renewed, "ca.crt"), text(&first, "ca.crt"));
    assert_eq!(blocks(&renewed, "ca.crt"), 1);
    let (before, after) = (chain(&first, "ca"), chain(&renewed, "ca"));
    assert_eq!(
        (&before.own.subject, &before.own.key),
        (&after.own.subject, &after.own.key)
    );
    // What it signed before is signed by it still, and gets the new certificate as its root.
    let leaf_chain = chain(&leaf, "tls");
    assert!(leaf_chain.is_signed_by(&after));
    assert_ne!(leaf_chain.above, after.bundle);
    let followed =
        follow_authority(leaf.duplicate(), "tls", &authority(&renewed, "ca")).expect("a certificate");
    assert_eq!(text(&followed, "ca.crt"), text(&renewed, "ca.crt"));
    assert_eq!(text(&followed, "tls.crt"), text(&leaf, "tls.crt"));
    assert_eq!(chain(&followed, "tls").above, after.bundle);
}

#[test]
fn a_name_of_several_parts_is_kept_byte_for_byte() {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(
        rcgen::DnType::CountryName,
        rcgen::DnValue::PrintableString("DE".try_into().expect("printable")),
    );
    params
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "Läden & Söhne");
    params.distinguished_name.push(rcgen::DnType::CommonName, "root");
    let pair = rcgen::KeyPair::generate().expect("a key");
    let mut adopted = Value::new();
    adopted.insert(
        "ca.crt",
        params.self_signed(&pair).expect("signed").pem().into_bytes(),
    );
    adopted.insert("ca.key", pair.serialize_pem().into_bytes());
    let renewed = make_over(&[("ca", root("x"))], None, PreviousValue::Renewed(&adopted), 1).expect("made");
    assert_eq!(
        chain(&renewed, "ca").own.subject,
        chain(&adopted, "ca").own.subject
    );
    adopted.insert("ca.key", b"no key".to_vec());
    let refused = make_over(&[("ca", root("x"))], None, PreviousValue::Renewed(&adopted), 1);
    let error = CertificateError::NotRenewable;
    assert_eq!(
        refused,
        Err(GenerateError::Certificate {
            key: "ca".into(),
            error
        })
    );
}

#[test]
fn an_authority_with_a_new_key_names_the_former_root_until_that_is_dropped() {
    for key in ["ca", "issuing"] {
        let certificate = format!("{key}.crt");
        let first = make(&[(key, root("shop CA"))], None, 1).expect("made");
        let leaf = make(
            &[("tls", by_authority(x509("web")))],
            Some(&authority(&first, key)),
            2,
        )
        .expect("made");
        let second =
            make_over(&[(key, root("shop CA"))], None, PreviousValue::Rotated(&first), 3).expect("made");
        assert_eq!(blocks(&second, "ca.crt"), 2);
        assert!(text(&second, "ca.crt").starts_with(&text(&first, "ca.crt")[..20]));
        assert!(text(&second, "ca.crt").ends_with(&text(&first, "ca.crt")));
        let (before, after) = (chain(&first, key), chain(&second, key));
        assert_ne!(before.own.key, after.own.key);
        assert!(after.has_old_roots() && !before.has_old_roots());

        // The leaf is of the former key, and valid with both roots.
        let old_leaf = chain(&leaf, "tls");
        assert!(
            !old_leaf.is_signed_by(&after) && old_leaf.is_rooted_in(&after) && old_leaf.is_signed_by(&before)
        );
        let trusting = follow_authority(leaf.duplicate(), "tls", &authority(&second, key)).expect("made");
        assert_eq!(text(&trusting, "ca.crt"), text(&second, "ca.crt"));
        assert_eq!(text(&trusting, "tls.key"), text(&leaf, "tls.key"));
        // Signed anew it has both roots too, and no intermediate that is none.
        let signed = make(
            &[("tls", by_authority(x509("web")))],
            Some(&authority(&second, key)),
            4,
        )
        .expect("made");
        assert!(chain(&signed, "tls").is_signed_by(&after));
        assert_eq!((blocks(&signed, "tls.crt"), blocks(&signed, "ca.crt")), (1, 2));

        // A renewal in between keeps the former root; the third key has two former roots beside it.
        let renewed = make_over(
            &[(key, root("shop CA"))],
            None,
            PreviousValue::Renewed(&second),
            5,
        )
        .expect("made");
        assert_eq!(blocks(&renewed, "ca.crt"), 2);
        let third = make_over(
            &[(key, root("shop CA"))],
            None,
            PreviousValue::Rotated(&renewed),
            6,
        )
        .expect("made");
        assert_eq!(blocks(&third, "ca.crt"), 3);
        let alone = drop_old_roots(third.duplicate(), key).expect("made");
        assert_eq!(blocks(&alone, "ca.crt"), 1);
        assert!(!chain(&alone, key).has_old_roots());
        assert_eq!(chain(&alone, key).own, chain(&third, key).own);
        assert_eq!(text(&alone, &certificate).matches("BEGIN").count(), 1);
    }
}

#[test]
fn a_former_root_that_has_ended_is_not_named() {
    let short = KeySource::X509(X509Source {
        is_ca: Some(true),
        valid_for: Some("1m".parse().expect("a period")),
        ..x509("shop CA")
    });
    let first = make(&[("ca", short)], None, 1).expect("made");
    let sources = BTreeMap::from([("ca".to_owned(), root("shop CA"))]);
    for (seconds, roots) in [(30, 2), (60, 1)] {
        let environment = GenerateContext {
            now: now() + jiff::SignedDuration::from_secs(seconds),
            authority: None,
            replaces: PreviousValue::Rotated(&first),
            ssh_auth: false,
        };
        let second = generate(&sources, &environment, &mut Fixed(2)).expect("made");
        assert_eq!(blocks(&second, "ca.crt"), roots, "after {seconds} s");
    }
}

#[test]
fn an_authority_in_between_hands_the_roots_on() {
    let first = make(&[("ca", root("root"))], None, 1).expect("made");
    let middle = by_authority(X509Source {
        is_ca: Some(true),
        ..x509("middle")
    });
    let issuing = make(&[("issuing", middle.clone())], Some(&authority(&first, "ca")), 2).expect("made");
    let leaf = make(
        &[("tls", by_authority(x509("web")))],
        Some(&authority(&issuing, "issuing")),
        3,
    )
    .expect("made");
    let second = make_over(&[("ca", root("root"))], None, PreviousValue::Rotated(&first), 4).expect("made");
    let signed = make_over(
        &[("issuing", middle)],
        Some(&authority(&second, "ca")),
        PreviousValue::Renewed(&issuing),
        5,
    )
    .expect("made");
    assert_eq!(text(&signed, "issuing.key"), text(&issuing, "issuing.key"));
    let (above, below) = (chain(&signed, "issuing"), chain(&leaf, "tls"));
    assert!(above.is_signed_by(&chain(&second, "ca")) && below.is_signed_by(&above));
    assert_ne!(below.above, above.bundle);
    let followed = follow_authority(leaf, "tls", &authority(&signed, "issuing")).expect("made");
    assert_eq!(chain(&followed, "tls").above, above.bundle);
    assert_eq!(
        (blocks(&followed, "tls.crt"), blocks(&followed, "ca.crt")),
        (2, 2)
    );
}
