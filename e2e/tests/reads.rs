//! The promise: a script in a pod reads a secret over HTTPS with a projected token and the ConfigMap
//! `strongroom-ca` alone; whoever no policy allows is told what is missing, or nothing; and every attempt is
//! in the chain.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::BASE64;
use serde_json::{Value, json};
use strongroom_api::v1::{
    DeleteSecretAnswer, ExplainAccessAnswer, ProblemDocument, RotateSecretAnswer, SecretAnswer, ValueAnswer,
};
use strongroom_e2e::Size;
use support::answers::{bytes, code, records, typed, verified};
use support::{Fixture, eventually};

/// What a person would write: nothing but Python's own library.
const SCRIPT: &str = r#"
import json, ssl, sys, urllib.error, urllib.request
trust = ssl.create_default_context(cafile="/strongroom/ca.crt")
how = sys.argv[2] if len(sys.argv) > 2 else "get"
token = sys.stdin.read().strip() if how == "token" else open("/strongroom/token").read()
request = urllib.request.Request(
    "https://strongroom-gateway.strongroom.svc/v1/namespaces/shop/secrets" + (sys.argv[1] and "/" + sys.argv[1]), headers={"Authorization": "Bearer " + token})
if how in ("put", "post", "patch", "delete"):
    request.data, request.method = sys.stdin.buffer.read(), how.upper()
try:
    answer = urllib.request.urlopen(request, context=trust, timeout=20)
except urllib.error.HTTPError as refused:
    answer = refused
print(json.dumps({"status": answer.getcode(), "body": json.load(answer)}))
"#;

/// Attempts so far, each of which leaves a record.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// A pod of a ServiceAccount of its own, with the machine's Python, a token for the API and what it has to
/// trust.
fn pod(f: &Fixture, name: &str) {
    // Where the linker is not below /usr/lib, as on x86-64.
    let more = Path::new("/usr/lib64").exists();
    let mounts = if more {
        ", {name: lib64, mountPath: /lib64, readOnly: true}"
    } else {
        ""
    };
    let volumes = if more {
        "  - {name: lib64, hostPath: {path: /usr/lib64}}\n"
    } else {
        ""
    };
    f.apply(&format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: shop}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  serviceAccountName: {name}\n  \
         automountServiceAccountToken: false\n  terminationGracePeriodSeconds: 0\n  containers:\n  - name: app\n    \
         image: strongroom.test/busybox:1\n    imagePullPolicy: Never\n    volumeMounts:\n    \
         - {{name: strongroom, mountPath: /strongroom, readOnly: true}}\n    \
         - {{name: lib, mountPath: /lib, readOnly: true}}\n    \
         - {{name: usr, mountPath: /usr, readOnly: true}}\n    - {{name: tmp, mountPath: /tmp}}\n    {}\n  volumes:\n  \
         - {{name: lib, hostPath: {{path: /usr/lib}}}}\n  - {{name: usr, hostPath: {{path: /usr}}}}\n{volumes}  - {{name: tmp, emptyDir: {{}}}}\n  \
         - name: strongroom\n    projected:\n      sources:\n      \
         - serviceAccountToken: {{audience: strongroom.dev, path: token, expirationSeconds: 600}}\n      \
         - configMap: {{name: strongroom-ca}}\n",
        mounts.trim_start_matches(", ").replacen('{', "- {", usize::from(more)),
    ));
    f.wait_pod(name);
}

/// What the script in the pod gets.
fn read(f: &Fixture, pod: &str, path: &str) -> (u64, Value) {
    ASKED.fetch_add(1, Ordering::Relaxed);
    let said = f.kubectl(&[
        "-n",
        "shop",
        "exec",
        pod,
        "--",
        "/usr/bin/python3",
        "-c",
        SCRIPT,
        path,
    ]);
    let answer: Value = serde_json::from_str(said.trim()).unwrap();
    (answer["status"].as_u64().unwrap(), answer["body"].clone())
}

/// What the script gets that writes; the body comes by standard input.
fn write(f: &Fixture, pod: &str, how: &str, path: &str, body: &str) -> (u64, Value) {
    ASKED.fetch_add(1, Ordering::Relaxed);
    let python = ["/usr/bin/python3", "-c", SCRIPT, path, how];
    let exec = ["-n", "shop", "exec", "-i", pod, "--"];
    let (success, said, stderr) = f.piped(&[&exec[..], &python[..]].concat(), body);
    assert!(success, "{stderr}");
    let answer: Value = serde_json::from_str(said.trim()).unwrap();
    (answer["status"].as_u64().unwrap(), answer["body"].clone())
}

