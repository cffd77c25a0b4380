//! The `use` items of a module stand in three groups: the standard library, other crates, this crate.

use syn::spanned::Spanned as _;
use syn::{Item, UseTree, Visibility};

use super::Finding;
use crate::source::Workspace;

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        check_items(&file.syntax.items, &file.path, &mut findings);
    }
    findings
}

/// The items of a module, and those of the modules that are written inside of it.
fn check_items(items: &[Item], path: &str, findings: &mut Vec<Finding>) {
    let mut highest = Group::Standard;
    let modules = modules(items);
    for item in items {
        let item = match item {
            Item::Use(item) => item,
            Item::Mod(module) => {
                if let Some((_, inner)) = &module.content {
                    check_items(inner, path, findings);
                }
                continue;
            }
            _ => continue,
        };
        // Re-exports stand where the face of a module wants them.
        if !matches!(item.vis, Visibility::Inherited) {
            continue;
        }
        let Some(first) = first_segment(&item.tree) else {
            continue;
        };
        let group = Group::new(&first, &modules);
        if group < highest {
            findings.push(Finding {
                path: path.to_owned(),
                line: item.span().start().line,
                message: format!(
                    "`use {first}` comes too late: first `std`, then other crates, then this crate"
                ),
            });
        }
        highest = highest.max(group);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Standard,
    Crates,
    Own,
}

impl Group {
    fn new(first: &str, modules: &[String]) -> Self {
        match first {
            "std" | "core" | "alloc" => Self::Standard,
            "crate" | "self" | "super" => Self::Own,
            module if modules.iter().any(|own| own == module) => Self::Own,
            _ => Self::Crates,
        }
    }
}

/// The modules that a file declares: a path may begin with one.
fn modules(items: &[Item]) -> Vec<String> {
    let name = |item: &Item| match item {
        Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    };
    items.iter().filter_map(name).collect()
}

fn first_segment(tree: &UseTree) -> Option<String> {
    match tree {
        UseTree::Path(path) => Some(path.ident.to_string()),
        UseTree::Name(name) => Some(name.ident.to_string()),
        UseTree::Rename(rename) => Some(rename.ident.to_string()),
        UseTree::Glob(_) | UseTree::Group(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_late_is_found() {
        let text = "use crate::a;\nuse std::b;\nuse serde::c;\nuse super::d;\nmod e;\nuse e::f;\npub use std::g;\n\
            mod tests {\n    use super::*;\n    use serde::h;\n}\n";
        let workspace = Workspace::of_texts(&[("a/", "a/src/lib.rs", text)], ("words", ""));
        let lines: Vec<usize> = check(&workspace).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 3, 10]);
    }
}
