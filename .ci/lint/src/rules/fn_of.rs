//! No function is called `of`: it says neither what it takes nor what it makes.

use syn::spanned::Spanned as _;
use syn::visit::Visit;

use super::Finding;
use crate::source::Workspace;

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        let mut visitor = Visitor(Vec::new());
        visitor.visit_file(&file.syntax);
        findings.extend(visitor.0.into_iter().map(|line| Finding {
            path: file.path.clone(),
            line,
            message: "`fn of` says nothing; call it `new`, `from_…`, `for_…`, or what it does".to_owned(),
        }));
    }
    findings
}

struct Visitor(Vec<usize>);

impl<'ast> Visit<'ast> for Visitor {
    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if signature.ident == "of" {
            self.0.push(signature.span().start().line);
        }
        syn::visit::visit_signature(self, signature);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_methods_are_found() {
        let text = "fn of() {}\nstruct A;\nimpl A {\n    fn of(&self) {}\n    fn off() {}\n}\ntrait T {\n    fn of();\n}\n";
        let workspace = Workspace::of_texts(&[("a/", "a/src/lib.rs", text)], ("words", ""));
        let lines: Vec<usize> = check(&workspace).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 4, 8]);
    }
}
