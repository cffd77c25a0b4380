//! Which modules of a crate may use which: the lines of `.ci/arrows` are `CRATE: MODULE -> MODULE MODULE …`,
//! or `CRATE::MODULE: …` for the modules in one of them, and a module that stands on no left side uses none.
//! What is used is read from every `crate::` and `super::` path. A line that is not needed any more is a
//! finding too, and so is a circle.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;

use super::Finding;
use crate::source::{SourceFile, Workspace};

/// Where the arrows are listed.
const LIST: &str = ".ci/arrows";

/// The crate, with the module whose modules are meant; from, to.
type Arrow = (String, String, String);

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut allowed: BTreeMap<Arrow, usize> = BTreeMap::new();
    let mut scopes = BTreeSet::new();
    for (line, text) in workspace.setting("arrows") {
        let parts = text
            .split_once(": ")
            .and_then(|(scope, rest)| Some((scope.trim(), rest.split_once("->")?)));
        let Some((scope, (from, to))) = parts else {
            findings.push(Finding {
                path: LIST.to_owned(),
                line,
                message: "write `CRATE: MODULE -> MODULE …`".to_owned(),
            });
            continue;
        };
        scopes.insert(scope.to_owned());
        for to in to.split_whitespace() {
            allowed.insert((scope.to_owned(), from.trim().to_owned(), to.to_owned()), line);
        }
    }
    let mut used: BTreeSet<Arrow> = BTreeSet::new();
    for (file, scope) in workspace
        .files
        .iter()
        .flat_map(|file| scopes.iter().map(move |scope| (file, scope)))
    {
        let mut names = scope.split("::");
        if names.next() != Some(file.krate.trim_end_matches('/')) {
            continue;
        }
        let within: Vec<String> = names.map(str::to_owned).collect();
        let Some(modules) = module_path(file).filter(|modules| modules.starts_with(&within)) else {
            continue;
        };
        // What they are in composes all of them.
        let Some(from) = modules.get(within.len()) else {
            continue;
        };
        for (line, to) in targets(file, &modules, &within) {
            if to == *from {
                continue;
            }
            let arrow = (scope.clone(), from.clone(), to.clone());
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
    let reaches = |scope: &str, from: &str, to: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(module) = next.pop() {
            for (_, _, after) in allowed
                .keys()
                .filter(|(of, begin, _)| of == scope && *begin == module)
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
        .filter(|((scope, from, to), _)| reaches(scope, to, from))
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

/// The modules in `within` that a file names, tests of it left out, with the lines.
fn targets(file: &SourceFile, modules: &[String], within: &[String]) -> Vec<(usize, String)> {
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
        walk(
            item.to_token_stream(),
            modules,
            within.len().saturating_add(1),
            &mut found,
        );
    }
    found
        .into_iter()
        .filter_map(|(line, mut path)| {
            let name = path.pop()?;
            // What begins with a capital is an item of the module itself.
            let is_module = name.chars().next().is_some_and(char::is_lowercase);
            (path == within && is_module).then_some((line, name))
        })
        .collect()
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

/// Looks for `crate::x`, `crate::{x, y}` and `super::…::x`, whose first `depth` names it notes. `modules` is
/// where the tokens are.
fn walk(tokens: TokenStream, modules: &[String], depth: usize, found: &mut Vec<(usize, Vec<String>)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at = match token {
            TokenTree::Ident(ident) if ident == "crate" && follows_colons(&tokens, at) => {
                take(&tokens, at.saturating_add(3), Vec::new(), depth, found)
            }
            TokenTree::Ident(ident) if ident == "super" && follows_colons(&tokens, at) => {
                let (mut up, mut after) = (1_usize, at.saturating_add(3));
                while matches!(tokens.get(after), Some(TokenTree::Ident(next)) if next == "super") {
                    up = up.saturating_add(1);
                    after = after.saturating_add(3);
                }
                let above = modules
                    .get(..modules.len().saturating_sub(up))
                    .unwrap_or_default();
                take(&tokens, after, above.to_vec(), depth, found)
            }
            TokenTree::Group(group) => {
                let mut inside = modules.to_vec();
                inside.extend(inline_module(&tokens, at));
                walk(group.stream(), &inside, depth, found);
                at.saturating_add(1)
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => at.saturating_add(1),
        };
    }
}

/// Whether `::` stands after a token.
fn follows_colons(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |offset: usize| matches!(tokens.get(at.saturating_add(offset)), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(1) && colon(2)
}

/// The name of the module whose body the group is: `mod name { … }`.
fn inline_module(tokens: &[TokenTree], at: usize) -> Option<String> {
    let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
    match (before(2), before(1)) {
        (Some(TokenTree::Ident(keyword)), Some(TokenTree::Ident(name))) if keyword == "mod" => {
            Some(name.to_string())
        }
        _ => None,
    }
}

/// Notes the paths that go on from `path` at `at`: a name, or the names of a group. Where to go on.
fn take(
    tokens: &[TokenTree],
    at: usize,
    mut path: Vec<String>,
    depth: usize,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    match tokens.get(at) {
        Some(TokenTree::Ident(ident)) => {
            path.push(ident.to_string());
            if path.len() < depth && follows_colons(tokens, at) {
                return take(tokens, at.saturating_add(3), path, depth, found);
            }
            found.push((ident.span().start().line, path));
        }
        Some(TokenTree::Group(group)) => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let is_comma =
                |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
            for part in inner.split(is_comma) {
                take(part, 0, path.clone(), depth, found);
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
    fn modules_in_a_module_have_arrows_of_their_own() {
        let files = [
            ("a/", "a/src/main.rs", "mod one; use crate::one::B;\n"),
            ("a/", "a/src/one/mod.rs", "mod deep; mod low; use low::L;\n"),
            (
                "a/",
                "a/src/one/deep.rs",
                "use super::low::L;\nuse crate::{one::side, two::T};\nfn f() { super::super::one::far::g() }\n",
            ),
            (
                "a/",
                "a/src/one/side/more.rs",
                "use super::S;\nuse super::super::low::L;\n",
            ),
        ];
        assert_eq!(
            messages("a::one: deep -> low side\n", &files),
            [
                "a/src/one/deep.rs:3: `deep` must not use `far` (.ci/arrows)",
                "a/src/one/side/more.rs:2: `side` must not use `low` (.ci/arrows)",
            ]
        );
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
