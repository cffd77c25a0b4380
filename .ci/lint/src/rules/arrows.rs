//! Which modules of a crate may use which: the lines of `.ci/arrows` are `CRATE: MODULE -> MODULE MODULE …`,
//! and a module that stands on no left side uses none. What is used is read from every `crate::` and
//! `super::` path. A line that is not needed any more is a finding too, and so is a circle.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;

use super::Finding;
use crate::source::{SourceFile, Workspace};

/// Where the arrows are listed.
const LIST: &str = ".ci/arrows";

/// Crate, from, to.
type Arrow = (String, String, String);

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut allowed: BTreeMap<Arrow, usize> = BTreeMap::new();
    let mut crates = BTreeSet::new();
    for (line, text) in workspace.setting("arrows") {
        let parts = text
            .split_once(':')
            .and_then(|(krate, rest)| Some((krate.trim(), rest.split_once("->")?)));
        let Some((krate, (from, to))) = parts else {
            findings.push(Finding {
                path: LIST.to_owned(),
                line,
                message: "write `CRATE: MODULE -> MODULE …`".to_owned(),
            });
            continue;
        };
        crates.insert(krate.to_owned());
        for to in to.split_whitespace() {
            allowed.insert((krate.to_owned(), from.trim().to_owned(), to.to_owned()), line);
        }
    }
    let mut used: BTreeSet<Arrow> = BTreeSet::new();
    for file in &workspace.files {
        let krate = file.krate.trim_end_matches('/');
        if !crates.contains(krate) {
            continue;
        }
        let Some(modules) = module_path(file) else {
            continue;
        };
        let from = modules.first().map_or("main", String::as_str);
        // The crate's root composes all of them.
        if from == "main" {
            continue;
        }
        for (line, to) in targets(file, &modules) {
            if to == from {
                continue;
            }
            let arrow = (krate.to_owned(), from.to_owned(), to.clone());
            if !allowed.contains_key(&arrow) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line,
                    message: format!("`{from}` must not use `{to}` ({LIST})"),
                });
            }
            used.insert(arrow);
        }
    }
    for (arrow, line) in &allowed {
        if !used.contains(arrow) {
            findings.push(Finding {
                path: LIST.to_owned(),
                line: *line,
                message: format!("`{}` does not use `{}`; take the arrow away", arrow.1, arrow.2),
            });
        }
    }
    findings.extend(circles(&allowed));
    findings
}

/// The arrows that lead back to where they begin.
fn circles(allowed: &BTreeMap<Arrow, usize>) -> Vec<Finding> {
    let reaches = |krate: &str, from: &str, to: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(module) = next.pop() {
            for (_, _, after) in allowed
                .keys()
                .filter(|(of, begin, _)| of == krate && *begin == module)
            {
                if after == to {
                    return true;
                }
                if seen.insert(after.clone()) {
                    next.push(after.clone());
                }
            }
        }
        false
    };
    allowed
        .iter()
        .filter(|((krate, from, to), _)| reaches(krate, to, from))
        .map(|((_, from, to), line)| Finding {
            path: LIST.to_owned(),
            line: *line,
            message: format!("`{from}` -> `{to}` is part of a circle"),
        })
        .collect()
}

/// The modules of a file below its crate's root; none for tests of their own.
fn module_path(file: &SourceFile) -> Option<Vec<String>> {
    let below = file.path.strip_prefix(&file.krate)?.strip_prefix("src/")?;
    let below = below.strip_suffix(".rs")?;
    let mut modules: Vec<String> = below.split('/').map(str::to_owned).collect();
    if matches!(modules.last().map(String::as_str), Some("mod" | "main" | "lib")) {
        modules.pop();
    }
    Some(modules)
}

/// The modules of the crate's root that a file names, tests of it left out, with the lines.
fn targets(file: &SourceFile, modules: &[String]) -> Vec<(usize, String)> {
    if modules
        .iter()
        .any(|module| module == "tests" || module == "testing")
    {
        return Vec::new();
    }
    let mut found = Vec::new();
    for item in &file.syntax.items {
        if is_for_tests(item) {
            continue;
        }
        walk(item.to_token_stream(), modules, 0, &mut found);
    }
    found
}

fn is_for_tests(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|condition| condition == "test")
    })
}

