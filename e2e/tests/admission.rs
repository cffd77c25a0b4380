//! The promise: a custom resource gives nobody more than RBAC gave.
//! `charts/strongroom/files/admission-table.yaml` is the one table of that.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use strongroom_e2e::Programs;
use support::{ALL_NAMESPACES, Fixture, eventually, generated};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/strongroom");
const TABLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../charts/strongroom/files/admission-table.yaml"
);
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/admission.md");
/// The object of which every row is tried.
const TRIED: &str = "tried";

fn rows() -> Vec<Value> {
    let table: Value = serde_saphyr::from_str(&fs::read_to_string(TABLE).unwrap()).unwrap();
    table["rows"].as_array().unwrap().clone()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A verb of the table in words, as the rules say it too.
fn verb(ask: &Value) -> String {
    let group = if ask["of"] == "secrets" {
        ""
    } else {
        ".strongroom.dev"
    };
    format!("the verb {} on {}{group}", text(&ask["verb"]), text(&ask["of"]))
}

/// What is asked by the page: `named` in words.
fn asked(ask: &Value) -> String {
    let of = match text(&ask["of"]) {
        "secrets" => "Secrets",
        "managedsecrets" => "`managedsecrets`",
        "encryptionkeys" => "the EncryptionKey that it leaves",
        other => panic!("`{other}` is no resource of the table"),
    };
    let named = match text(&ask["named"]) {
        "native" => "the Secret that `spec.secret` names".to_owned(),
        "nativeBefore" => "the Secret that `spec.secret` named before".to_owned(),
        "imported" => "the Secret that `spec.source.import` names".to_owned(),
        "self" => "this ManagedSecret".to_owned(),
        "authority" => "the authority's ManagedSecret".to_owned(),
        _ => of.to_owned(),
    };
    format!("`{}` on {named}", text(&ask["verb"]))
}

fn page() -> String {
    let mut page = String::from(include_str!("admission/head.md"));
    page.push_str(
        "\n| what is written | source | what the store holds | what it takes |\n|---|---|---|---|\n",
    );
    for row in rows() {
        let asks: Vec<String> = list(&row["asks"])
            .iter()
            .map(|ask| match &ask["or"] {
                Value::Null => asked(ask),
                or => format!("{}, or {}", asked(ask), asked(or)),
            })
            .collect();
        let takes = match row["decides"].as_str() {
            Some(decides) => format!("{}.", decides.trim()),
            None => asks.join("; "),
        };
        let values: Vec<&str> = list(&row["cells"]["values"])
            .iter()
            .map(|value| match text(value) {
                "none" => "no value",
                "value" => "a value",
                "kept" => "a value without an object",
                other => panic!("`{other}` is no value of a cell"),
            })
            .collect();
        let values = match values.len() {
            0 | 3 => "whatever it holds".to_owned(),
            _ => values.join(", "),
        };
        let sources: Vec<String> = list(&row["cells"]["sources"])
            .iter()
            .map(|source| format!("`{}`", text(source)))
            .collect();
        let sources = match sources.len() {
            0 | 4 => "any".to_owned(),
            _ => sources.join(", "),
        };
        writeln!(
            page,
            "| {} | {sources} | {values} | {takes} |",
            text(&row["write"])
        )
        .unwrap();
    }
    page.push_str(include_str!("admission/foot.md"));
    page
}

#[test]
fn the_page_is_generated_of_the_table() {
    let page = page();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    assert_eq!(
        fs::read_to_string(PAGE).unwrap(),
        page,
        "docs/admission.md is old: run `UPDATE_GENERATED=1 cargo test -p strongroom-e2e --test admission page`"
    );
}

#[test]
fn every_cell_has_its_row() {
    let mut cells = BTreeSet::new();
    for row in rows() {
        for operation in list(&row["cells"]["operations"]) {
            for source in list(&row["cells"]["sources"]) {
                for value in list(&row["cells"]["values"]) {
                    cells.insert([&operation, &source, &value].map(|cell| text(cell).to_owned()));
                }
            }
        }
    }
    for operation in ["create", "change", "removal", "deletion"] {
        for source in ["generate", "sealed", "external", "import"] {
            for value in ["none", "value", "kept"] {
                let cell = [operation, source, value].map(str::to_owned);
                assert!(cells.remove(&cell), "no row speaks for {cell:?}");
            }
        }
    }
    assert_eq!(cells, BTreeSet::new(), "no such cell");
}

/// The chart's templates that this is about.
const TEMPLATES: [&str; 3] = [
    "templates/admission-policies.yaml",
    "templates/people-clusterroles.yaml",
    "templates/serve-admission-policy.yaml",
];

/// What a chart makes of these templates.
fn rendered(chart: &Path, templates: &[&str]) -> String {
    let mut helm = Command::new(Programs::helm().unwrap());
    helm.args(["template", "strongroom"]).arg(chart).args([
        "--namespace",
        "strongroom",
        "--set",
        ALL_NAMESPACES,
    ]);
    for template in templates {
        helm.args(["--show-only", template]);
    }
    let output = helm.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A cluster with the kinds and the chart's policies and roles; nothing of the release runs.
fn cluster() -> Fixture {
    let f = Fixture::new();
    f.apply(&rendered(Path::new(CHART), &TEMPLATES));
    f
}

/// An object of the table.
fn object(about: &Value) -> String {
    json!({
        "apiVersion": "strongroom.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": TRIED, "namespace": "shop", "annotations": about["annotations"]},
        "spec": about["spec"],
    })
    .to_string()
}

/// The name that a verb is asked for in this try; none where names don't count.
fn name(ask: &Value, tries: &Value) -> Option<String> {
    if let Some(name) = ask["name"].as_str() {
        return Some(name.to_owned());
    }
    let (before, after) = (&tries["before"]["spec"], &tries["after"]["spec"]);
    let found = match text(&ask["named"]) {
        "" => return None,
        "self" => return Some(TRIED.to_owned()),
        "native" => &after["secret"]["name"],
        "nativeBefore" => &before["secret"]["name"],
        "imported" => &after["source"]["import"]["secretRef"]["name"],
        "keyBefore" => &before["encryptionKey"],
        "authority" => return Some("root".to_owned()),
        other => panic!("`{other}` is no name"),
    };
    Some(found.as_str().unwrap().to_owned())
}

/// A user with these rights beside writing ManagedSecrets.
fn user(user: &str, rights: &[(&Value, Option<String>)]) -> String {
    let mut rules = vec![json!({
        "apiGroups": ["strongroom.dev"], "resources": ["managedsecrets"],
        "verbs": ["get", "list", "create", "update", "patch", "delete"],
    })];
    for (ask, name) in rights {
        let group = if ask["of"] == "secrets" {
            ""
        } else {
            "strongroom.dev"
        };
        let mut rule = json!({"apiGroups": [group], "resources": [ask["of"]], "verbs": [ask["verb"]]});
        if let Some(name) = name {
            rule["resourceNames"] = json!([name]);
        }
        rules.push(rule);
    }
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": user, "namespace": "shop"}, "rules": rules,
    });
    format!("{role}\n---\n{}", bound(user, "Role", user))
}

