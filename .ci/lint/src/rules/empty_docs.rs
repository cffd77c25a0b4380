//! A doc says more than the name that it stands above. The docs of types from which help texts and schemas
//! are derived are read by people who don't see the name.

use std::collections::BTreeSet;

use syn::visit::Visit;
use syn::{Attribute, Expr, ExprLit, Lit, Meta};

use super::Finding;
use crate::source::Workspace;

/// Words that say nothing by themselves.
const EMPTY: [&str; 24] = [
    "a", "an", "all", "and", "are", "as", "at", "by", "for", "in", "is", "it", "its", "of", "on", "one",
    "that", "the", "their", "them", "there", "this", "to", "what",
];

/// Derives that make texts for users of the docs.
const DESCRIBED: [&str; 6] = [
    "Args",
    "CustomResource",
    "JsonSchema",
    "Parser",
    "Subcommand",
    "ValueEnum",
];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        let mut visitor = Visitor {
            owner: Vec::new(),
            found: Vec::new(),
        };
        visitor.visit_file(&file.syntax);
        findings.extend(visitor.found.into_iter().map(|(line, name)| Finding {
            path: file.path.clone(),
            line,
            message: format!(
                "the doc of `{name}` only repeats its name; say its unit, shape or meaning, or take it away"
            ),
        }));
    }
    findings
}

struct Visitor {
    /// The words of the types around.
    owner: Vec<BTreeSet<String>>,
    found: Vec<(usize, String)>,
}

impl Visitor {
    fn look(&mut self, ident: &syn::Ident, attributes: &[Attribute]) {
        let Some((line, doc)) = doc(attributes) else {
            return;
        };
        let mut known = words_of_name(&ident.to_string());
        known.extend(self.owner.iter().flatten().cloned());
        let said = words_of_text(&doc);
        if said
            .iter()
            .all(|word| EMPTY.contains(&word.as_str()) || known.contains(word))
        {
            self.found.push((line, ident.to_string()));
        }
    }

    fn within(&mut self, ident: &syn::Ident, visit: impl FnOnce(&mut Self)) {
        self.owner.push(words_of_name(&ident.to_string()));
        visit(self);
        self.owner.pop();
    }
}

impl<'ast> Visit<'ast> for Visitor {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        if is_described(&item.attrs) {
            return;
        }
        self.look(&item.ident, &item.attrs);
        self.within(&item.ident, |this| syn::visit::visit_item_struct(this, item));
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        if is_described(&item.attrs) {
            return;
        }
        self.look(&item.ident, &item.attrs);
        self.within(&item.ident, |this| syn::visit::visit_item_enum(this, item));
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.look(&item.ident, &item.attrs);
        self.within(&item.ident, |this| syn::visit::visit_item_trait(this, item));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.look(&item.sig.ident, &item.attrs);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.look(&item.sig.ident, &item.attrs);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.look(&item.sig.ident, &item.attrs);
        syn::visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.look(&item.ident, &item.attrs);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.look(&item.ident, &item.attrs);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.look(&item.ident, &item.attrs);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(ident) = &field.ident {
            self.look(ident, &field.attrs);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.look(&variant.ident, &variant.attrs);
        self.within(&variant.ident, |this| syn::visit::visit_variant(this, variant));
    }
}

/// Whether a derive makes texts for users of the docs.
fn is_described(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else {
            return false;
        };
        let derived = list.tokens.to_string();
        list.path.is_ident("derive")
            && DESCRIBED.iter().any(|name| {
                derived
                    .split(|c: char| !c.is_alphanumeric())
                    .any(|word| word == *name)
            })
    })
}

/// The text of a doc, with the line at which it begins.
fn doc(attributes: &[Attribute]) -> Option<(usize, String)> {
    let mut line = None;
    let mut text = String::new();
    for attribute in attributes {
        let Meta::NameValue(pair) = &attribute.meta else {
            continue;
        };
        let Expr::Lit(ExprLit {
            lit: Lit::Str(part), ..
        }) = &pair.value
        else {
            continue;
        };
        if pair.path.is_ident("doc") {
            line.get_or_insert(part.span().start().line);
            text.push_str(&part.value());
            text.push('\n');
        }
    }
    Some((line?, text))
}

fn words_of_text(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(stem).collect()
}

/// The words of a name in snake case or camel case.
fn words_of_name(name: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut word = String::new();
    for c in name.chars() {
        if c == '_' || c.is_uppercase() && word.chars().last().is_some_and(char::is_lowercase) {
            words.insert(stem(&word));
            word.clear();
        }
        if c != '_' {
            word.push(c);
        }
    }
    words.insert(stem(&word));
    words
}

/// A word without what number and tense add: `stores`, `stored` and `store` are one.
fn stem(word: &str) -> String {
    let word = word.to_lowercase();
    ["ing", "ed", "es", "s", "e"]
        .iter()
        .find_map(|end| word.strip_suffix(end).filter(|rest| rest.len() > 2))
        .unwrap_or(&word)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doc_that_says_nothing_is_found() {
        let text = "/// A stored secret.\nstruct StoredSecret {\n    /// Its name.\n    name: String,\n    /// Bytes of the value.\n    size: u64,\n}\n/// The names.\nconst NAMES: u8 = 1;\n/// Stores it.\nfn store() {}\n/// Keeps it on disk.\nfn keep() {}\ntrait Store {\n    /// Stores all of them.\n    fn store_all();\n}\n/// The name.\ntype Name = u8;\n";
        let workspace = Workspace::of_texts(&[("a/", "a/src/lib.rs", text)], ("words", ""));
        let found: Vec<usize> = check(&workspace).iter().map(|finding| finding.line).collect();
        assert_eq!(found, [1, 3, 8, 10, 15, 18]);
    }
}
