//! The page of the table, and that the table is whole.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use serde_json::Value;

use crate::{list, rows, text};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/admission.md");

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
        "stored" => "a ManagedSecret of the name that the secret has in the store".to_owned(),
        "authority" => "the authority's ManagedSecret".to_owned(),
        _ => of.to_owned(),
    };
    format!("`{}` on {named}", text(&ask["verb"]))
}

fn page() -> String {
    let mut page = String::from(include_str!("head.md"));
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
    page.push_str(include_str!("foot.md"));
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