/// Looks for `crate::x`, `crate::{x, y}` and `super::…::x` that climbs to the root. `depth` counts the
/// modules of the file that the tokens are in.
fn walk(tokens: TokenStream, modules: &[String], depth: usize, found: &mut Vec<(usize, String)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(ident) if ident == "crate" && follows_colons(&tokens, at) => {
                at = take(&tokens, at.saturating_add(3), found);
            }
            TokenTree::Ident(ident) if ident == "super" && follows_colons(&tokens, at) => {
                let (mut up, mut after) = (1_usize, at.saturating_add(3));
                while matches!(tokens.get(after), Some(TokenTree::Ident(next)) if next == "super") {
                    up = up.saturating_add(1);
                    after = after.saturating_add(3);
                }
                if up == modules.len().saturating_add(depth) {
                    at = take(&tokens, after, found);
                } else {
                    at = after;
                }
            }
            TokenTree::Group(group) => {
                let inline = is_inline_module(&tokens, at);
                walk(
                    group.stream(),
                    modules,
                    depth.saturating_add(usize::from(inline)),
                    found,
                );
                at = at.saturating_add(1);
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => at = at.saturating_add(1),
        }
    }
}

/// Whether `::` stands after a token.
fn follows_colons(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |offset: usize| matches!(tokens.get(at.saturating_add(offset)), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(1) && colon(2)
}

/// Whether the group is the body of `mod name { … }`.
fn is_inline_module(tokens: &[TokenTree], at: usize) -> bool {
    let before = at.checked_sub(2).and_then(|at| tokens.get(at));
    matches!(before, Some(TokenTree::Ident(ident)) if ident == "mod")
}

/// Takes the name, or the names of a group, that stand at `at`. Where to go on.
fn take(tokens: &[TokenTree], at: usize, found: &mut Vec<(usize, String)>) -> usize {
    match tokens.get(at) {
        // What begins with a capital is an item of the root itself.
        Some(TokenTree::Ident(ident)) => {
            let name = ident.to_string();
            if name.chars().next().is_some_and(char::is_lowercase) {
                found.push((ident.span().start().line, name));
            }
        }
        Some(TokenTree::Group(group)) => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let mut starts = true;
            for token in &inner {
                match token {
                    TokenTree::Ident(ident) if starts => {
                        found.push((ident.span().start().line, ident.to_string()));
                        starts = false;
                    }
                    TokenTree::Punct(punct) if punct.as_char() == ',' => starts = true,
                    TokenTree::Ident(_)
                    | TokenTree::Punct(_)
                    | TokenTree::Literal(_)
                    | TokenTree::Group(_) => starts = false,
                }
            }
        }
        Some(TokenTree::Punct(_) | TokenTree::Literal(_)) | None => {}
    }
    at.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(list: &str, files: &[(&str, &str, &str)]) -> Vec<String> {
        let found = check(&Workspace::of_texts(files, ("arrows", list)));
        found
            .into_iter()
            .map(|finding| format!("{}:{}: {}", finding.path, finding.line, finding.message))
            .collect()
    }

    #[test]
    fn what_is_used_must_be_allowed_and_what_is_allowed_used() {
        let files = [
            (
                "a/",
                "a/src/main.rs",
                "mod one; mod two; mod three; use crate::one::A;\n",
            ),
            (
                "a/",
                "a/src/one/mod.rs",
                "use crate::two::B;\nfn f() { super::three::c(); }\n",
            ),
            (
                "a/",
                "a/src/one/deep.rs",
                "use super::own;\nuse super::super::{three, two::B};\n#[cfg(test)]\nmod tests { use crate::four::D; }\n",
            ),
            ("a/", "a/src/two.rs", "m! { crate::three::c() }\n"),
        ];
        assert_eq!(
            messages("a: one -> two\na: three -> two\n", &files),
            [
                "a/src/one/mod.rs:2: `one` must not use `three` (.ci/arrows)",
                "a/src/one/deep.rs:2: `one` must not use `three` (.ci/arrows)",
                "a/src/two.rs:1: `two` must not use `three` (.ci/arrows)",
                ".ci/arrows:2: `three` does not use `two`; take the arrow away",
            ]
        );
        assert!(messages("a: one -> two three\na: two -> three\n", &files).is_empty());
    }

    #[test]
    fn circles_are_found() {
        let files = [
            ("a/", "a/src/one.rs", "use crate::two::B;\n"),
            ("a/", "a/src/two.rs", "use crate::three::C;\n"),
            (
                "a/",
                "a/src/three.rs",
                "use crate::one::A;\nuse crate::four::D;\n",
            ),
        ];
        let found = messages("a: one -> two\na: two -> three\na: three -> one four\n", &files);
        assert_eq!(
            found,
            [
                ".ci/arrows:1: `one` -> `two` is part of a circle",
                ".ci/arrows:3: `three` -> `one` is part of a circle",
                ".ci/arrows:2: `two` -> `three` is part of a circle",
            ]
        );
    }
}
