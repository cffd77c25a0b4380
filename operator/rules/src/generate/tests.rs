mod authorities;
mod ssh;

use std::collections::BTreeMap;

use proptest::prelude::*;
use strongroom_crds::v1alpha1::*;

use super::*;

/// SplitMix64: the same numbers in every run.
struct Fixed(u64);

impl rsa::rand_core::TryRng for Fixed {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::try_from(self.try_next_u64()? >> 32).expect("32 bits"))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.try_next_u64()?.to_be_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

impl rsa::rand_core::TryCryptoRng for Fixed {}

fn now() -> Timestamp {
    Timestamp::from_second(1_750_000_000).expect("in range")
}

fn make(
    sources: &[(&str, KeySource)],
    authority: Option<&Authority>,
    seed: u64,
) -> Result<Value, GenerateError> {
    make_over(sources, authority, PreviousValue::Nothing, seed)
}

fn make_over(
    sources: &[(&str, KeySource)],
    authority: Option<&Authority>,
    replaces: PreviousValue<'_>,
    seed: u64,
) -> Result<Value, GenerateError> {
    let sources: BTreeMap<String, KeySource> = sources
        .iter()
        .map(|(name, source)| ((*name).to_owned(), source.clone()))
        .collect();
    generate(
        &sources,
        &GenerateContext {
            now: now(),
            authority,
            replaces,
            ssh_auth: false,
        },
        &mut Fixed(seed),
    )
}

fn text(value: &Value, key: &str) -> String {
    String::from_utf8(
        value
            .key(key)
            .unwrap_or_else(|| panic!("no {key}"))
            .expose()
            .to_vec(),
    )
    .expect("text")
}

fn password(source: PasswordSource, seed: u64) -> Result<String, GenerateError> {
    make(&[("p", KeySource::Password(source))], None, seed).map(|value| text(&value, "p"))
}

fn x509(common_name: &str) -> X509Source {
    X509Source {
        common_name: Some(common_name.into()),
        ..X509Source::default()
    }
}

#[test]
fn a_default_password_has_32_letters_and_digits() {
    let made = password(PasswordSource::default(), 1).expect("made");
    assert_eq!(made.len(), 32);
    assert!(made.bytes().all(|c| c.is_ascii_alphanumeric()));
    assert_ne!(Ok(made), password(PasswordSource::default(), 2));
}

#[test]
fn passwords_refuse_settings_that_contradict_each_other() {
    let off = PasswordSource {
        upper: Some(false),
        lower: Some(false),
        digits: Some(false),
        ..Default::default()
    };
    let excluded = PasswordSource {
        exclude: Some("0123456789".into()),
        ..Default::default()
    };
    let many = PasswordSource {
        length: Some(8),
        at_least: Some(PasswordClasses {
            digits: Some(7),
            ..Default::default()
        }),
        ..Default::default()
    };
    let symbols = PasswordSource {
        at_least: Some(PasswordClasses {
            symbols: Some(1),
            ..Default::default()
        }),
        ..Default::default()
    };
    for (source, error) in [
        (off, PasswordError::NoClass),
        (excluded, PasswordError::EmptyClass { class: "digits" }),
        (many, PasswordError::TooManyAsked { asked: 9, length: 8 }),
        (symbols, PasswordError::ClassOff { class: "symbols" }),
        (
            PasswordSource {
                length: Some(7),
                ..Default::default()
            },
            PasswordError::Length,
        ),
        (
            PasswordSource {
                length: Some(-1),
                ..Default::default()
            },
            PasswordError::Length,
        ),
    ] {
        assert_eq!(
            password(source, 1),
            Err(GenerateError::Password {
                key: "p".into(),
                error
            })
        );
    }
}

/// Pearson's chi-squared statistic stays near its 61 degrees of freedom when all characters are equally
/// likely. Were one of them twice as likely, it would be above 4000.
#[test]
fn characters_are_equally_likely() {
    let source = PasswordSource {
        length: Some(4096),
        at_least: Some(PasswordClasses {
            upper: Some(0),
            lower: Some(0),
            digits: Some(0),
            symbols: None,
        }),
        ..Default::default()
    };
    let mut counts = BTreeMap::new();
    for seed in 0..64 {
        for c in password(source.clone(), seed).expect("made").bytes() {
            *counts.entry(c).or_insert(0_u32) += 1;
        }
    }
    assert_eq!(counts.len(), 62);
    let expected = 64.0 * 4096.0 / 62.0;
    let chi_squared: f64 = counts
        .values()
        .map(|n| (f64::from(*n) - expected).powi(2) / expected)
        .sum();
    assert!(chi_squared < 110.0, "{chi_squared}");
}