/// A rotation that is asked for over the API: once for each token.
fn rotates(f: &Fixture) {
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: rotates, namespace: shop}\nspec:\n  \
         secrets: [db-main]\n  statements:\n  - {effect: Allow, principals: [{serviceAccount: app}], actions: [\"secrets:RotateSecret\"]}\n",
    );
    let before = f.native("db-main").unwrap()["password"].clone();
    let rotate = || write(f, "app", "post", "db-main/rotation", "{\"token\": \"deploy-17\"}");
    let version = eventually("the policy to be in force", || {
        let (status, answer) = rotate();
        (status == 202).then(|| typed::<RotateSecretAnswer>(&answer).version_id)
    });
    eventually("the native Secret to hold another password", || {
        (f.native("db-main")?["password"] != before).then_some(())
    });
    let again = eventually("the rotation to be done", || {
        let (status, answer) = rotate();
        (status == 200).then(|| typed::<RotateSecretAnswer>(&answer).version_id)
    });
    assert_eq!(again, version);
    let (_, other) = write(f, "app", "post", "card/rotation", "{\"token\": \"x\"}");
    assert_eq!(code(&other), "PolicyDenied");
}

/// A secret whose values arrive over the API: it waits for the first one, and its native Secret follows each.
fn writes(f: &Fixture) {
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: partner, namespace: shop}\nspec:\n  \
         source: {external: {}}\n  secret: {name: partner}\n---\n\
         apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: partner, namespace: shop}\nspec:\n  \
         secrets: [partner]\n  statements:\n  - {effect: Allow, principals: [{serviceAccount: app}], actions: [\"secrets:PutSecretValue\"]}\n",
    );
    f.wait_ready("partner", "False", "AwaitingValue");
    let put = |pod: &str, version: &str, text: &str| {
        let body = json!({"data": {"token": BASE64.encode(text.as_bytes())}}).to_string();
        let (status, answer) = write(f, pod, "put", &format!("partner/versions/{version}"), &body);
        (status, code(&answer))
    };
    eventually("the policy to be in force", || {
        (put("app", "v-1", "first").0 == 201).then_some(())
    });
    assert_eq!(put("app", "v-1", "first"), (200, String::new()));
    assert_eq!(put("app", "v-1", "other"), (409, "VersionConflict".to_owned()));
    assert_eq!(put("neighbour", "v-2", "mine").0, 404);
    f.wait_ready("partner", "True", "Ready");
    let holds = |text: &str| {
        let native = f.native("partner")?;
        (native["token"] == BASE64.encode(text.as_bytes()).as_str()).then_some(())
    };
    eventually("the native Secret to hold the first value", || holds("first"));
    assert_eq!(put("app", "v-2", "second").0, 201);
    eventually("the native Secret to follow", || holds("second"));
}

