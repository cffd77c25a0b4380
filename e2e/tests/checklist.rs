//! The lists of claims and the tree agree: what a line or a cell says, tests show that exist. Links between
//! the pages of the repository lead somewhere, and the index of docs lists all of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files under `dir` whose names end in this extension, with their texts.
fn files(dir: &Path, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, extension));
        } else if path.is_file() && path.extension().is_some_and(|end| end == extension) {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// The text of every Rust file under `dir`.
fn sources(dir: &Path) -> String {
    files(dir, "rs").into_iter().map(|(_, text)| text).collect()
}

/// All Rust sources of the repository.
fn tree() -> String {
    sources(&root())
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
    let habits = sources(&root().join("e2e/tests/habits"));
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

/// A page without its fenced blocks.
fn prose(page: &str) -> String {
    let (mut prose, mut is_fenced) = (String::new(), false);
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// The targets of the links of a page. Text in backticks has none; a lone backtick ends with its paragraph.
fn links(prose: &str) -> Vec<String> {
    let mut found = Vec::new();
    for paragraph in prose.split("\n\n") {
        let text: String = paragraph.split('`').step_by(2).collect();
        let rests = text.split("](").skip(1);
        found.extend(rests.filter_map(|rest| rest.split(')').next()).map(str::to_owned));
    }
    found
}

/// The anchors of a page's headings, as GitHub makes them: the second of the same name ends in `-1`.
fn anchors(prose: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    for heading in headings.map(|line| line.trim_start_matches('#').trim().to_lowercase()) {
        let kept = heading
            .chars()
            .filter(|char| char.is_alphanumeric() || " -_".contains(*char));
        let name = kept.collect::<String>().replace(' ', "-");
        let (mut anchor, mut earlier) = (name.clone(), 0);
        while !found.insert(anchor) {
            earlier += 1;
            anchor = format!("{name}-{earlier}");
        }
    }
    found
}

/// Whether a link of a page leads to a file of the repository, and its anchor to a heading there.
fn leads_somewhere(pages: &BTreeMap<PathBuf, String>, root: &Path, page: &Path, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() {
        page.to_owned()
    } else {
        page.with_file_name(path)
    };
    let Ok(target) = fs::canonicalize(target) else {
        return false;
    };
    let has_anchor = || {
        pages
            .get(&target)
            .is_some_and(|prose| anchors(prose).contains(anchor))
    };
    target.starts_with(root) && (!link.contains('#') || has_anchor())
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there() {
    let root = fs::canonicalize(root()).unwrap();
    let pages: BTreeMap<PathBuf, String> = files(&root, "md")
        .into_iter()
        .map(|(path, text)| (path, prose(&text)))
        .collect();
    let (mut followed, mut dead) = (0, Vec::new());
    for (page, prose) in &pages {
        for link in links(prose).iter().filter(|link| !link.contains("://")) {
            followed += 1;
            if !leads_somewhere(&pages, &root, page, link) {
                let page = page.strip_prefix(&root).unwrap().display();
                dead.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "nothing is there:\n{}", dead.join("\n"));
    assert!(followed > 150, "{followed} links");
}

/// The pages of alerts are in the list of `docs/monitoring.md`.
#[test]
fn the_index_of_docs_lists_every_page() {
    let docs = fs::canonicalize(root().join("docs")).unwrap();
    let index = docs.join("README.md");
    let listed: BTreeSet<PathBuf> = links(&prose(&fs::read_to_string(&index).unwrap()))
        .iter()
        .filter_map(|link| fs::canonicalize(docs.join(link.split('#').next()?)).ok())
        .collect();
    let pages = files(&docs, "md");
    for (page, _) in pages.iter().filter(|(page, _)| *page != index) {
        let is_runbook = page.starts_with(docs.join("runbooks"));
        assert!(
            is_runbook || listed.contains(page),
            "docs/README.md has no link to {}",
            page.display()
        );
    }
}

#[test]
fn links_are_read_without_code_and_anchors_as_github_makes_them() {
    let page = "# A `b`: c_d, e\n\n[x](a.md#b) `[no](no.md)` [`y`](../z.md) `one\nspan [no](no.md)`\n\n\
                ```sh\n# no\n[no](no.md)\n```\n\n## Same\n\n## Same\n\na lone ` one\n\n[w](w.md)\n";
    let prose = prose(page);
    assert_eq!(links(&prose), ["a.md#b", "../z.md", "w.md"]);
    let expected = ["a-b-c_d-e", "same", "same-1"].map(str::to_owned);
    assert_eq!(anchors(&prose), BTreeSet::from(expected));

    let folder = fs::canonicalize(root().join("docs")).unwrap();
    let at = folder.join("keys.md");
    let pages = BTreeMap::from([(at.clone(), prose)]);
    for (link, leads) in [
        ("#same-1", true),
        ("#same-2", false),
        ("keys.md#a-b-c_d-e", true),
        ("deletion.md", true),
        ("deletion.md#same", false),
        ("operate/disaster.md", true),
        ("operate/keys.md", false),
        // It is there, and outside of what the test calls the repository.
        ("../README.md", false),
    ] {
        assert_eq!(leads_somewhere(&pages, &folder, &at, link), leads, "{link}");
    }
}
