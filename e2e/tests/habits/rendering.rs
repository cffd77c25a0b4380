//! Templates, formats, and exact bytes.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::runner::{Case, cases};
use crate::support::answers::bytes;
use crate::support::{condition, eventually};
use crate::tenant::Tenant;

pub(crate) const CASES: &[Case] = cases![
    position_and_cause_are_told_to_whoever_may_read_the_value,
    bytes_are_exact_from_an_import_and_a_file_to_secret_volume_socket_and_api,
];

/// Lets users use `kubectl strongroom` and see objects and pods; `reader` may read values as well.
fn people(t: &Tenant<'_>) {
    for user in ["reader", "colleague"] {
        for role in ["strongroom-user", "view"] {
            let (name, role, user) = (
                format!("{user}-{role}"),
                format!("--clusterrole={role}"),
                format!("--user={user}"),
            );
            t.kubectl(&["create", "rolebinding", &name, &role, &user]);
        }
    }
    t.apply(
        "{apiVersion: strongroom.dev/v1alpha1, kind: SecretPolicy, metadata: {name: reader}, spec: {secrets: [\"*\"], statements: [\
         {effect: Allow, principals: [{user: reader}], actions: [\"secrets:*\"]}]}}",
    );
}

fn position_and_cause_are_told_to_whoever_may_read_the_value(t: &Tenant<'_>) {
    people(t);
    t.manage(
        "app",
        "{source: {generate: {keys: {encoded: {literal: 'ab@c'}}}}, readers: [default], \
         secret: {name: app, template: {key: '{{ encoded | b64decode }}'}}}",
    );
    let sentence = eventually("the condition to say what does not fit", || {
        let ready = condition(&t.managed("app"), "Ready")?;
        let message = ready["message"].as_str()?.to_owned();
        message.contains("does not fit").then_some(message)
    });
    for said in ["`key`", "`encoded`", "b64decode"] {
        assert!(sentence.contains(said), "{said}: {sentence}");
    }
    let here = "character 3 is '@'";
    assert!(
        !sentence.contains('@') && !sentence.contains("character"),
        "{sentence}"
    );
    // Rights are seen before long.
    eventually("the reader to hear where and why", || {
        let (success, stdout, stderr) = t.person(Some("reader"), &["render", "app"], "");
        assert!(!success && stdout.is_empty(), "{stdout}");
        stderr.contains(here).then_some(())
    });
    // The same of a pod's volume, and what does fit of it is shown.
    t.start_pod(
        "app",
        "volumeMounts: [{name: s, mountPath: /s, readOnly: true}]",
        "volumes: [{name: good, csi: {driver: csi.strongroom.dev, readOnly: true, volumeAttributes: {secrets: app}}}, \
         {name: s, csi: {driver: csi.strongroom.dev, readOnly: true, volumeAttributes: {secrets: \
         '[{name: app, files: [{path: key, template: \"{{ encoded | b64decode }}\"}]}]'}}}]",
    );
    t.event("app", "does not fit");
    let events = t.events("app");
    assert!(
        events.iter().all(|(_, message)| !message.contains("'@'")),
        "{events:?}"
    );
    let (success, stdout, stderr) = t.person(Some("reader"), &["render", "--pod", "app"], "");
    assert!(
        !success && stderr.contains(here) && stderr.contains("volume `s`"),
        "{stderr}"
    );
    assert!(stdout.contains("encoded") && stdout.contains("ab@c"), "{stdout}");
    // Who sees objects and pods, and may not read the value, hears neither; also an administrator does not.
    for user in [Some("colleague"), None] {
        for what in [&["render", "app"][..], &["render", "--pod", "app"]] {
            let (success, stdout, stderr) = t.person(user, what, "");
            assert!(
                !success && stdout.is_empty() && stderr.contains("PolicyDenied"),
                "{what:?}: {stderr}"
            );
            assert!(!stderr.contains('@') && !stderr.contains("character"), "{stderr}");
        }
    }
    // What fits comes out, byte by byte.
    t.manage(
        "app",
        "{source: {generate: {keys: {encoded: {literal: 'AAr/'}}}}, readers: [default], \
         secret: {name: app, template: {key: '{{ encoded | b64decode }}'}}}",
    );
    t.wait_ready("app", "True", "Ready");
    let (success, stdout, stderr) = t.person(Some("reader"), &["render", "app", "--output=json"], "");
    assert!(success, "{stderr}");
    let rendered: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(rendered["data"], json!({"key": "AAr/"}));
    assert_eq!(t.secret("app").unwrap()["data"], rendered["data"]);
    t.kubectl(&["wait", "--for=condition=Ready", "pod/app", "--timeout=120s"]);
    let (success, stdout, stderr) =
        t.person(Some("reader"), &["render", "--pod", "app", "--output=json"], "");
    assert!(success, "{stderr}");
    let rendered: Value = serde_json::from_str(&stdout).unwrap();
    let files = rendered["files"].as_array().unwrap();
    let made = files.iter().find(|file| file["path"] == "key").unwrap();
    assert_eq!((&made["data"], &made["mode"]), (&json!("AAr/"), &json!("0444")));
}