/// A secret whose object is made, changed, deleted and made again over the API; what a GitOps tool keeps is
/// left alone.
fn makes(f: &Fixture) {
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: makes, namespace: shop}\nspec:\n  \
         secrets: [\"acs/*\", db-main]\n  statements:\n  - {effect: Allow, principals: [{serviceAccount: app}], actions: [\"secrets:*\"]}\n",
    );
    let data = json!({"token": BASE64.encode(b"first")});
    let new = json!({"name": "acs/Partner", "versionId": "v-1", "data": data, "labels": {"team": "shop"}});
    let made = eventually("the policy to be in force", || {
        let (status, answer) = write(f, "app", "post", "", &new.to_string());
        (status == 201).then(|| typed::<SecretAnswer>(&answer))
    });
    assert_eq!(
        made.labels,
        BTreeMap::from([("team".to_owned(), "shop".to_owned())])
    );
    let objects = f.json(&["-n", "shop", "get", "managedsecrets", "-l", "team=shop"]);
    let object = objects["items"][0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(object.starts_with("acs-partner-"), "{object}");
    let ready = f.wait_ready(&object, "True", "Ready");
    assert_eq!(ready["spec"]["storeName"], "acs/Partner");

    let path = "acs%2FPartner";
    let (status, changed) = write(f, "app", "patch", path, r#"{"description": "of the partner"}"#);
    assert_eq!(status, 200, "{changed}");
    assert_eq!(typed::<SecretAnswer>(&changed).description, "of the partner");
    assert_eq!(f.managed(&object)["spec"]["description"], "of the partner");
    let policy = r#"{"statements": [{"effect": "Allow", "principals": [{"serviceAccount": "neighbour"}], "actions": ["secrets:GetSecretValue"]}]}"#;
    assert_eq!(write(f, "app", "put", &format!("{path}/policy"), policy).0, 200);
    eventually("the neighbour to read it", || {
        (read(f, "neighbour", &format!("{path}/value")).0 == 200).then_some(())
    });

    let (status, gone) = write(f, "app", "delete", &format!("{path}?recoveryWindowDays=7"), "");
    assert_eq!(status, 200, "{gone}");
    assert!(typed::<DeleteSecretAnswer>(&gone).deletion.is_some());
    f.refused(&["-n", "shop", "get", "managedsecret", &object], "");
    let (_, refused) = read(f, "app", &format!("{path}/value"));
    assert_eq!(code(&refused), "InRecoveryWindow");
    assert_eq!(write(f, "app", "post", &format!("{path}/restore"), "").0, 200);
    f.wait_ready(&object, "True", "Ready");
    let (status, back) = read(f, "app", &format!("{path}/value"));
    assert_eq!(status, 200, "{back}");
    assert_eq!(
        bytes(&back),
        BTreeMap::from([("token".to_owned(), b"first".to_vec())])
    );

    // What `kubectl apply` keeps is changed there.
    let (status, kept) = write(f, "app", "delete", "db-main", "");
    assert_eq!(
        (status, code(&kept).as_str()),
        (409, "ManagedElsewhere"),
        "{kept}"
    );
    let rotation = r#"{"enabled": true, "every": "30d"}"#;
    assert_eq!(write(f, "app", "put", "db-main/rotation", rotation).0, 200);
    eventually("the schedule to cover the secret", || {
        f.managed("db-main")["status"]["nextRotation"]
            .is_string()
            .then_some(())
    });
}

/// Under a customer's key: disabling it stops both readers at once, and enabling it brings the same answers
/// back.
fn keys(f: &Fixture) {
    let key = |enabled: bool| {
        f.apply(&format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: EncryptionKey\nmetadata: {{name: payments, namespace: shop}}\n\
             spec: {{enabled: {enabled}}}\n"
        ));
    };
    let status =
        |field: &str| f.json(&["-n", "shop", "get", "encryptionkey", "payments"])["status"][field].clone();
    key(true);
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: card, namespace: shop}\nspec:\n  \
         encryptionKey: payments\n  source: {generate: {keys: {token: {password: {length: 40}}}}}\n  \
         readers: [app, neighbour]\n  secret: {name: card}\n",
    );
    f.wait_ready("card", "True", "Ready");
    let both = || ["app", "neighbour"].map(|pod| read(f, pod, "card/value"));
    let before = both();
    assert_eq!((before[0].0, before[1].0), (200, 200), "{before:?}");
    eventually("the key to count its secret", || {
        (status("secrets") == 1).then_some(())
    });

    key(false);
    eventually("the key to be disabled", || {
        (status("state") == "Disabled").then_some(())
    });
    for (refused, body) in both() {
        assert_eq!((refused, code(&body).as_str()), (409, "KeyDisabled"), "{body}");
    }
    let (answered, described) = read(f, "app", "card");
    assert_eq!(answered, 200, "{described}");
    let described: SecretAnswer = typed(&described);
    assert_eq!(described.encryption_key.as_deref(), Some("payments"));
    let explained: ExplainAccessAnswer = typed(&read(f, "app", "card/access").1);
    assert!(
        explained.allowed && explained.key.as_ref().unwrap().contains("is disabled"),
        "{explained:?}"
    );
    f.wait_ready("card", "False", "KeyDisabled");
    let native = f.json(&["-n", "shop", "get", "secret", "card"]);
    assert_eq!(
        native["metadata"]["annotations"]["strongroom.dev/held"],
        "KeyDisabled"
    );
    let token = &bytes(&before[0].1)["token"];
    assert_eq!(native["data"]["token"], BASE64.encode(token));

    key(true);
    eventually("the key to be enabled", || {
        (status("state") == "Enabled").then_some(())
    });
    assert_eq!(both(), before);
    f.wait_ready("card", "True", "Ready");

    // What became of each is told where people look first.
    let told = |kind: &str, name: &str, reasons: &[&str]| {
        eventually(&format!("{reasons:?} of {name}"), || {
            let described = f.kubectl(&["-n", "shop", "describe", kind, name]);
            reasons
                .iter()
                .all(|reason| described.contains(reason))
                .then_some(())
        });
    };
    // The state of the key and the condition of the secret are words of their own.
    told(
        "encryptionkey",
        "payments",
        &["KeyDeclared", "KeyDisabled", "KeyEnabled"],
    );
    f.kubectl(&["-n", "shop", "delete", "secret", "card"]);
    told(
        "managedsecret",
        "card",
        &["NativeSecretWritten", "NativeSecretRepaired"],
    );

    // Its object goes: the key works on, and the secret says so; applied again, it is the same key.
    let id = status("keyId");
    f.kubectl(&["-n", "shop", "delete", "encryptionkey", "payments"]);
    f.wait_ready("card", "False", "KeyObjectMissing");
    assert_eq!(both(), before);
    key(true);
    f.wait_ready("card", "True", "Ready");
    eventually("the key to be adopted", || (status("keyId") == id).then_some(()));
}

