//! No type has one of the private names of `.ci/words`, whose lines are `Name: what to call it instead`.

use std::collections::BTreeMap;

use super::Finding;
use super::type_names::types;
use crate::source::Workspace;

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let words: BTreeMap<&str, &str> = workspace
        .setting("words")
        .filter_map(|(_, line)| line.split_once(':'))
        .map(|(name, instead)| (name.trim(), instead.trim()))
        .collect();
    let mut findings = Vec::new();
    for file in &workspace.files {
        for named in types(&file.syntax) {
            if let Some(instead) = words.get(named.name.as_str()) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: named.line,
                    message: format!("`{}` is a private word; {instead}", named.name),
                });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_word_is_found_with_what_to_say_instead() {
        let setting = ("words", "# comment\nKept: say what is kept\n");
        let text = "struct Kept;\nstruct KeptLong;\nfn kept() { enum Kept {} }\n";
        let workspace = Workspace::of_texts(&[("a/", "a/src/lib.rs", text)], setting);
        let findings = check(&workspace);
        let lines: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 3]);
        assert_eq!(findings[0].message, "`Kept` is a private word; say what is kept");
    }
}