#[test]
fn required_characters_stand_anywhere() {
    let source = PasswordSource {
        length: Some(8),
        at_least: Some(PasswordClasses {
            upper: Some(0),
            lower: Some(0),
            digits: Some(1),
            symbols: None,
        }),
        upper: Some(true),
        lower: Some(true),
        exclude: Some("123456789".into()),
        ..Default::default()
    };
    let mut places = [false; 8];
    for seed in 0..500 {
        let made = password(source.clone(), seed).expect("made");
        let place = made.find('0').expect("the required digit");
        places[place] = true;
    }
    assert_eq!(places, [true; 8]);
}

#[test]
fn encodings_have_their_sizes() {
    let value = make(
        &[
            ("h", KeySource::Hex(HexSource { bytes: Some(16) })),
            (
                "b",
                KeySource::Base64(Base64Source {
                    bytes: Some(16),
                    url_safe: None,
                }),
            ),
            (
                "s",
                KeySource::Base64(Base64Source {
                    bytes: Some(16),
                    url_safe: Some(true),
                }),
            ),
            ("u", KeySource::Uuid(UuidSource {})),
            ("l", KeySource::Literal("checkout".into())),
        ],
        None,
        7,
    )
    .expect("made");
    assert_eq!(
        HEXLOWER.decode(text(&value, "h").as_bytes()).map(|b| b.len()),
        Ok(16)
    );
    assert_eq!(
        BASE64.decode(text(&value, "b").as_bytes()).map(|b| b.len()),
        Ok(16)
    );
    assert_eq!(
        BASE64URL_NOPAD
            .decode(text(&value, "s").as_bytes())
            .map(|b| b.len()),
        Ok(16)
    );
    let uuid = uuid::Uuid::parse_str(&text(&value, "u")).expect("a UUID");
    assert_eq!(
        (uuid.get_version_num(), uuid.get_variant()),
        (4, uuid::Variant::RFC4122)
    );
    assert_eq!(text(&value, "l"), "checkout");
}

#[test]
fn a_value_over_the_limit_is_refused() {
    let long = KeySource::Literal("x".repeat(VALUE_BYTES));
    assert_eq!(
        make(&[("l", long)], None, 1),
        Err(GenerateError::TooLarge {
            size: VALUE_BYTES + 1
        })
    );
    let fits = KeySource::Literal("x".repeat(VALUE_BYTES - 1));
    assert!(make(&[("l", fits)], None, 1).is_ok());
}