/// What the script in the pod `stranger` gets with this token, which comes by standard input: command lines
/// can be seen.
fn with_token(f: &Fixture, token: &str) -> Value {
    let script = ["/usr/bin/python3", "-c", SCRIPT, "db-main/value", "token"];
    let exec = ["-n", "shop", "exec", "-i", "stranger", "--"];
    let (success, said, stderr) = f.piped(&[&exec[..], &script[..]].concat(), token);
    assert!(success, "{stderr}");
    let said: Value = serde_json::from_str(said.trim()).unwrap();
    said["body"].clone()
}

fn is_value(answer: &Value) -> bool {
    serde_json::from_value::<ValueAnswer>(answer.clone()).is_ok()
}

/// These claims with other times, signed as the cluster signs them. Seconds from now.
fn token_until(f: &Fixture, header: &str, claims: &str, end: i64) -> String {
    use p256::ecdsa::signature::Signer;
    use p256::ecdsa::{Signature, SigningKey};
    use p256::pkcs8::DecodePrivateKey;

    let decoded = data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap();
    let mut claims: Value = serde_json::from_slice(&decoded).unwrap();
    let now = jiff::Timestamp::now().as_second();
    for (claim, at) in [("iat", end - 600), ("nbf", end - 600), ("exp", end)] {
        claims[claim] = json!(now + at);
    }
    let claims = data_encoding::BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
    let pem = std::fs::read_to_string(f.cluster.dir().join("pki/sa.key")).unwrap();
    let key = SigningKey::from_pkcs8_pem(&pem).unwrap();
    let signed = format!("{header}.{claims}");
    let signature: Signature = key.sign(signed.as_bytes());
    let signature = data_encoding::BASE64URL_NOPAD.encode(&signature.to_bytes());
    format!("{signed}.{signature}")
}

/// Tokens that prove nothing, and one that was stolen from a pod and outlives it for some seconds only.
fn tokens(f: &Fixture) {
    let encode = |value: Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    pod(f, "shortlived");
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: shortlived, namespace: shop}\nspec:\n  \
         secrets: [db-main]\n  statements:\n  - {effect: Allow, principals: [{serviceAccount: shortlived}], actions: [\"secrets:GetSecretValue\"]}\n",
    );
    let stolen = f.file_in("shortlived", "/strongroom/token");
    eventually("the token to be good", || {
        is_value(&with_token(f, &stolen)).then_some(())
    });
    let parts: Vec<&str> = stolen.trim().split('.').collect();
    assert_eq!(parts.len(), 3, "a token has three parts");
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    // What is signed here is good while it lasts.
    let good = with_token(f, &token_until(f, header, claims, 300));
    assert!(is_value(&good), "{good}");
    // The first byte of the signature is another one.
    let forged = if signature.starts_with('A') { "B" } else { "A" };
    let bad = [
        (
            "for the API server",
            f.kubectl(&["-n", "shop", "create", "token", "app"]),
        ),
        ("that has ended", token_until(f, header, claims, -60)),
        ("without a signature", format!("{header}.{claims}.")),
        (
            "that says it needs none",
            format!("{}.{claims}.", encode(json!({"alg": "none", "typ": "JWT"}))),
        ),
        ("cut short", stolen.trim()[..stolen.trim().len() - 8].to_owned()),
        (
            "of another key",
            format!("{header}.{claims}.{forged}{}", &signature[1..]),
        ),
        ("that is text", "let-me-in".to_owned()),
    ];
    for (what, token) in bad {
        let answer = with_token(f, &token);
        assert_eq!(code(&answer), "Unauthenticated", "a token {what}: {answer}");
    }
    f.kubectl(&["-n", "shop", "delete", "pod", "shortlived", "--wait=true"]);
    eventually("the token of a pod that is gone to be refused", || {
        (code(&with_token(f, &stolen)) == "Unauthenticated").then_some(())
    });
}