/// A value of 150 keys that is as large as one may be: 64 KiB with the names of the keys.
fn odd_bytes() -> BTreeMap<String, Vec<u8>> {
    let odd: [(&str, &[u8]); 9] = [
        ("nul", b"a\0b\0"),
        ("bom", b"\xef\xbb\xbfx\n"),
        ("crlf", b"a\r\nb\r\n"),
        ("no-last-newline", b"a\nb"),
        ("newlines", b"a\n\n\n"),
        ("newline", b"\n"),
        ("empty", b""),
        ("no-text", b"\xff\xfe\x80"),
        // The end of a key store (PKCS#12) may be a newline's byte.
        ("keystore.p12", b"0\x82\x01\x00\x02\x01\x03\xff\x0a"),
    ];
    let mut value: BTreeMap<String, Vec<u8>> = odd
        .iter()
        .map(|(key, bytes)| ((*key).to_owned(), bytes.to_vec()))
        .collect();
    for number in value.len()..149 {
        value.insert(format!("key-{number}"), vec![u8::try_from(number).unwrap(); 3]);
    }
    let size: usize = value.iter().map(|(key, bytes)| key.len() + bytes.len()).sum();
    let rest = 64 * 1024 - size - "rest".len();
    let all = (0..=u8::MAX).cycle().take(rest).collect();
    value.insert("rest".to_owned(), all);
    assert_eq!(value.len(), 150);
    value
}

/// Puts a value whose keys are files, as soon as rights are seen.
fn put_files(t: &Tenant<'_>, secret: &str, value: &BTreeMap<String, Vec<u8>>) {
    let folder = t.f.keep.path().join(format!("{}-{secret}", t.name));
    std::fs::create_dir(&folder).unwrap();
    let mut put = vec!["put".to_owned(), secret.to_owned(), "--wait=60s".to_owned()];
    for (key, bytes) in value {
        let file = folder.join(key);
        std::fs::write(&file, bytes).unwrap();
        put.extend(["--from-file".to_owned(), format!("{key}={}", file.display())]);
    }
    let put: Vec<&str> = put.iter().map(String::as_str).collect();
    eventually("the files to be put", || {
        let (success, _, stderr) = t.person(Some("reader"), &put, "");
        let early = ["PolicyDenied", "SecretNotFound", "forbidden"];
        assert!(
            success || early.iter().any(|why| stderr.contains(why)),
            "{stderr}"
        );
        success.then_some(())
    });
}

/// What the socket of the volume at `/exact` answers.
fn asked(t: &Tenant<'_>, secret: &str) -> Value {
    let script = format!(
        "for process in /proc/[0-9]*; do socket=$process/root/exact/..strongroom.sock; [ ! -S $socket ] || \
         exec curl --silent --unix-socket $socket http://localhost/v1/{secret}; done"
    );
    serde_json::from_str(&t.f.on_node(&script)).unwrap()
}