fn bound(user: &str, kind: &str, role: &str) -> String {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": user, "namespace": "shop"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    });
    format!("{binding}\n---\n")
}

/// What comes of the write of a row by this user, who changes nothing.
fn tried(f: &Fixture, user: &str, row: &Value) -> (bool, String) {
    let who = format!("--as={user}");
    let tries = &row["try"];
    let (success, _, stderr) = if row["deletion"] == true {
        f.piped(
            &[
                &who,
                "-n",
                "shop",
                "delete",
                "managedsecret",
                TRIED,
                "--dry-run=server",
            ],
            "",
        )
    } else {
        f.piped(
            &[&who, "apply", "--dry-run=server", "-f", "-"],
            &object(&tries["after"]),
        )
    };
    (success, stderr)
}

/// Rows that ask something.
fn asking() -> Vec<Value> {
    rows()
        .into_iter()
        .filter(|row| !list(&row["asks"]).is_empty())
        .collect()
}

/// Of each row: `ID-all` and `ID-or` have all that it asks, `ID-0`, `ID-1` … lack one of it.
fn users(rows: &[Value]) -> String {
    let mut users = String::new();
    for row in rows {
        let (id, tries) = (text(&row["id"]), &row["try"]);
        let (asks, also) = (list(&row["asks"]), list(&tries["also"]));
        let rights = |left_out: Option<usize>, or: bool| -> Vec<(Value, Option<String>)> {
            let asks = asks
                .iter()
                .enumerate()
                .filter(|(index, _)| Some(*index) != left_out);
            let asks = asks.map(|(_, ask)| {
                if or && !ask["or"].is_null() {
                    &ask["or"]
                } else {
                    ask
                }
            });
            asks.chain(&also)
                .map(|ask| (ask.clone(), name(ask, tries)))
                .collect()
        };
        let mut add = |who: &str, rights: Vec<(Value, Option<String>)>| {
            let rights: Vec<_> = rights.iter().map(|(ask, name)| (ask, name.clone())).collect();
            users.push_str(&user(who, &rights));
        };
        add(&format!("{id}-all"), rights(None, false));
        add(&format!("{id}-or"), rights(None, true));
        for index in 0..asks.len() {
            add(&format!("{id}-{index}"), rights(Some(index), false));
        }
    }
    users
}