#[test]
fn a_pod_reads_what_policies_allow_and_every_attempt_is_in_the_chain() {
    let f = Fixture::bare(Size::OneNode);
    f.cluster.load_strongroom().unwrap();
    for namespace in ["strongroom", "shop"] {
        f.kubectl(&["create", "namespace", namespace]);
    }
    f.install(&[]);
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: db-main, namespace: shop}\nspec:\n  \
         source: {generate: {keys: {password: {password: {length: 40}}}}}\n  readers: [app]\n  secret: {name: db-main}\n---\n\
         apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: neighbours, namespace: shop}\nspec:\n  \
         secrets: [\"db-*\"]\n  statements:\n  - {effect: Allow, principals: [{serviceAccount: neighbour}], actions: [\"secrets:DescribeSecret\"]}\n",
    );
    f.wait_ready("db-main", "True", "Ready");
    for name in ["app", "neighbour", "stranger"] {
        pod(&f, name);
    }

    // Allowed: the same value as everywhere.
    let (status, body) = read(&f, "app", "db-main/value");
    assert_eq!(status, 200, "{body}");
    let password = &bytes(&body)["password"];
    assert_eq!(f.native("db-main").unwrap()["password"], BASE64.encode(password));
    assert_eq!(password.len(), 40);

    // Not allowed, but may know: what is missing. May not know: as if it were not there.
    let (status, denied) = read(&f, "neighbour", "db-main/value");
    let denied: ProblemDocument = typed(&denied);
    assert_eq!((status, denied.code.as_str()), (403, "PolicyDenied"), "{denied}");
    let (status, hidden) = read(&f, "stranger", "db-main/value");
    assert_eq!((status, code(&hidden).as_str()), (404, "SecretNotFound"));
    let (_, explained) = read(&f, "app", "db-main/access?principal=shop/neighbour");
    let explained: ExplainAccessAnswer = typed(&explained);
    assert_eq!(explained.missing_policies, denied.missing_policies);

    // What the denial offers allows it, without a restart of anything.
    f.apply(&denied.missing_policies[0]);
    eventually("the neighbour to be allowed", || {
        (read(&f, "neighbour", "db-main/value").0 == 200).then_some(())
    });
    // And a policy that goes takes the right with it, and says so in its status while it is there.
    let policy = f.json(&["-n", "shop", "get", "secretpolicy", "neighbours"]);
    assert_eq!(policy["status"]["statements"], 1);
    eventually("an Event of the policy", || {
        let described = f.kubectl(&["-n", "shop", "describe", "secretpolicy", "neighbours"]);
        described.contains("PolicyInForce").then_some(())
    });
    f.kubectl(&["-n", "shop", "delete", "secretpolicy", "--all"]);
    eventually("the neighbour to see nothing", || {
        (read(&f, "neighbour", "db-main/value").0 == 404).then_some(())
    });

    keys(&f);
    writes(&f);
    rotates(&f);
    makes(&f);

    tokens(&f);

    // The audit says who was refused what, from which pod, and why.
    let list = [
        "audit",
        "list",
        "--namespace=shop",
        "--outcome=failure",
        "--limit=0",
        "--output=json",
    ];
    let listed = f.run_in_strongroom(&list);
    let refused = records(&listed);
    let of = |pod: &str, code: &str| {
        let is_of = |text: &Option<String>, what: &str| text.as_deref() == Some(what);
        let mut refused = refused.iter();
        let found = refused.find(|record| is_of(&record.pod, pod) && is_of(&record.code, code));
        found.unwrap_or_else(|| panic!("no {code} of {pod} in {listed}"))
    };
    let denied = of("neighbour", "PolicyDenied");
    assert_eq!(
        (
            denied.action.as_str(),
            denied.secret.as_deref(),
            denied.principal.as_str()
        ),
        ("GetSecretValue", Some("db-main"), "serviceaccount shop/neighbour")
    );
    assert!(denied.source.is_some() && denied.node.is_some(), "{denied:?}");
    of("app", "KeyDisabled");

    // The chain proves itself with the public key alone.
    let key = f.run_in_strongroom(&["audit", "public-key"]);
    f.scale_strongroom(0);
    let store = f.cluster.volume("strongroom", 65532).unwrap().join("store");
    let report = verified(key.trim(), &store);
    let records = report
        .lines()
        .find_map(|line| {
            line.strip_prefix("read chain: ")?
                .split(' ')
                .next()?
                .parse::<usize>()
                .ok()
        })
        .unwrap();
    let asked = ASKED.load(Ordering::Relaxed);
    assert!(records >= asked, "{asked} attempts, {report}");
}
