//! The lists of claims and the tree agree: what a line or a cell says, tests show that exist.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of every Rust file under `dir`.
fn sources(dir: &Path, into: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// All Rust sources of the repository.
fn tree() -> String {
    let mut tree = String::new();
    sources(&root(), &mut tree);
    tree
}

fn has_test(tree: &str, name: &str) -> bool {
    tree.contains(&format!("fn {name}("))
}

/// What stands between backticks after the claim's last colon.
fn named(claim: &str) -> Vec<&str> {
    let (_, names) = claim.rsplit_once(": ").unwrap_or_default();
    names.split('`').skip(1).step_by(2).collect()
}

#[test]
fn a_ticked_claim_names_tests_that_exist_and_every_case_shows_a_claim() {
    let list = fs::read_to_string(root().join("e2e/habits-checklist.md")).unwrap();
    let tree = tree();
    let mut shown = BTreeSet::new();
    for line in list.lines() {
        let Some(claim) = line.strip_prefix("- [x] ") else {
            continue;
        };
        let names = named(claim);
        assert!(!names.is_empty(), "no test is named: {claim}");
        for name in names {
            assert!(has_test(&tree, name), "there is no test `{name}`: {claim}");
            shown.insert(name.to_owned());
        }
    }
    let mut habits = String::new();
    sources(&root().join("e2e/tests/habits"), &mut habits);
    for list in habits.split("= cases![").skip(1) {
        let list = list.split(']').next().unwrap_or_default().replace("alone:", "");
        for case in list
            .split([',', ';'])
            .map(str::trim)
            .filter(|case| !case.is_empty())
        {
            assert!(shown.contains(case), "no claim names the case `{case}`");
        }
    }
}

#[test]
fn each_cell_of_what_works_when_something_is_down_names_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/operate/what-works-when.md")).unwrap();
    let tree = tree();
    let is_test = |name: &&str| name.matches('_').count() > 2 && !name.contains(char::is_uppercase);
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut cells = 0;
    for row in rows {
        // The first is what is down.
        for cell in row.trim_matches('|').split('|').skip(1) {
            let names: Vec<&str> = cell.split('`').skip(1).step_by(2).filter(is_test).collect();
            assert!(!names.is_empty(), "no test shows: {cell}");
            for name in names {
                assert!(has_test(&tree, name), "there is no test `{name}`: {cell}");
            }
            cells += 1;
        }
    }
    assert!(cells > 30 && cells % 3 == 0, "{cells} cells");
}
