//! A type that others of its crate see has a name of its own in the crate.

use std::collections::BTreeMap;

use syn::Visibility;
use syn::visit::Visit;

use super::Finding;
use crate::source::Workspace;

/// Names that say with their module what they are, and clap's arguments of a command.
const OF_A_MODULE: [&str; 6] = ["Arguments", "Error", "Input", "Output", "Spec", "Status"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut first: BTreeMap<(&str, String), (String, usize)> = BTreeMap::new();
    let mut findings = Vec::new();
    for file in &workspace.files {
        // Tests, benches and programs beside the library are crates of their own.
        if !file.path.starts_with(&format!("{}src/", file.krate)) || file.path.contains("/src/bin/") {
            continue;
        }
        for named in types(&file.syntax) {
            if !named.is_seen || OF_A_MODULE.contains(&named.name.as_str()) {
                continue;
            }
            let key = (file.krate.as_str(), named.name.clone());
            if let Some((path, line)) = first.get(&key) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: named.line,
                    message: format!("`{}` is also the name of a type at {path}:{line}", named.name),
                });
            } else {
                first.insert(key, (file.path.clone(), named.line));
            }
        }
    }
    findings
}

/// A type that is declared.
pub(super) struct NamedType {
    pub(super) name: String,
    pub(super) line: usize,
    /// Whether others than its own module see it.
    pub(super) is_seen: bool,
}

/// The types that a file declares, tests of it left out.
pub(super) fn types(file: &syn::File) -> Vec<NamedType> {
    let mut visitor = Visitor(Vec::new());
    visitor.visit_file(file);
    visitor.0
}

struct Visitor(Vec<NamedType>);

impl Visitor {
    fn add(&mut self, ident: &syn::Ident, visibility: &Visibility) {
        self.0.push(NamedType {
            name: ident.to_string(),
            line: ident.span().start().line,
            is_seen: !matches!(visibility, Visibility::Inherited),
        });
    }
}

impl<'ast> Visit<'ast> for Visitor {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Ident>()
                    .is_ok_and(|condition| condition == "test")
        };
        if !module.attrs.iter().any(is_test) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add(&item.ident, &item.vis);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add(&item.ident, &item.vis);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add(&item.ident, &item.vis);
        syn::visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.add(&item.ident, &item.vis);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_a_name_is_found_in_its_crate_alone() {
        let files = [
            (
                "a/",
                "a/src/one.rs",
                "pub struct Room;\nstruct Own;\npub enum Error {}\n",
            ),
            (
                "a/",
                "a/src/two.rs",
                "pub(crate) enum Room {}\nstruct Own;\npub enum Error {}\n",
            ),
            (
                "b/",
                "b/src/one.rs",
                "pub struct Room;\n#[cfg(test)]\nmod tests { pub struct Room; }\n",
            ),
            ("a/", "a/tests/three.rs", "pub struct Room;\n"),
        ];
        let found = check(&Workspace::of_texts(&files, ("words", "")));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].path.as_str(), found[0].line), ("a/src/two.rs", 1));
        assert!(
            found[0].message.ends_with("a/src/one.rs:1"),
            "{}",
            found[0].message
        );
    }
}