/// What does not come out as a row says; none where all does.
fn wrong(f: &Fixture, row: &Value) -> Option<String> {
    let id = text(&row["id"]);
    let lacking = list(&row["asks"]).iter().enumerate().find_map(|(index, ask)| {
        let (who, expected) = (format!("{id}-{index}"), format!("ask for {}", verb(ask)));
        let (success, said) = tried(f, &who, row);
        (success || !said.contains(&expected)).then(|| format!("{who} was not told `{expected}`: {said}"))
    });
    lacking.or_else(|| {
        ["all", "or"].into_iter().find_map(|who| {
            let who = format!("{id}-{who}");
            let (success, said) = tried(f, &who, row);
            (!success).then(|| format!("{who} was refused: {said}"))
        })
    })
}

/// With the object of a row as it is before the write.
fn with_object(f: &Fixture, row: &Value, run: impl FnOnce()) {
    let before = &row["try"]["before"];
    if !before.is_null() {
        f.apply(&object(before));
    }
    run();
    if !before.is_null() {
        f.kubectl(&["-n", "shop", "delete", "managedsecret", TRIED]);
    }
}

/// Both ways: whoever has just what a row asks is let through, and without any one of it he is not.
#[test]
fn each_row_takes_what_it_asks_and_no_less() {
    let f = cluster();
    let rows = asking();
    f.apply(&users(&rows));
    for row in &rows {
        with_object(&f, row, || {
            // Rules and roles take a moment to be in force.
            let mut last = None;
            let right = eventually_or(|| {
                last = wrong(&f, row);
                last.is_none()
            });
            assert!(right, "{last:?}");
        });
    }
}

/// A verb that is none of a row's.
const ANOTHER: &str = "deletecollection";

/// The rules of a table with each row taken out, and with each verb exchanged: those who are refused by the
/// row are let through, or told another verb.
#[test]
fn a_row_taken_out_and_a_verb_exchanged_are_noticed() {
    let f = cluster();
    let rows = asking();
    f.apply(&users(&rows));
    let chart = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(CHART)
        .arg(chart.path())
        .status()
        .unwrap();
    assert!(copied.success());
    let chart = chart.path().join("strongroom");
    let table = |rows: Vec<Value>| {
        fs::write(
            chart.join("files/admission-table.yaml"),
            json!({"rows": rows}).to_string(),
        )
        .unwrap();
        rendered(&chart, &TEMPLATES[..1])
    };
    let without = |id: &Value| rows.iter().filter(|row| row["id"] != *id).cloned().collect();
    let exchanged = |id: &Value, index: usize| {
        let mut rows = rows.clone();
        let row = rows.iter_mut().find(|row| row["id"] == *id).unwrap();
        row["asks"][index]["verb"] = ANOTHER.into();
        rows
    };
    let noticed = |row: &Value, what: &str, rules: &str| {
        // A policy that has lost its only rule is none, which the API server says.
        let (applied, _, said) = f.piped(&["apply", "-f", "-"], rules);
        let noticed = if applied {
            eventually_or(|| wrong(&f, row).is_some())
        } else {
            said.contains("must contain at least one item")
        };
        assert!(noticed, "{}: {what}, and nobody notices", row["id"]);
    };
    for row in &rows {
        with_object(&f, row, || {
            noticed(row, "taken out", &table(without(&row["id"])));
            for index in 0..list(&row["asks"]).len() {
                let rules = table(exchanged(&row["id"], index));
                noticed(row, &format!("verb {index} exchanged"), &rules);
            }
        });
    }
}

