//! The cells of the operation matrix at the shared gateway and at a dedicated one, over HTTPS, with the token
//! of a manager and that of a user.

use http::Method;
use serde_json::json;

use crate::https::Api;
use crate::scene::{PG, Scene};
use crate::support::eventually;

const MATRIX: &str = include_str!("../../../operator/rules/src/product/matrix.csv");

/// Where the cells are written as they were seen.
const SEEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/product-matrix.txt");

/// Policies allow the user everything: what is refused, the matrix refuses.
const USERS_POLICIES: &str = "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: app, namespace: shop}\nspec:\n  \
    identities: {serviceAccounts: [app]}\n  statements:\n  \
    - {effect: Allow, actions: [\"secrets:*\"], resources: [\"secret/*\"]}\n  \
    - {effect: Allow, actions: [\"keys:*\"], resources: [\"key/*\"]}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: pg-uses-keys, namespace: shop}\nspec:\n  \
    secrets: [\"pg!*\"]\n  statements:\n  - {effect: Allow, principals: [{product: pg}], actions: [\"keys:*\"]}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: EncryptionKey\nmetadata: {name: payments, namespace: shop}\nspec: {}\n";

/// How an operation ends that nothing refuses, on a secret that is not deleted and whose values come from
/// outside.
fn allowed(operation: &str) -> (u16, &'static str) {
    match operation {
        "CreateSecret" | "PutSecretValue" => (201, ""),
        "RestoreSecret" => (409, "NotInRecoveryWindow"),
        "RotateSecret" | "UpdateSecretRotationPolicy" => (409, "NotRotatable"),
        _ => (200, ""),
    }
}

fn expected(operation: &str, cell: &str) -> (u16, &'static str) {
    match (cell, operation) {
        ("yes" | "identity" | "both", _) => allowed(operation),
        ("managed" | "user-may", _) => (403, "ProductManaged"),
        // It is not listed.
        ("hosting", "ListSecrets") => (200, "absent"),
        ("hosting", _) => (403, "HostingRefused"),
        ("no-policy", "GetSecretPolicy") => (404, "PolicyNotFound"),
        ("no-policy", _) => (403, "HostingRefused"),
        other => panic!("{other:?} is no word of the matrix"),
    }
}

/// One cell: who does what with the secret of which hosting.
struct Cell<'a> {
    api: &'a Api,
    operation: &'a str,
    token: &'a str,
    hosting: &'a str,
    number: usize,
}

impl Cell<'_> {
    /// Does it, and says how it ended.
    fn run(&self) -> (u16, String) {
        let secret = format!("/pg!{}", self.hosting);
        let value = json!({"data": {"password": "bmV3"}});
        let statement = json!({"effect": "Allow", "principals": [{"serviceAccount": "app"}], "actions": ["secrets:GetSecretValue"]});
        let (method, rest, body) = match self.operation {
            "CreateSecret" => {
                let mut new = new(&format!("pg!new-{}", self.number), self.hosting);
                new["versionId"] = json!("v-1");
                let answer = self.api.ask(self.token, Method::POST, "", Some(&new));
                return answer.ended();
            }
            "ListSecrets" => {
                let answer = self.api.ask(self.token, Method::GET, "", None);
                let listed = answer.body["secrets"].as_array().cloned().unwrap_or_default();
                let name = format!("pg!{}", self.hosting);
                let is_listed = listed.iter().any(|secret| secret["name"] == name.as_str());
                let said = if is_listed { "" } else { "absent" };
                return (answer.status.as_u16(), said.to_owned());
            }
            "DescribeSecret" => (Method::GET, String::new(), None),
            "UpdateSecret" => (Method::PATCH, String::new(), Some(json!({"description": "d"}))),
            "PutSecretValue" => (Method::PUT, format!("/versions/v-{}", self.number), Some(value)),
            "UpdateSecretVersionStage" => (
                Method::POST,
                "/stages/mine".to_owned(),
                Some(json!({"moveTo": "v-first"})),
            ),
            "DeleteSecret" => (Method::DELETE, String::new(), None),
            "RestoreSecret" => (Method::POST, "/restore".to_owned(), None),
            "ListSecretVersionIds" => (Method::GET, "/versions".to_owned(), None),
            "RotateSecret" => (
                Method::POST,
                "/rotation".to_owned(),
                Some(json!({"token": "once"})),
            ),
            "UpdateSecretRotationPolicy" => (
                Method::PUT,
                "/rotation".to_owned(),
                Some(json!({"enabled": true, "every": "30d"})),
            ),
            "SetSecretPolicy" => (
                Method::PUT,
                "/policy".to_owned(),
                Some(json!({"statements": [statement]})),
            ),
            "GetSecretValue" => (Method::GET, "/value".to_owned(), None),
            "GetSecretPolicy" => (Method::GET, "/policy".to_owned(), None),
            other => panic!("{other} is no operation"),
        };
        let path = format!("{secret}{rest}");
        let ended = self.api.ask(self.token, method, &path, body.as_ref()).ended();
        if self.operation == "DeleteSecret" && ended.0 == 200 {
            let restore = format!("{secret}/restore");
            let back = self.api.ask(self.token, Method::POST, &restore, None);
            assert_eq!(back.status, 200, "{back:?}");
        }
        ended
    }
}

/// A secret of this hosting.
fn new(name: &str, hosting: &str) -> serde_json::Value {
    let mut new = json!({"name": name, "versionId": "v-first", "data": {"password": "Zmlyc3Q="}});
    if hosting == "paid" {
        new["encryptionKey"] = json!("payments");
    }
    new
}

#[test]
fn every_cell_of_the_matrix_at_both_kinds_of_gateway() {
    let scene = Scene::new();
    scene.product("pg", PG, "[Free, Paid]", "");
    scene.f.apply(USERS_POLICIES);
    let (manager, user) = (scene.token(PG), scene.token("system:serviceaccount:shop:app"));
    for hosting in ["free", "paid"] {
        let body = new(&format!("pg!{hosting}"), hosting);
        eventually("the manager's first secrets", || {
            let answer = scene.api.ask(&manager, Method::POST, "", Some(&body));
            (answer.status == 201).then_some(())
        });
        eventually("the user's policies to be in force", || {
            let answer = scene.get(&user, &format!("/pg!{hosting}/value"));
            (answer.status == 200).then_some(())
        });
    }
    let mut lines = MATRIX.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut seen = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(',').collect();
        let operation = words[0];
        for (column, word) in columns.iter().zip(&words).skip(1) {
            let mut parts = column.split('-');
            let (role, hosting, listener) = (
                parts.next().unwrap(),
                parts.next().unwrap(),
                parts.next().unwrap(),
            );
            let cell = Cell {
                api: match listener {
                    "shared" => &scene.api,
                    "dedicated" => &scene.dedicated,
                    other => panic!("{other} is no kind of gateway"),
                },
                operation,
                token: if role == "product" { &manager } else { &user },
                hosting,
                number: seen.len(),
            };
            let ended = cell.run();
            let (status, code) = expected(operation, word);
            assert_eq!(ended, (status, code.to_owned()), "{operation} {column}: {word}");
            seen.push(format!("{operation} {column}: {word}: {status} {code}"));
        }
    }
    assert_eq!(seen.len(), 112);
    // As it was seen, for whoever wants to read it.
    std::fs::write(SEEN, seen.join("\n") + "\n").unwrap();
    assert!(scene.stop());
}
