//! Which rows of the chart's admission table fit a write, and what they ask. What is asked is said here
//! again, so that no row is lost and no verb exchanged unseen.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

mod cel_variables;

use std::path::Path;

use kube::core::cel::{VapEvaluator, VapExpression};
use serde_json::{Value, json};

use cel_variables::in_place;

fn chart(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../charts/strongroom")
        .join(file);
    std::fs::read_to_string(path).expect("a file of the chart")
}

fn rows() -> Vec<Value> {
    let table: Value = serde_saphyr::from_str(&chart("files/admission-table.yaml")).expect("a table");
    table["rows"].as_array().expect("rows").clone()
}

/// Names and expressions of the variables of a policy of the template: that of writes, or that of deletions.
fn variables(deletion: bool) -> Vec<(String, String)> {
    let template = chart("templates/admission-policies.yaml");
    let document = template
        .split("\n---\n")
        .nth(if deletion { 2 } else { 0 })
        .expect("a document");
    let lines: Vec<&str> = document.lines().filter(|line| !line.contains("{{")).collect();
    let policy: Value = serde_saphyr::from_str(&lines.join("\n")).expect("a policy");
    let variables = policy["spec"]["variables"].as_array().expect("variables").clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    variables
        .iter()
        .map(|variable| (text(&variable["name"]), text(&variable["expression"])))
        .collect()
}

/// Whether a row fits a write.
fn fits(row: &Value, object: Option<&Value>, old: Option<&Value>) -> bool {
    let deletion = row["deletion"] == true;
    let (Some(when), true) = (row["when"].as_str(), deletion == object.is_none()) else {
        return false;
    };
    let expression = variables(deletion)
        .iter()
        .rev()
        .fold(when.to_owned(), |text, (name, expression)| {
            in_place(&text, name, expression)
        });
    let expression = VapExpression {
        // The evaluator escapes what is reserved in keys of maps; the API server does so only where it knows
        // the schema.
        expression: expression
            .replace("'import'", "'__import__'")
            .replace("'strongroom.dev/", "'strongroom__dot__dev__slash__"),
        message: None,
        message_expression: None,
    };
    let mut evaluator = VapEvaluator::builder().object(object.cloned().unwrap_or(Value::Null));
    if let Some(old) = old {
        evaluator = evaluator.old_object(old.clone());
    }
    let results = evaluator.build().evaluate(&[expression]);
    results.iter().all(|result| result.passed)
}

/// An object of the table.
fn object(about: &Value) -> Option<Value> {
    about.is_object().then(|| {
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
            "metadata": {"name": "tried", "namespace": "shop", "annotations": about.get("annotations").cloned().unwrap_or(json!({}))},
            "spec": about["spec"],
        })
    })
}