#[test]
fn key_pairs_are_pem_that_other_libraries_read() {
    let value = make(
        &[
            ("ed", KeySource::Ed25519(Ed25519Source::default())),
            ("p256", KeySource::Ecdsa(EcdsaSource::default())),
            (
                "p384",
                KeySource::Ecdsa(EcdsaSource {
                    curve: Some(EcdsaCurve::P384),
                    format: None,
                }),
            ),
            (
                "rsa",
                KeySource::Rsa(RsaSource {
                    bits: Some(2048),
                    format: None,
                }),
            ),
        ],
        None,
        3,
    )
    .expect("made");
    for name in ["ed", "p256", "p384", "rsa"] {
        let pair = rcgen::KeyPair::from_pem(&text(&value, name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(
            pair.public_key_pem().replace('\r', ""),
            text(&value, &format!("{name}.pub")),
            "{name}"
        );
    }
}

#[test]
fn a_certificate_of_an_own_authority_verifies() {
    let ca = KeySource::X509(X509Source {
        is_ca: Some(true),
        ..x509("root")
    });
    let root = make(&[("ca", ca)], None, 1).expect("made");
    assert_eq!(root.names().collect::<Vec<_>>(), ["ca.crt", "ca.key"]);
    let root_authority = Authority::from_value(&root, "ca").expect("an authority");

    let by = |name: &str| {
        Some(CertificateAuthority::ManagedSecret(ManagedCertificateAuthority {
            name: name.into(),
            key: None,
        }))
    };
    let middle = KeySource::X509(X509Source {
        is_ca: Some(true),
        ca: by("root"),
        ..x509("middle")
    });
    let middle = make(&[("issuing", middle)], Some(&root_authority), 2).expect("made");
    let middle_authority = Authority::from_value(&middle, "issuing").expect("an authority");

    for algorithm in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::Ed25519,
        KeyAlgorithm::Rsa2048,
    ] {
        let leaf = KeySource::X509(X509Source {
            dns_names: vec!["shop.example".into(), "*.shop.example".into()],
            ip_addresses: vec!["10.0.0.1".into(), "2001:db8::1".into()],
            valid_for: Some(strongroom_crds::period::Period::days(30)),
            ca: by("middle"),
            key_algorithm: Some(algorithm),
            ..X509Source::default()
        });
        let leaf = make(&[("tls", leaf)], Some(&middle_authority), 3).expect("made");
        assert_eq!(text(&leaf, "ca.crt"), text(&root, "ca.crt"));
        let chain: Vec<_> =
            x509_parser::pem::Pem::iter_from_buffer(leaf.key("tls.crt").expect("chain").expose())
                .collect::<Result<_, _>>()
                .expect("PEM");
        assert_eq!(chain.len(), 2, "leaf and intermediate, without the root");
        let own = chain[0].parse_x509().expect("DER");
        let above = chain[1].parse_x509().expect("DER");
        assert_eq!(own.issuer(), above.subject());
        assert!(!own.is_ca());
        assert_eq!(
            own.validity().not_after.timestamp(),
            now().as_second() + 30 * 86_400
        );
        assert_eq!(
            Chain::from_value(&leaf, "tls").map(|chain| chain.own.not_after.as_second()),
            Some(now().as_second() + 30 * 86_400)
        );
        let pair = rcgen::KeyPair::from_pem(&text(&leaf, "tls.key")).expect("a key");
        assert_eq!(
            own.public_key().raw,
            rcgen::PublicKeyData::subject_public_key_info(&pair)
        );
    }
}

#[test]
fn a_certificate_never_outlives_its_authority() {
    let period = |days| Some(strongroom_crds::period::Period::days(days));
    let ca = KeySource::X509(X509Source {
        is_ca: Some(true),
        valid_for: period(10),
        ..x509("root")
    });
    let root = make(&[("ca", ca)], None, 1).expect("made");
    let authority = Authority::from_value(&root, "ca").expect("an authority");
    let leaf = KeySource::X509(X509Source {
        valid_for: period(90),
        ca: Some(CertificateAuthority::ManagedSecret(ManagedCertificateAuthority {
            name: "r".into(),
            key: None,
        })),
        ..x509("leaf")
    });
    let made = make(&[("tls", leaf.clone())], Some(&authority), 1).expect("made");
    let end = Chain::from_value(&made, "tls")
        .expect("a certificate")
        .own
        .not_after;
    assert_eq!(end.as_second(), now().as_second() + 10 * 86_400);

    let sources = BTreeMap::from([("tls".to_owned(), leaf.clone())]);
    let late = GenerateContext {
        now: end,
        authority: Some(&authority),
        replaces: PreviousValue::Nothing,
        ssh_auth: false,
    };
    let expired = generate(&sources, &late, &mut Fixed(1));
    assert_eq!(
        expired,
        Err(GenerateError::Certificate {
            key: "tls".into(),
            error: CertificateError::AuthorityExpired
        })
    );
    let without = make(&[("tls", leaf)], None, 1);
    assert_eq!(
        without,
        Err(GenerateError::Certificate {
            key: "tls".into(),
            error: CertificateError::AuthorityMissing
        })
    );
}

#[test]
fn only_an_authority_becomes_one() {
    let leaf = make(&[("ca", KeySource::X509(x509("leaf")))], None, 1).expect("made");
    let root = KeySource::X509(X509Source {
        is_ca: Some(true),
        ..x509("root")
    });
    let (one, two) = (
        make(&[("ca", root.clone())], None, 1).expect("made"),
        make(&[("ca", root)], None, 2).expect("made"),
    );
    let refusal = |value: &Value, key: &str| Authority::from_value(value, key).err();
    assert_eq!(
        refusal(&leaf, "ca"),
        Some(AuthorityError::NotAuthority { key: "ca.crt".into() })
    );
    assert_eq!(
        refusal(&one, "tls"),
        Some(AuthorityError::Missing {
            key: "tls.key".into()
        })
    );
    let mut mixed = one.duplicate();
    mixed.insert("ca.key", two.key("ca.key").expect("there").duplicate());
    assert_eq!(refusal(&mixed, "ca"), Some(AuthorityError::Mismatch));
    mixed.insert("ca.key", b"-----BEGIN nothing".to_vec());
    assert!(matches!(
        refusal(&mixed, "ca"),
        Some(AuthorityError::Malformed { .. })
    ));
}

#[test]
fn wrong_names_are_refused() {
    for (source, error) in [
        (X509Source::default(), CertificateError::NoSubject),
        (
            X509Source {
                dns_names: vec!["a..b".into()],
                ..X509Source::default()
            },
            CertificateError::DnsName { name: "a..b".into() },
        ),
        (
            X509Source {
                ip_addresses: vec!["10.0.0.256".into()],
                ..X509Source::default()
            },
            CertificateError::IpAddress {
                address: "10.0.0.256".into(),
            },
        ),
    ] {
        let made = make(&[("tls", KeySource::X509(source.clone()))], None, 1);
        assert_eq!(
            made,
            Err(GenerateError::Certificate {
                key: "tls".into(),
                error
            })
        );
    }
}

#[test]
fn only_sources_without_their_first_key_are_missing() {
    let sources = BTreeMap::from([
        ("a".to_owned(), KeySource::Uuid(UuidSource {})),
        ("b".to_owned(), KeySource::Ed25519(Ed25519Source::default())),
        ("tls".to_owned(), KeySource::X509(x509("x"))),
    ]);
    assert_eq!(missing(&sources, &BTreeSet::new()), ["a", "b", "tls"]);
    assert_eq!(missing(&sources, &BTreeSet::from(["b", "tls.key"])), ["a"]);
}

/// Gives the listed numbers, then zeros.
struct Listed(Vec<u32>);

impl rsa::rand_core::TryRng for Listed {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(if self.0.is_empty() { 0 } else { self.0.remove(0) })
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.try_next_u32().map(u64::from)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(0);
        Ok(())
    }
}

