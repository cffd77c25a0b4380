//! Each row of the table, tried by users who have what it asks, and who lack one of it.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::chart::{CHART, templates};
use crate::support::{Fixture, in_time};
use crate::{TEMPLATES, TRIED, cluster, list, object, rows, text, user};

/// A verb of the table in words, as the rules say it too.
fn verb(ask: &Value) -> String {
    let group = if ask["of"] == "secrets" {
        ""
    } else {
        ".strongroom.dev"
    };
    format!("the verb {} on {}{group}", text(&ask["verb"]), text(&ask["of"]))
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
        "stored" if after["storeName"].is_null() => return Some(TRIED.to_owned()),
        "stored" => &after["storeName"],
        "native" => &after["secret"]["name"],
        "nativeBefore" => &before["secret"]["name"],
        "imported" => &after["source"]["import"]["secretRef"]["name"],
        "keyBefore" => &before["encryptionKey"],
        "authority" => return Some("root".to_owned()),
        other => panic!("`{other}` is no name"),
    };
    Some(found.as_str().unwrap().to_owned())
}

/// What comes of the write of a row by this user, who changes nothing.
fn tried(f: &Fixture, user: &str, row: &Value) -> Result<(), String> {
    let (who, dry) = (format!("--as={user}"), "--dry-run=server");
    if row["deletion"] == true {
        let delete = ["-n", "shop", "delete", "managedsecret", TRIED];
        f.tried(&[&[who.as_str(), dry], &delete[..]].concat(), "")
    } else {
        let after = object(&row["try"]["after"]);
        f.tried(&[&who, "apply", dry, "-f", "-"], &after)
    }
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
        let said = tried(f, &who, row).err().unwrap_or_default();
        (!said.contains(&expected)).then(|| format!("{who} was not told `{expected}`: {said}"))
    });
    lacking.or_else(|| {
        ["all", "or"].into_iter().find_map(|who| {
            let who = format!("{id}-{who}");
            let said = tried(f, &who, row).err()?;
            Some(format!("{who} was refused: {said}"))
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

/// Both ways: whoever has just what a row asks is let through, and without any one of it they are not.
#[test]
fn each_row_takes_what_it_asks_and_no_less() {
    let f = cluster();
    let rows = asking();
    f.apply(&users(&rows));
    for row in &rows {
        with_object(&f, row, || {
            // Rules and roles take a moment to be in force.
            let mut last = None;
            let right = in_time(|| {
                last = wrong(&f, row);
                last.is_none().then_some(())
            });
            assert!(right.is_some(), "{last:?}");
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
        templates(chart.to_str().unwrap(), &TEMPLATES[..1], &[])
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
        let noticed = match f.tried(&["apply", "-f", "-"], rules) {
            Ok(()) => in_time(|| wrong(&f, row)).is_some(),
            Err(said) => said.contains("must contain at least one item"),
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
