//! What was done on a running cluster, by users with fixed rights: it holds whatever the table says.

use serde_json::json;

use crate::support::{eventually, generated};
use crate::{bound, cluster, refused, user};

#[test]
fn the_attacks_that_worked_are_refused() {
    let f = cluster();
    f.apply(&format!(
        "{}{}{}",
        user("eve", &[]),
        bound("ed", "ClusterRole", "edit"),
        bound("ada", "ClusterRole", "admin")
    ));
    f.apply(&generated("db"));
    let plain = |name: &str, more: &str| {
        format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             source: {{generate: {{keys: {{a: {{uuid: {{}}}}}}}}}}\n{more}"
        )
    };
    f.apply(&plain("pin", ""));
    f.apply(&plain("card", "  encryptionKey: payments\n"));
    let patch = |user: &str, name: &str, patch: &str| {
        let who = format!("--as={user}");
        let object = [
            "-n",
            "shop",
            "patch",
            "managedsecret",
            name,
            "--type=merge",
            "-p",
            patch,
        ];
        f.tried(&[&[who.as_str()], &object[..]].concat(), "")
    };
    let leak = r#"{"spec":{"secret":{"name":"leak"}}}"#;
    // In force is what refuses; the roles are aggregated.
    for user in ["ed", "eve"] {
        let who = format!("--as={user}");
        let object = [
            "-n",
            "shop",
            "patch",
            "managedsecret",
            "pin",
            "--type=merge",
            "-p",
            leak,
        ];
        let dry = [&[who.as_str(), "--dry-run=server"], &object[..]].concat();
        eventually("rules and roles to be in force", || {
            let said = f.tried(&dry, "").err()?;
            said.contains("ask for the verb grant").then_some(())
        });
    }
    refused(
        patch("ed", "pin", leak),
        "ask for the verb grant on managedsecrets.strongroom.dev `pin`",
    );
    // H1 and N3: she may write ManagedSecrets, and nothing of Secrets.
    for (attack, needs) in [
        (
            r#"{"spec":{"secret":{"template":{"zz":"{{ nope }}"}}}}"#,
            "the verb get on secrets `db`",
        ),
        (
            r#"{"spec":{"secret":{"template":{"password":"chosen by eve"}}}}"#,
            "the verb get on secrets `db`",
        ),
        (
            r#"{"spec":{"secret":{"annotations":{"reflector":"all"}}}}"#,
            "the verb get on secrets `db`",
        ),
        (
            r#"{"spec":{"source":{"generate":{"keys":{"extra":{"literal":"x"}}}}}}"#,
            "the verb get on secrets `db`",
        ),
        (
            r#"{"spec":{"source":{"generate":null,"external":{}}}}"#,
            "the verb get on secrets `db`",
        ),
        (r#"{"spec":{"secret":null}}"#, "the verb delete on secrets `db`"),
    ] {
        refused(patch("eve", "db", attack), needs);
    }
    let delete = ["--as=eve", "-n", "shop", "delete", "managedsecret", "db"];
    refused(f.tried(&delete, ""), "the verb delete on secrets `db`");
    // Nor has she others delete it: the controller, which has not taken in that it is to be retained, and the
    // garbage collector.
    let gone = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0b5c4e0e-7a53-4c2b-9d5e-3f2d1c0b9a87",
    }]}});
    refused(
        patch("eve", "db", &gone.to_string()),
        "the verb delete on secrets `db`",
    );
    let retain = r#"{"spec":{"suspend":true,"deletion":{"policy":"Retain"}}}"#;
    patch("eve", "db", retain).unwrap();
    refused(f.tried(&delete, ""), "the verb delete on secrets `db`");
    patch("eve", "db", r#"{"spec":{"suspend":null,"deletion":null}}"#).unwrap();
    // H2: a value of the author's own may be shown from the beginning, another one needs grant. A new object
    // does not help: the controller does not bind it to the value of before.
    let make = |user: &str, object: &str| {
        let who = format!("--as={user}");
        f.tried(&[&who, "create", "-f", "-"], object)
    };
    make("ed", &plain("own", "  secret: {name: own}\n")).unwrap();
    patch("ed", "own", r#"{"spec":{"secret":{"template":{"b":"x"}}}}"#).unwrap();
    patch("ada", "pin", leak).unwrap();
    // H3: a leaf by an authority of the namespace is for edit, an authority by it for admin.
    let certificate = |name: &str, ca: bool| {
        format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             source: {{generate: {{keys: {{c: {{x509: {{commonName: c, isCA: {ca}, ca: {{managedSecret: {{name: corp-ca}}}}}}}}}}}}}}\n"
        )
    };
    refused(
        make("eve", &certificate("leaf", false)),
        "the verb sign on managedsecrets.strongroom.dev `corp-ca`",
    );
    make("ed", &certificate("leaf", false)).unwrap();
    refused(
        make("ed", &certificate("sub", true)),
        "the verb sign-ca on managedsecrets.strongroom.dev `corp-ca`",
    );
    refused(
        patch(
            "ed",
            "leaf",
            r#"{"spec":{"source":{"generate":{"keys":{"c":{"x509":{"isCA":true}}}}}}}"#,
        ),
        "the verb sign-ca",
    );
    make("ada", &certificate("sub", true)).unwrap();
    // M4: under a key until somebody who may change the key, or grant, lets go.
    for attack in [
        r#"{"spec":{"encryptionKey":null}}"#,
        r#"{"spec":{"encryptionKey":"hers"}}"#,
    ] {
        refused(
            patch("ed", "card", attack),
            "the verb update on encryptionkeys.strongroom.dev `payments`",
        );
    }
    patch("ed", "pin", r#"{"spec":{"encryptionKey":"payments"}}"#).unwrap();
    patch("ada", "card", r#"{"spec":{"encryptionKey":null}}"#).unwrap();
    // What nobody changes asks nothing: objects of before stay as they are.
    patch("eve", "db", r#"{"spec":{"description":"hers"}}"#).unwrap();
}

#[test]
fn a_key_says_which_secrets_must_lie_under_it() {
    let f = cluster();
    let object = |name: &str, key: &str| {
        format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             source: {{generate: {{keys: {{a: {{uuid: {{}}}}}}}}}}\n{key}"
        )
    };
    f.apply(&object("card-old", ""));
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: EncryptionKey\nmetadata: {name: pay, namespace: shop}\nspec: {requiredFor: [\"card-*\", \"a.b\"]}\n---\n\
         apiVersion: strongroom.dev/v1alpha1\nkind: EncryptionKey\nmetadata: {name: plain, namespace: shop}\nspec: {}\n",
    );
    let why = "EncryptionKey `pay` says in spec.requiredFor that this secret must lie under it";
    let dry = ["create", "--dry-run=server", "-f", "-"];
    eventually("the key to be asked", || {
        let said = f.tried(&dry, &object("card-new", "")).err()?;
        said.contains(why).then_some(())
    });
    let renamed = object("x", "  encryptionKey: plain\n  storeName: card-x\n");
    refused(f.tried(&dry, &renamed), why);
    for fits in [
        object("card-new", "  encryptionKey: pay\n"),
        object("discard-new", ""),
        object("axb", ""),
        object("other", "  encryptionKey: plain\n"),
    ] {
        f.tried(&dry, &fits).unwrap();
    }
    // What was there before stays until its key changes.
    f.kubectl(&["-n", "shop", "label", "managedsecret", "card-old", "a=b"]);
    let patch = |key: &str| {
        let patch = format!(r#"{{"spec":{{"encryptionKey":{key}}}}}"#);
        let object = ["-n", "shop", "patch", "managedsecret", "card-old"];
        f.tried(&[&object[..], &["--type=merge", "-p", &patch]].concat(), "")
    };
    refused(patch("\"plain\""), why);
    patch("\"pay\"").unwrap();
    refused(patch("null"), why);
}