impl rsa::rand_core::TryCryptoRng for Listed {}

#[test]
fn numbers_of_the_incomplete_round_are_drawn_again() {
    // 4294967295 = 429496729 x 10 + 5: from 4294967290 on the round of ten is not complete.
    let mut random = Listed(vec![u32::MAX, 4_294_967_290, 4_294_967_289]);
    assert_eq!(random::below(10, &mut random), 9);
    assert!(random.0.is_empty(), "both numbers before it were refused");
}

proptest! {
    #[test]
    fn passwords_keep_what_their_settings_say(
        length in 8_i32..200, upper: bool, lower: bool, digits: bool, symbols: bool,
        exclude in "[!-~]{0,12}", wanted in 0_i32..12, seed: u64,
    ) {
        let at_least = PasswordClasses { digits: digits.then_some(wanted), ..PasswordClasses::default() };
        let source = PasswordSource {
            length: Some(length), upper: Some(upper), lower: Some(lower), digits: Some(digits), symbols: Some(symbols),
            exclude: Some(exclude.clone()), at_least: Some(at_least), ..PasswordSource::default()
        };
        if let Ok(made) = password(source, seed) {
            let count = |class: fn(&u8) -> bool| made.bytes().filter(class).count();
            prop_assert_eq!(made.len(), usize::try_from(length).expect("positive"));
            prop_assert!(!made.chars().any(|c| exclude.contains(c)));
            prop_assert_eq!(count(u8::is_ascii_uppercase) > 0, upper);
            prop_assert_eq!(count(u8::is_ascii_lowercase) > 0, lower);
            prop_assert_eq!(count(u8::is_ascii_punctuation) > 0, symbols);
            if digits {
                prop_assert!(count(u8::is_ascii_digit) >= usize::try_from(wanted).expect("positive"));
            } else {
                prop_assert_eq!(count(u8::is_ascii_digit), 0);
            }
        }
    }

    #[test]
    fn numbers_below_a_bound_are_below_it(bound in 1_u32.., seed: u64) {
        prop_assert!(random::below(bound, &mut Fixed(seed)) < bound);
    }
}
