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
        let given = |field: &str, none: Value| about.get(field).cloned().unwrap_or(none);
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
            "metadata": {
                "name": "tried", "namespace": "shop", "annotations": given("annotations", json!({})),
                "ownerReferences": given("owners", json!([])),
            },
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
    let stored = "grant managedsecrets(stored)";
    let leaves = format!("update encryptionkeys(keyBefore) or {stored}");
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
        ("owners", delete),
        ("readers", grant),
        ("annotations", grant),
        ("readoption", "get secrets(native)"),
        ("granted-by-name", stored),
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
        ("owners", &[]),
        ("readers", &[]),
        ("annotations", &[]),
        ("readoption", &["annotations"]),
        ("granted-by-name", &["readers"]),
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
    assert_eq!(fitting(None, retained.as_ref()), ["deletion"]);
}

#[test]
fn an_owner_that_may_be_gone_is_asked_about_and_none_at_all_is_not() {
    let generated = json!({"generate": {"keys": {"a": {"uuid": {}}}}});
    let owner = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": "u"});
    let owned = |shown: bool, owners: &[&str]| {
        let mut spec = json!({"source": generated});
        if shown {
            spec["secret"] = json!({"name": "db"});
        }
        let owners: Vec<Value> = owners.iter().map(|name| owner(name)).collect();
        object(&json!({"owners": owners, "spec": spec}))
    };
    for (shown, before, after, asked) in [
        (true, &[][..], &["a"][..], true),
        (true, &["a"], &["b"], true),
        // Of two, the one that is there.
        (true, &["a", "b"], &["b"], true),
        (true, &["a"], &["a"], false),
        (true, &["a"], &[], false),
        (false, &[], &["a"], false),
    ] {
        let fit = fitting(owned(shown, after).as_ref(), owned(shown, before).as_ref());
        let expected: &[&str] = if asked { &["owners"] } else { &[] };
        assert_eq!(fit, expected, "{shown} {before:?} {after:?}");
    }
    // A new object is its author's, and so are its owners.
    assert_eq!(fitting(owned(true, &["a"]).as_ref(), None), ["create-own"]);
}

#[test]
fn who_may_grant_one_name_gets_nothing_of_another_name_in_the_store() {
    let generated = json!({"generate": {"keys": {"a": {"uuid": {}}}}});
    let id = "strongroom.dev/restore";
    let made = |store_name: &str, more: Value| {
        let mut about = json!({"spec": {"source": generated, "storeName": store_name}});
        for (field, value) in more["spec"].as_object().into_iter().flatten() {
            about["spec"][field] = value.clone();
        }
        about["annotations"] = more.get("annotations").cloned().unwrap_or(json!({}));
        object(&about)
    };
    let nothing = json!({});
    for (more, other) in [
        (json!({"spec": {"readers": ["me"]}}), "readers"),
        (json!({"spec": {"secret": {"name": "leak"}}}), "first-showing"),
        (json!({"annotations": {id: "00"}}), "annotations"),
    ] {
        let fit = |store_name: &str| {
            let (new, old) = (made(store_name, more.clone()), made(store_name, nothing.clone()));
            fitting(new.as_ref(), old.as_ref())
        };
        let mut both = fit("victim");
        both.sort();
        let mut expected = vec![other, "granted-by-name"];
        expected.sort_unstable();
        assert_eq!(both, expected);
        assert_eq!(fit("tried"), [other], "its own name");
    }
    // A new object with readers, and one that shows its own value from the beginning.
    let new = made("victim", json!({"spec": {"readers": ["me"]}}));
    let mut fit = fitting(new.as_ref(), None);
    fit.sort();
    assert_eq!(fit, ["granted-by-name", "readers"]);
    let new = made("victim", json!({"spec": {"secret": {"name": "own"}}}));
    assert_eq!(fitting(new.as_ref(), None), ["create-own"]);
}

#[test]
fn what_a_readoption_reads_is_asked_about_also_where_it_is_named_later() {
    let generated = json!({"generate": {"keys": {"a": {"uuid": {}}}}});
    let about = |secret: Value| {
        object(
            &json!({"annotations": {"strongroom.dev/readopt": "00"}, "spec": {"source": generated, "secret": secret}}),
        )
    };
    let (none, shown, other) = (
        about(Value::Null),
        about(json!({"name": "db"})),
        about(json!({"name": "others"})),
    );
    assert_eq!(
        fitting(shown.as_ref(), none.as_ref()),
        ["first-showing", "readoption"]
    );
    let renamed = fitting(other.as_ref(), shown.as_ref());
    assert!(renamed.contains(&"readoption".to_owned()), "{renamed:?}");
    assert_eq!(fitting(shown.as_ref(), shown.as_ref()), Vec::<String>::new());
}