/// Whether it comes out so within half a minute.
fn eventually_or(mut ask: impl FnMut() -> bool) -> bool {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        if ask() {
            return true;
        }
        if std::time::Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

/// What was done on a running cluster, by users with fixed rights: it holds whatever the table says.
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
        let (success, _, stderr) = f.piped(
            &[
                &who,
                "-n",
                "shop",
                "patch",
                "managedsecret",
                name,
                "--type=merge",
                "-p",
                patch,
            ],
            "",
        );
        (success, stderr)
    };
    // In force is what refuses; the roles are aggregated.
    for user in ["ed", "eve"] {
        eventually("rules and roles to be in force", || {
            let who = format!("--as={user}");
            let leak = r#"{"spec":{"secret":{"name":"leak"}}}"#;
            let patch: [&str; 10] = [
                &who,
                "-n",
                "shop",
                "patch",
                "managedsecret",
                "pin",
                "--dry-run=server",
                "--type=merge",
                "-p",
                leak,
            ];
            let (success, _, said) = f.piped(&patch, "");
            (!success && said.contains("ask for the verb grant")).then_some(())
        });
    }
    let (success, said) = patch("ed", "pin", r#"{"spec":{"secret":{"name":"leak"}}}"#);
    assert!(
        !success && said.contains("ask for the verb grant on managedsecrets.strongroom.dev `pin`"),
        "{said}"
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
        let (success, said) = patch("eve", "db", attack);
        assert!(!success && said.contains(needs), "{attack}: {said}");
    }
    let delete = ["--as=eve", "-n", "shop", "delete", "managedsecret", "db"];
    let said = f.refused(&delete, "");
    assert!(said.contains("the verb delete on secrets `db`"), "{said}");
    // H2: a value of the author's own may be shown from the beginning, another one needs grant. A new object
    // does not help: the controller does not bind it to the value of before.
    let make = |user: &str, object: &str| {
        let who = format!("--as={user}");
        let (success, _, stderr) = f.piped(&[&who, "create", "-f", "-"], object);
        (success, stderr)
    };
    let (success, said) = make("ed", &plain("own", "  secret: {name: own}\n"));
    assert!(success, "{said}");
    let (success, said) = patch("ed", "own", r#"{"spec":{"secret":{"template":{"b":"x"}}}}"#);
    assert!(success, "{said}");
    let (success, said) = patch("ada", "pin", r#"{"spec":{"secret":{"name":"leak"}}}"#);
    assert!(success, "{said}");
    // H3: a leaf by an authority of the namespace is for edit, an authority by it for admin.
    let certificate = |name: &str, ca: bool| {
        format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             source: {{generate: {{keys: {{c: {{x509: {{commonName: c, isCA: {ca}, ca: {{managedSecret: {{name: corp-ca}}}}}}}}}}}}}}\n"
        )
    };
    let (success, said) = make("eve", &certificate("leaf", false));
    assert!(
        !success && said.contains("the verb sign on managedsecrets.strongroom.dev `corp-ca`"),
        "{said}"
    );
    let (success, said) = make("ed", &certificate("leaf", false));
    assert!(success, "{said}");
    let (success, said) = make("ed", &certificate("sub", true));
    assert!(
        !success && said.contains("the verb sign-ca on managedsecrets.strongroom.dev `corp-ca`"),
        "{said}"
    );
    let (success, said) = patch(
        "ed",
        "leaf",
        r#"{"spec":{"source":{"generate":{"keys":{"c":{"x509":{"isCA":true}}}}}}}"#,
    );
    assert!(!success && said.contains("the verb sign-ca"), "{said}");
    let (success, said) = make("ada", &certificate("sub", true));
    assert!(success, "{said}");
    // M4: under a key until somebody who may change the key, or grant, lets go.
    for attack in [
        r#"{"spec":{"encryptionKey":null}}"#,
        r#"{"spec":{"encryptionKey":"hers"}}"#,
    ] {
        let (success, said) = patch("ed", "card", attack);
        assert!(
            !success && said.contains("the verb update on encryptionkeys.strongroom.dev `payments`"),
            "{attack}: {said}"
        );
    }
    let (success, said) = patch("ed", "pin", r#"{"spec":{"encryptionKey":"payments"}}"#);
    assert!(success, "a secret comes under a key: {said}");
    let (success, said) = patch("ada", "card", r#"{"spec":{"encryptionKey":null}}"#);
    assert!(success, "{said}");
    // What nobody changes asks nothing: objects of before stay as they are.
    let (success, said) = patch("eve", "db", r#"{"spec":{"description":"hers"}}"#);
    assert!(success, "{said}");
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
    let refused = "EncryptionKey `pay` says in spec.requiredFor that this secret must lie under it";
    let dry = ["create", "--dry-run=server", "-f", "-"];
    eventually("the key to be asked", || {
        let (success, _, said) = f.piped(&dry, &object("card-new", ""));
        (!success && said.contains(refused)).then_some(())
    });
    let said = f.refused(
        &dry,
        &object("x", "  encryptionKey: plain\n  storeName: card-x\n"),
    );
    assert!(said.contains(refused), "{said}");
    for fits in [
        object("card-new", "  encryptionKey: pay\n"),
        object("discard-new", ""),
        object("axb", ""),
        object("other", "  encryptionKey: plain\n"),
    ] {
        let (success, _, said) = f.piped(&dry, &fits);
        assert!(success, "{said}");
    }
    // What was there before stays until its key changes.
    f.kubectl(&["-n", "shop", "label", "managedsecret", "card-old", "a=b"]);
    let patch = |key: &str| {
        let patch = format!(r#"{{"spec":{{"encryptionKey":{key}}}}}"#);
        let (success, _, said) = f.piped(
            &[
                "-n",
                "shop",
                "patch",
                "managedsecret",
                "card-old",
                "--type=merge",
                "-p",
                &patch,
            ],
            "",
        );
        (success, said)
    };
    let (success, said) = patch("\"plain\"");
    assert!(!success && said.contains(refused), "{said}");
    let (success, said) = patch("\"pay\"");
    assert!(success, "{said}");
    let (success, said) = patch("null");
    assert!(!success && said.contains(refused), "{said}");
}

/// A process that was taken over has its ServiceAccount's rights on all Secrets, and makes no more of them
/// than it needs.
#[test]
fn our_own_account_writes_and_deletes_no_secret_but_its_own() {
    let f = cluster();
    let account = "--as=system:serviceaccount:strongroom:strongroom";
    f.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: natives}}\nrules:\n\
         - {{apiGroups: [''], resources: [secrets], verbs: [get, create, patch, delete]}}\n---\n{}",
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "natives"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "natives"},
            "subjects": [{"kind": "ServiceAccount", "name": "strongroom", "namespace": "strongroom"}],
        })
    ));
    let secret = |namespace: &str, name: &str, type_: &str, labels: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\ntype: {type_}\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}, \
             annotations: {{kubernetes.io/service-account.name: default}}}}\ndata: {{}}\n"
        )
    };
    let ours = "strongroom.dev/managed: \"true\"";
    let create = |secret: String| {
        let (success, _, said) = f.piped(&[account, "create", "--dry-run=server", "-f", "-"], &secret);
        (success, said)
    };
    for (secret, refusal) in [
        (
            secret("kube-system", "a", "Opaque", ours),
            "no Secret in kube-system",
        ),
        (
            secret("shop", "a", "kubernetes.io/service-account-token", ours),
            "the control plane makes tokens of",
        ),
        (
            secret("shop", "a", "bootstrap.kubernetes.io/token", ours),
            "the control plane makes tokens of",
        ),
        (
            secret("shop", "a", "Opaque", ""),
            "without the label strongroom.dev/managed",
        ),
        (
            secret("strongroom", "others", "Opaque", ""),
            "without the label strongroom.dev/managed",
        ),
    ] {
        eventually(refusal, || {
            let (success, said) = create(secret.clone());
            (!success && said.contains(refusal)).then_some(())
        });
    }
    for secret in [
        secret("shop", "a", "Opaque", ours),
        secret("strongroom", "strongroom-root-key", "Opaque", ""),
        secret("strongroom", "strongroom-front-tls", "kubernetes.io/tls", "")
            .replace("data: {}", "data: {tls.crt: \"\", tls.key: \"\"}"),
    ] {
        let (success, said) = create(secret);
        assert!(success, "{said}");
    }
    // Of a Secret of somebody else nothing but its fields' owners changes; one of ours may be let go.
    f.apply(&secret("shop", "theirs", "Opaque", ""));
    f.apply(&secret("shop", "ours", "Opaque", ours));
    let patch = |name: &str, patch: &str| {
        let arguments = [
            account,
            "-n",
            "shop",
            "patch",
            "secret",
            name,
            "--type=merge",
            "-p",
            patch,
        ];
        let (success, _, said) = f.piped(&arguments, "");
        (success, said)
    };
    let (success, said) = patch("theirs", r#"{"data":{"password":"eA=="}}"#);
    assert!(
        !success && said.contains("without the label strongroom.dev/managed"),
        "{said}"
    );
    let (success, said) = patch("theirs", r#"{"metadata":{"annotations":{"a":"b"}}}"#);
    assert!(success, "{said}");
    let (success, said) = patch(
        "ours",
        r#"{"metadata":{"labels":{"strongroom.dev/managed":null}}}"#,
    );
    assert!(success, "{said}");

    // What is deleted carries the annotation of native Secrets: a label alone proves nothing, and somebody
    // may have taken it off.
    let native = |namespace: &str, name: &str, labels: &str| {
        secret(namespace, name, "Opaque", labels).replace(
            "annotations: {",
            "annotations: {strongroom.dev/secret-id: 7f3c, strongroom.dev/version: v-1, ",
        )
    };
    for secret in [
        secret("shop", "labelled", "Opaque", ours),
        secret("strongroom", "others", "Opaque", ""),
        secret("kube-system", "theirs", "Opaque", ""),
        // Whoever may write it may mark it.
        native("strongroom", "strongroom-root-key", ours),
        native("shop", "native", ours),
        native("shop", "unlabelled", ""),
        native("kube-system", "earlier", ours),
    ] {
        f.apply(&secret);
    }
    let delete = |namespace: &str, name: &str| {
        let arguments = [account, "-n", namespace, "delete", "secret", name, "--wait=false"];
        let (success, _, said) = f.piped(&arguments, "");
        (success, said)
    };
    let unmarked = "without the annotation strongroom.dev/secret-id";
    for (namespace, name, refusal) in [
        ("shop", "theirs", unmarked),
        ("shop", "labelled", unmarked),
        ("strongroom", "others", unmarked),
        ("kube-system", "theirs", unmarked),
        ("strongroom", "strongroom-root-key", "neither its root key"),
    ] {
        let (success, said) = delete(namespace, name);
        assert!(!success && said.contains(refusal), "{namespace}/{name}: {said}");
    }
    for (namespace, name) in [
        ("shop", "native"),
        ("shop", "unlabelled"),
        // As an earlier version left it.
        ("kube-system", "earlier"),
    ] {
        let (success, said) = delete(namespace, name);
        assert!(success, "{namespace}/{name}: {said}");
    }
    // Of others nothing is asked.
    f.kubectl(&["-n", "shop", "delete", "secret", "theirs"]);
}
