//! The promise: the OpenAPI document is true. Requests that are made from it, sensible ones and others, get
//! no answer that it does not describe, and none of them brings the server down.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use strongroom_e2e::Strongroom;
use support::{Fixture, free_port};

/// What makes the requests: from PyPI, of this release alone.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// The program, in an environment of its own that outlives the test.
fn schemathesis() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/schemathesis-venv");
    let program = folder.join("bin/schemathesis");
    let run = |program: &Path, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).status().unwrap();
        assert!(done.success(), "{} {arguments:?}", program.display());
    };
    let stamp = folder.join(SCHEMATHESIS);
    if !stamp.exists() {
        run(
            Path::new("python3"),
            &["-m", "venv", "--clear", folder.to_str().unwrap()],
        );
        run(
            &folder.join("bin/pip"),
            &["install", "--quiet", "--disable-pip-version-check", SCHEMATHESIS],
        );
        std::fs::write(stamp, "").unwrap();
    }
    program
}

/// The document, with names in its paths of which some are there: of any other one every answer would be that
/// it is not.
fn with_what_there_is() -> Value {
    let document = include_str!("../../docs/openapi.json");
    let mut document: Value = serde_json::from_str(document).unwrap();
    for item in document["paths"].as_object_mut().unwrap().values_mut() {
        for parameter in item["parameters"].as_array_mut().unwrap() {
            let names = match parameter["name"].as_str().unwrap() {
                "namespace" => &["shop"][..],
                "name" => &["a", "b", "c"],
                "version" => &["v-1", "v-2"],
                _ => &["Current", "Previous", "canary"],
            };
            parameter["schema"] = serde_json::json!({"type": "string", "enum": names});
        }
    }
    document
}

#[test]
fn what_the_document_says_is_what_the_server_does() {
    let program = schemathesis();
    let f = Fixture::new();
    let port = free_port();
    let mut strongroom = f.start_api(port);
    for name in ["a", "b"] {
        f.apply(&format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             source: {{generate: {{keys: {{password: {{password: {{}}}}}}}}}}\n"
        ));
        f.wait_ready(name, "True", "Ready");
    }
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: c, namespace: shop}\nspec: {source: {external: {}}}\n",
    );
    f.wait_ready("c", "False", "AwaitingValue");
    let token = f.app_token();
    let folder = f.keep.path();
    std::fs::write(folder.join("ca.crt"), f.authority()).unwrap();
    let document = folder.join("openapi.json");
    std::fs::write(&document, with_what_there_is().to_string()).unwrap();
    // A stream has no end to wait for.
    std::fs::write(
        folder.join("schemathesis.toml"),
        format!(
            "base-url = \"https://localhost:{port}\"\n\
             tls-verify = \"{ca}\"\n\
             request-timeout = 20.0\n\
             headers = {{ Authorization = \"Bearer ${{TOKEN}}\" }}\n\
             [checks]\n\
             enabled = false\n\
             not_a_server_error.enabled = true\n\
             status_code_conformance.enabled = true\n\
             content_type_conformance.enabled = true\n\
             response_schema_conformance.enabled = true\n\
             [[operations]]\n\
             include-operation-id = \"WatchSecret\"\n\
             enabled = false\n",
            ca = folder.join("ca.crt").display(),
        ),
    )
    .unwrap();
    // What deletes comes last, or nothing would be left for the others.
    let last = ["DeleteSecret", "RestoreSecret"];
    let mut said = String::new();
    for how in ["--exclude-operation-id", "--include-operation-id"] {
        let output = Command::new(&program)
            .current_dir(folder)
            .env("TOKEN", &token)
            .args(["run", document.to_str().unwrap()])
            .args([
                "--seed=7",
                "--max-examples=60",
                "--workers=1",
                "--phases=examples,coverage,fuzzing",
            ])
            .args(last.iter().flat_map(|id| [how, id]))
            .output()
            .unwrap();
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
    }
    assert!(!said.contains(&token));
    assert!(strongroom.ended().is_none(), "{}", strongroom.log());
    // It went somewhere: values were read, and secrets made.
    let listed = Command::new(Strongroom::binary())
        .args([
            "audit",
            "list",
            "--limit=0",
            "--outcome=success",
            "--output=json",
            "--data-dir",
        ])
        .arg(f.data().join("data"))
        .output()
        .unwrap();
    let records = String::from_utf8_lossy(&listed.stdout).into_owned();
    for action in [
        "GetSecretValue",
        "CreateSecret",
        "UpdateSecret",
        "RotateSecret",
        "ListSecrets",
    ] {
        let is_one = |line: &&str| {
            line.contains(&format!("\"action\":\"{action}\"")) && line.contains("serviceaccount shop/app")
        };
        let number = records.lines().filter(is_one).count();
        assert!(number > 0, "no {action} was done; {said}");
    }
    strongroom.stop().unwrap();
}
