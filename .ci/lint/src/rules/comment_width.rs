//! Comments are at most [`WIDTH`] characters wide. Tables, links and diagrams cannot be broken.

use super::Finding;
use crate::source::Workspace;

/// Characters, with what indents the line.
const WIDTH: usize = 110;

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        let mut is_fenced = false;
        for (index, line) in file.text.lines().enumerate() {
            let Some(text) = comment(line) else {
                is_fenced = false;
                continue;
            };
            if text.starts_with("```") {
                is_fenced = !is_fenced;
            }
            let width = line.chars().count();
            if width > WIDTH && !is_fenced && !text.starts_with('|') && !text.contains("://") {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: index.saturating_add(1),
                    message: format!("the comment is {width} characters wide; {WIDTH} are the most"),
                });
            }
        }
    }
    findings
}

/// The text of a line that is a comment.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(text.trim_start_matches(['/', '!']).trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_comments_are_found_and_tables_and_links_are_not() {
        let long = "word ".repeat(30);
        let text = format!(
            "// {long}\n// | {long} |\n// https://example.com/{long}\n// short\nconst A: &str = \"// {long}\";\n"
        );
        let workspace = Workspace::of_texts(&[("a/", "a/src/lib.rs", &text)], ("words", ""));
        let lines: Vec<usize> = check(&workspace).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1]);
    }
}