fn bytes_are_exact_from_an_import_and_a_file_to_secret_volume_socket_and_api(t: &Tenant<'_>) {
    people(t);
    let value = odd_bytes();
    let encoded = |value: &BTreeMap<String, Vec<u8>>| {
        let data = value
            .iter()
            .map(|(key, bytes)| (key.clone(), json!(BASE64.encode(bytes))));
        Value::Object(data.collect())
    };
    // One comes by an import, the others from files.
    let before = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "before"}, "data": encoded(&value)});
    t.apply(&before.to_string());
    t.manage(
        "imported",
        "{source: {import: {secretRef: {name: before}}}, secret: {name: imported}, readers: [default]}",
    );
    let mut texts = value.clone();
    texts.retain(|_, bytes| std::str::from_utf8(bytes).is_ok());
    let store = BTreeMap::from([("value".to_owned(), value["keystore.p12"].clone())]);
    let put = [("put", &value), ("texts", &texts), ("store", &store)];
    for (name, value) in put {
        t.manage(
            name,
            &format!("{{source: {{external: {{}}}}, secret: {{name: {name}}}, readers: [default]}}"),
        );
        put_files(t, name, value);
        t.wait_ready(name, "True", "Ready");
    }
    t.wait_ready("imported", "True", "Ready");
    t.run_pod(
        "app",
        "volumeMounts: [{name: s, mountPath: /exact, readOnly: true}]",
        "volumes: [{name: s, csi: {driver: csi.strongroom.dev, readOnly: true, volumeAttributes: {socket: \"true\", secrets: \
         '[{name: imported, directory: imported}, {name: put, directory: put}, {name: texts, directory: texts}, \
         {name: store, directory: store}]'}}}]",
    );
    for (secret, value) in put.into_iter().chain([("imported", &value)]) {
        let data = encoded(value);
        assert!(
            t.secret(secret).unwrap()["data"] == data,
            "{secret}: the native Secret"
        );
        let (success, stdout, stderr) = t.person(Some("reader"), &["get", secret, "--output=json"], "");
        assert!(success, "{stderr}");
        let answer: Value = serde_json::from_str(&stdout).unwrap();
        assert!(bytes(&answer) == *value, "{secret}: the API");
        let script = format!(
            "cd /exact/{secret} && for file in *; do echo \"$file $(base64 \"$file\" | tr -d '\\n')\"; done"
        );
        let said = t.exec("app", &["sh", "-c", &script]);
        let files = said.lines().map(|line| line.split_once(' ').unwrap());
        let files: BTreeMap<&str, &str> = files.collect();
        assert!(json!(files) == data, "{secret}: the volume");
    }
    // The socket tells texts as JSON, and a secret of one value as it is.
    let told = asked(t, "texts");
    let told: BTreeMap<String, String> =
        serde_json::from_str(told["SecretString"].as_str().unwrap()).unwrap();
    let told = told
        .into_iter()
        .map(|(key, text)| (key, text.into_bytes()))
        .collect();
    assert!(texts == told, "the socket");
    assert_eq!(asked(t, "store")["SecretBinary"], BASE64.encode(&store["value"]));
    // From a pipe, one line of text loses its newline, and nothing else does.
    for (stdin, keeps, stored) in [
        ("x\n", false, "x"),
        ("x\n", true, "x\n"),
        ("x\ny\n", false, "x\ny\n"),
    ] {
        let keep = if keeps { &["--keep-newline"][..] } else { &[] };
        let put = [&["put", "put", "--key", "token"], keep].concat();
        let (success, _, stderr) = t.person(Some("reader"), &put, stdin);
        assert!(success, "{stderr}");
        let loses = stdin != stored;
        assert_eq!(
            stderr.matches("was removed").count(),
            usize::from(loses),
            "{stderr}"
        );
        let (_, read, _) = t.person(Some("reader"), &["get", "put", "--key", "token"], "");
        assert_eq!(read, stored);
    }
}
