use std::io::Write;
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use strongroom_model::Value;

use super::super::Format;
use super::*;

/// A command's output, given this on standard input.
fn piped(program: &str, arguments: &[&str], input: &[u8]) -> (bool, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

fn openssl(arguments: &[&str], input: &str) -> String {
    let (success, text) = piped("openssl", arguments, input.as_bytes());
    assert!(success, "openssl {arguments:?}");
    text
}

/// A secret as cert-manager makes one.
fn secret() -> Value {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "authority");
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["app.example.com".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "leaf");
    let leaf = params.signed_by(&leaf_key, &issuer).unwrap();
    let mut value = Value::new();
    value.insert("tls.key", leaf_key.serialize_pem().into_bytes());
    value.insert("tls.crt", leaf.pem().into_bytes());
    value.insert("ca.crt", authority.pem().into_bytes());
    value
}

fn text(value: &Value, key: &str) -> String {
    String::from_utf8(value.key(key).unwrap().expose().to_vec()).unwrap()
}

fn with(key: &str, bytes: &str) -> Value {
    let mut value = secret();
    value.insert(key, bytes.as_bytes().to_vec());
    value
}

fn made(value: &Value, format: Format, password: &str) -> Result<SecretBytes, FormatError> {
    let password = SecretBytes::from(password.as_bytes().to_vec());
    Entries::select(&[value], None)?
        .with_password(Some(&password))
        .write(format)
}

/// What OpenSSL finds in a store.
fn opened(store: &SecretBytes, password: &str, more: &[&str]) -> (bool, String) {
    let password = format!("pass:{password}");
    let arguments = [&["pkcs12", "-passin", &password], more].concat();
    piped("openssl", &arguments, store.expose())
}

#[test]
fn openssl_opens_a_key_store_and_finds_all_of_the_secret() {
    let value = secret();
    let password = "p\u{e4}ss \"w\u{f6}rd";
    let store = made(&value, Format::Pkcs12, password).unwrap();
    let (success, key) = opened(&store, password, &["-nodes", "-nocerts"]);
    assert!(success);
    let same_key = |pem: &str| openssl(&["pkey"], pem);
    assert_eq!(same_key(&key), same_key(&text(&value, "tls.key")));
    let (_, leaf) = opened(&store, password, &["-nokeys", "-clcerts"]);
    let certificate = |pem: &str| openssl(&["x509"], pem);
    assert_eq!(certificate(&leaf), certificate(&text(&value, "tls.crt")));
    let (_, authority) = opened(&store, password, &["-nokeys", "-cacerts"]);
    assert_eq!(certificate(&authority), certificate(&text(&value, "ca.crt")));
    assert!(!opened(&store, "wrong", &["-nodes"]).0);
    // With nothing that is old: OpenSSL refuses that unless it is told otherwise.
    let (_, info) = opened(&store, password, &["-info", "-noout"]);
    assert!(!info.contains("RC2"), "{info}");
    // The secret of an authority that everybody knows has no ca.crt.
    let public = made(&with("ca.crt", ""), Format::Pkcs12, "x").unwrap();
    assert_eq!(
        opened(&public, "x", &["-nokeys"])
            .1
            .matches("BEGIN CERTIFICATE")
            .count(),
        1
    );
}

#[test]
fn a_trust_store_holds_the_authorities_alone() {
    let value = secret();
    let two = format!("{}{}", text(&value, "ca.crt"), text(&secret(), "ca.crt"));
    let store = made(&with("ca.crt", &two), Format::Pkcs12Truststore, "changeit").unwrap();
    let (success, all) = opened(&store, "changeit", &["-nodes"]);
    assert!(success && !all.contains("PRIVATE KEY"), "{all}");
    assert_eq!(all.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(all.contains("friendlyName: ca-1"), "{all}");
}

#[test]
fn keys_of_any_form_are_taken() {
    let rsa = openssl(&["genrsa", "-traditional", "2048"], "");
    assert!(rsa.contains("BEGIN RSA PRIVATE KEY"));
    let ec = openssl(&["ecparam", "-name", "secp384r1", "-genkey", "-noout"], "");
    assert!(ec.contains("BEGIN EC PRIVATE KEY"));
    let ed25519 = openssl(&["genpkey", "-algorithm", "ed25519"], "");
    // With OpenSSL's block of the curve before it; and out of a key store, with attributes, certificate and
    // CR LF.
    let parameters = include_str!("../../pem/testdata/ec.pem").to_owned();
    let bag = String::from_utf8_lossy(include_bytes!("../../pem/testdata/bag.pem")).replace('\n', "\r\n");
    for key in [rsa, ec, ed25519, parameters, bag] {
        let store = made(&with("tls.key", &key), Format::Pkcs12, "x").unwrap();
        let (_, there) = opened(&store, "x", &["-nodes", "-nocerts"]);
        assert_eq!(openssl(&["pkey"], &there), openssl(&["pkey"], &key));
    }
}

#[test]
fn what_does_not_fit_is_refused_without_a_word_of_it() {
    let refused =
        |value: &Value, format, password: &str| made(value, format, password).map(drop).unwrap_err();
    let key = || "tls.key".to_owned();
    let encrypted = openssl(
        &[
            "genpkey",
            "-algorithm",
            "ed25519",
            "-aes256",
            "-pass",
            "pass:MARKER",
        ],
        "",
    );
    for no_key in ["MARKER", "", &encrypted, &text(&secret(), "tls.crt")] {
        assert_eq!(
            refused(&with("tls.key", no_key), Format::Pkcs12, "x"),
            FormatError::NotKey(key())
        );
    }
    let broken = "-----BEGIN CERTIFICATE-----\nTUFSS0VS\n-----END CERTIFICATE-----\n";
    for (name, bytes) in [
        ("tls.crt", broken),
        ("tls.crt", ""),
        ("ca.crt", broken),
        ("ca.crt", "MARKER"),
    ] {
        let error = refused(&with(name, bytes), Format::Pkcs12, "x");
        assert_eq!(error, FormatError::NotCertificates(name.to_owned()));
    }
    assert_eq!(refused(&secret(), Format::Pkcs12, ""), FormatError::NoPassword);
    let mut bare = Value::new();
    bare.insert("tls.crt", text(&secret(), "tls.crt").into_bytes());
    assert_eq!(refused(&bare, Format::Pkcs12, "x"), FormatError::NoKey(key()));
    let none = FormatError::NoKey("ca.crt".to_owned());
    assert_eq!(refused(&bare, Format::Pkcs12Truststore, "x"), none);
    // Beyond what PKCS#12's own alphabet can say.
    let beyond = refused(&secret(), Format::Pkcs12, "\u{1f511}MARKER");
    assert_eq!(beyond, FormatError::Store);
}

#[test]
fn two_stores_of_the_same_content_are_the_same() {
    let value = secret();
    let password = SecretBytes::from(b"x".to_vec());
    for format in [Format::Pkcs12, Format::Pkcs12Truststore] {
        let (one, two) = (
            made(&value, format, "x").unwrap(),
            made(&value, format, "x").unwrap(),
        );
        assert!(one != two && same(one.expose(), two.expose(), &password));
        let other = made(&secret(), format, "x").unwrap();
        assert!(!same(one.expose(), other.expose(), &password));
        let under_another = made(&value, format, "y").unwrap();
        assert!(!same(one.expose(), under_another.expose(), &password));
        let mut broken = one.expose().to_vec();
        *broken.last_mut().unwrap() ^= 1;
        assert!(!same(&broken, one.expose(), &password) && !same(b"", one.expose(), &password));
    }
}
