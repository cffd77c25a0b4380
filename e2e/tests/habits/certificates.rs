//! Certificates and their authorities, and keys of other programs.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::runner::{Case, cases};
use crate::support::{condition, eventually};
use crate::tenant::Tenant;

pub(crate) const CASES: &[Case] = cases![
    a_certificate_is_renewed_before_its_end_and_one_that_is_not_is_not_ready,
    an_authority_with_a_new_key_takes_its_leaf_along,
    an_ssh_auth_secret_has_a_key_that_openssh_reads,
];

fn bytes(secret: &Value, key: &str) -> Vec<u8> {
    let text = secret["data"][key].as_str().unwrap();
    data_encoding::BASE64.decode(text.as_bytes()).unwrap()
}

fn text(secret: &Value, key: &str) -> String {
    String::from_utf8(bytes(secret, key)).unwrap()
}

/// What a program prints for files of this content, whose names are put in place of `{0}`, `{1}` and so on;
/// none where it fails.
fn says(program: &str, arguments: &[&str], files: &[&str]) -> Option<String> {
    let mut kept = Vec::new();
    for content in files {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        kept.push(file);
    }
    let arguments = arguments.iter().map(|argument| {
        kept.iter()
            .enumerate()
            .fold((*argument).to_owned(), |text, (number, file)| {
                text.replace(&format!("{{{number}}}"), file.path().to_str().unwrap())
            })
    });
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

fn verifies(roots: &str, chain: &str) -> bool {
    says(
        "openssl",
        &["verify", "-CAfile", "{0}", "-untrusted", "{1}", "{1}"],
        &[roots, chain],
    )
    .is_some()
}

fn a_certificate_is_renewed_before_its_end_and_one_that_is_not_is_not_ready(it: &Tenant<'_>) {
    let spec = |renew: &str| {
        format!(
            "{{source: {{generate: {{keys: {{tls: {{x509: {{dnsNames: [web.shop.svc], validFor: 60s{renew}}}}}}}}}}}, \
             secret: {{name: web{}, type: kubernetes.io/tls}}}}",
            if renew.is_empty() { "" } else { "-watched" }
        )
    };
    it.manage("web", &spec(""));
    it.manage("watched", &spec(", renewBefore: never"));
    let first = it.secret_where("to be there", "web", |_| true);
    let renewed = it.secret_where("to be renewed", "web", |secret| secret["data"] != first["data"]);
    assert_ne!(text(&first, "tls.key"), text(&renewed, "tls.key"));
    it.wait_ready("watched", "False", "CertificateExpired");
    it.wait_ready("web", "True", "Ready");
    eventually("Events of both", || {
        let has = |name: &str, reason: &str| it.events(name).iter().any(|(said, _)| said == reason);
        let expected = [
            ("web", "CertificateRenewed"),
            ("watched", "CertificateExpiring"),
            ("watched", "CertificateExpired"),
        ];
        expected
            .iter()
            .all(|(name, reason)| has(name, reason))
            .then_some(())
    });
    // What can be seen in one object is refused.
    let wrong = "{apiVersion: strongroom.dev/v1alpha1, kind: ManagedSecret, metadata: {name: wrong}, spec: {source: {generate: {keys: \
                 {tls: {x509: {dnsNames: [a.b], validFor: 7d, renewBefore: 1w}}}}}}}";
    let why = it.refused(&["apply", "-f", "-"], wrong);
    assert!(why.contains("renewBefore must be shorter than validFor"), "{why}");
    let fixed = "{apiVersion: strongroom.dev/v1alpha1, kind: ManagedSecret, metadata: {name: fixed}, spec: {source: {generate: {keys: \
                 {tls: {x509: {dnsNames: [a.b]}}}}}, secret: {name: fixed, immutable: true}}}";
    let why = it.refused(&["apply", "-f", "-"], fixed);
    assert!(why.contains("so its certificate cannot be renewed"), "{why}");
}

fn an_authority_with_a_new_key_takes_its_leaf_along(it: &Tenant<'_>) {
    it.manage(
        "ca",
        "{source: {generate: {keys: {ca: {x509: {commonName: shop CA, isCA: true}}}}}, secret: {name: ca}}",
    );
    it.manage(
        "web",
        "{source: {generate: {keys: {tls: {x509: {dnsNames: [web.shop.svc], ca: {managedSecret: {name: ca}}}}}}}, \
         secret: {name: web, type: kubernetes.io/tls}}",
    );
    let before = it.secret_where("to be there", "web", |_| true);
    let old_root = text(&before, "ca.crt");
    it.kubectl(&[
        "annotate",
        "managedsecret",
        "ca",
        "strongroom.dev/rotate-now=leaked",
    ]);
    let both = it.secret_where("to name both roots", "web", |secret| {
        text(secret, "ca.crt").matches("BEGIN").count() == 2
    });
    assert!(verifies(&text(&both, "ca.crt"), &text(&both, "tls.crt")));
    let signed = it.secret_where("to be signed anew", "web", |secret| {
        text(secret, "tls.crt") != text(&before, "tls.crt")
    });
    // Whoever has either leaf trusts the other.
    assert!(verifies(&text(&both, "ca.crt"), &text(&signed, "tls.crt")));
    assert!(!verifies(&old_root, &text(&signed, "tls.crt")));
    let alone = it.secret_where("to name the new root alone", "web", |secret| {
        text(secret, "ca.crt").matches("BEGIN").count() == 1
    });
    assert!(verifies(&text(&alone, "ca.crt"), &text(&alone, "tls.crt")));
    assert_eq!(text(&alone, "tls.crt"), text(&signed, "tls.crt"));
    let object = it.managed("web");
    assert_eq!(
        condition(&object, "CertificateCurrent").unwrap()["status"],
        "True",
        "{object}"
    );
}

fn an_ssh_auth_secret_has_a_key_that_openssh_reads(it: &Tenant<'_>) {
    for (name, algorithm) in [
        ("ed25519", "ssh-ed25519"),
        ("ecdsa", "ecdsa-sha2-nistp256"),
        ("rsa", "ssh-rsa"),
    ] {
        it.manage(
            name,
            &format!(
                "{{source: {{generate: {{keys: {{ssh-privatekey: {{{name}: {{}}}}}}}}}}, secret: {{name: {name}, type: kubernetes.io/ssh-auth}}}}"
            ),
        );
        let secret = it.secret_where("to be there", name, |_| true);
        let public = says(
            "ssh-keygen",
            &["-y", "-f", "{0}"],
            &[&text(&secret, "ssh-privatekey")],
        );
        assert_eq!(public, Some(text(&secret, "ssh-privatekey.pub")), "{name}");
        assert!(public.unwrap().starts_with(algorithm));
    }
}