fn fitting(object: Option<&Value>, old: Option<&Value>) -> Vec<String> {
    rows()
        .iter()
        .filter(|row| fits(row, object, old))
        .map(|row| row["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// What a row asks, as `verb of(named)`.
fn asks(row: &Value) -> String {
    let one = |ask: &Value| {
        let text = |field: &str| ask[field].as_str().unwrap_or_default().to_owned();
        format!("{} {}({})", text("verb"), text("of"), text("named"))
    };
    let asks = row["asks"].as_array().into_iter().flatten();
    let asks = asks.map(|ask| match ask.get("or") {
        Some(or) => format!("{} or {}", one(ask), one(or)),
        None => one(ask),
    });
    asks.collect::<Vec<_>>().join(", ")
}

#[test]
fn each_row_asks_what_it_has_to() {
    let own_secret = "get secrets(native), update secrets(native)";
    let former = "get secrets(nativeBefore), update secrets(nativeBefore)";
    let delete = "delete secrets(nativeBefore)";
    let grant = "grant managedsecrets(self)";
    let shows = format!("{grant}, create secrets(), update secrets(native)");
    let imports = format!("create secrets(), {own_secret}");
    let renames = format!("get secrets(nativeBefore), {delete}, create secrets()");
    let leaves = format!("update encryptionkeys(keyBefore) or {grant}");
    let expected = [
        ("create-own", "create secrets(), update secrets(native)"),
        ("import", "get secrets(imported)"),
        ("create-imported", imports.as_str()),
        ("name-of-another", ""),
        ("name-kept", ""),
        ("first-showing", shows.as_str()),
        ("change-of-secret", own_secret),
        ("rename", renames.as_str()),
        ("change-of-source", former),
        ("removal", delete),
        ("deletion", delete),
        ("readers", grant),
        ("annotations", grant),
        ("readoption", "get secrets(native)"),
        ("sign", "sign managedsecrets(authority)"),
        ("sign-ca", "sign-ca managedsecrets(authority)"),
        ("leave-key", leaves.as_str()),
    ];
    let table: Vec<(String, String)> = rows()
        .iter()
        .map(|row| (row["id"].as_str().expect("an id").to_owned(), asks(row)))
        .collect();
    let expected: Vec<(String, String)> = expected
        .iter()
        .map(|(id, asks)| ((*id).to_owned(), (*asks).to_owned()))
        .collect();
    assert_eq!(table, expected);
}

#[test]
fn the_rows_that_fit_a_write_and_no_others_are_asked() {
    for (id, also) in [
        ("create-own", &[][..]),
        ("import", &[]),
        ("create-imported", &["import"]),
        ("first-showing", &[]),
        ("change-of-secret", &[]),
        ("rename", &["change-of-secret"]),
        ("change-of-source", &[]),
        ("removal", &[]),
        ("deletion", &[]),
        ("readers", &[]),
        ("annotations", &[]),
        ("readoption", &["annotations"]),
        ("sign", &[]),
        ("sign-ca", &[]),
        ("leave-key", &[]),
    ] {
        let rows = rows();
        let row = rows.iter().find(|row| row["id"] == id).expect("the row");
        let (before, after) = (object(&row["try"]["before"]), object(&row["try"]["after"]));
        let mut fit = fitting(after.as_ref(), before.as_ref());
        fit.sort();
        let mut expected: Vec<String> = also.iter().chain([&id]).map(|id| (*id).to_owned()).collect();
        expected.sort();
        assert_eq!(fit, expected, "{id}");
        // What stays as it is asks nothing, whoever writes the rest.
        for same in [&before, &after].into_iter().flatten() {
            let mut edited = same.clone();
            edited["spec"]["description"] = json!("the shop");
            assert_eq!(fitting(Some(&edited), Some(same)), Vec::<String>::new(), "{id}");
        }
    }
}

#[test]
fn other_writes_fit_what_they_do() {
    let generated = json!({"generate": {"keys": {"a": {"uuid": {}}}}});
    let with = |spec: Value| object(&json!({"spec": spec}));
    let shown = with(json!({"source": generated, "secret": {"name": "db"}}));
    for (name, new, old, expected) in [
        (
            "another source, and no native Secret",
            with(json!({"source": {"external": {}}})),
            with(json!({"source": generated})),
            &[][..],
        ),
        (
            "another source of what is shown",
            with(json!({"source": {"external": {}}, "secret": {"name": "db"}})),
            shown.clone(),
            &["change-of-source"],
        ),
        (
            "another source while the native Secret goes",
            with(json!({"source": {"external": {}}})),
            shown.clone(),
            &["change-of-source", "removal"],
        ),
        (
            "an annotation of the native Secret",
            with(json!({"source": generated, "secret": {"name": "db", "annotations": {"reflector": "all"}}})),
            shown.clone(),
            &["change-of-secret"],
        ),
        (
            "a new object that waits for its value",
            with(json!({"source": {"external": {}}, "secret": {"name": "db"}})),
            None,
            &["create-own"],
        ),
        (
            "a key for what lay under none",
            with(json!({"source": generated, "encryptionKey": "pay"})),
            with(json!({"source": generated})),
            &[],
        ),
        (
            "another key",
            with(json!({"source": generated, "encryptionKey": "hers"})),
            with(json!({"source": generated, "encryptionKey": "pay"})),
            &["leave-key"],
        ),
        (
            "an authority that signs itself",
            with(
                json!({"source": {"generate": {"keys": {"ca": {"x509": {"commonName": "a", "isCA": true}}}}}}),
            ),
            None,
            &[],
        ),
    ] {
        assert_eq!(fitting(new.as_ref(), old.as_ref()), expected, "{name}");
    }
    assert_eq!(
        fitting(None, with(json!({"source": generated})).as_ref()),
        Vec::<String>::new()
    );
    // What is written as null is not there.
    let nulls = with(json!({
        "source": generated, "secret": null, "encryptionKey": null, "readers": null, "deletion": null, "storeName": null,
    }));
    assert_eq!(fitting(nulls.as_ref(), None), Vec::<String>::new());
    assert_eq!(fitting(None, nulls.as_ref()), Vec::<String>::new());
    assert_eq!(fitting(shown.as_ref(), nulls.as_ref()), ["first-showing"]);
    assert_eq!(fitting(nulls.as_ref(), shown.as_ref()), ["removal"]);
    let retained =
        with(json!({"source": generated, "secret": {"name": "db"}, "deletion": {"policy": "Retain"}}));
    assert_eq!(fitting(None, retained.as_ref()), Vec::<String>::new());
}
