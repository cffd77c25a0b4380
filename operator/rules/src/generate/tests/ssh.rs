//! Key pairs for OpenSSH.

use super::*;

fn pairs(format: Option<KeyFormat>) -> Vec<(&'static str, KeySource)> {
    let ecdsa = |curve| {
        KeySource::Ecdsa(EcdsaSource {
            curve: Some(curve),
            format,
        })
    };
    vec![
        ("ed", KeySource::Ed25519(Ed25519Source { format })),
        ("p256", ecdsa(EcdsaCurve::P256)),
        ("p384", ecdsa(EcdsaCurve::P384)),
        (
            "rsa",
            KeySource::Rsa(RsaSource {
                bits: Some(2048),
                format,
            }),
        ),
    ]
}

/// The fields of the wire encoding.
fn fields(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("small");
        fields.push(&rest[..length]);
        bytes = &rest[length..];
    }
    fields
}

#[test]
fn openssh_keys_have_the_form_that_openssh_writes() {
    let value = make(&pairs(Some(KeyFormat::OpenSsh)), None, 7).expect("made");
    for (name, algorithm, public_fields) in [
        ("ed", "ssh-ed25519", 2),
        ("p256", "ecdsa-sha2-nistp256", 3),
        ("p384", "ecdsa-sha2-nistp384", 3),
        ("rsa", "ssh-rsa", 3),
    ] {
        let line = text(&value, &format!("{name}.pub"));
        let parts: Vec<&str> = line.trim_end().split(' ').collect();
        let [algorithm_shown, blob, comment] = parts[..] else {
            panic!("{line}")
        };
        assert_eq!((algorithm_shown, comment), (algorithm, name));
        let blob = BASE64.decode(blob.as_bytes()).expect("base64");
        let public = fields(&blob);
        assert_eq!((public[0], public.len()), (algorithm.as_bytes(), public_fields));

        let private = text(&value, name);
        let body: String = private.lines().filter(|line| !line.starts_with('-')).collect();
        assert!(private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        assert!(private.ends_with("\n-----END OPENSSH PRIVATE KEY-----\n"));
        assert!(private.lines().all(|line| line.len() <= 70));
        let whole = BASE64.decode(body.as_bytes()).expect("base64");
        let rest = whole.strip_prefix(b"openssh-key-v1\0").expect("the magic");
        let [cipher, kdf, options] = fields(&rest[..20])[..] else {
            panic!("{rest:?}")
        };
        assert_eq!((cipher, kdf, options), (&b"none"[..], &b"none"[..], &b""[..]));
        let keys = fields(&rest[24..]);
        assert_eq!(keys[0], blob);
        assert_eq!(keys[1].len() % 8, 0);
        assert_eq!(keys[1][..4], keys[1][4..8]);
    }
}

#[test]
fn an_ssh_auth_key_is_openssh_and_every_other_pkcs8_unless_its_source_says_otherwise() {
    let begins = |value: &Value, key: &str| text(value, key).lines().next().expect("a line").to_owned();
    let (openssh, pkcs8) = (
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----",
    );
    let ed = |format| KeySource::Ed25519(Ed25519Source { format });
    for (key, format, ssh_auth, expected) in [
        ("ssh-privatekey", None, false, openssh),
        ("deploy", None, true, openssh),
        ("deploy", None, false, pkcs8),
        ("ssh-privatekey", Some(KeyFormat::Pkcs8), true, pkcs8),
        ("deploy", Some(KeyFormat::OpenSsh), false, openssh),
    ] {
        let sources = BTreeMap::from([(key.to_owned(), ed(format))]);
        let environment = GenerateContext {
            now: now(),
            authority: None,
            replaces: PreviousValue::Nothing,
            ssh_auth,
        };
        let value = generate(&sources, &environment, &mut Fixed(1)).expect("made");
        assert_eq!(begins(&value, key), expected, "{key} {format:?} {ssh_auth}");
    }
}
