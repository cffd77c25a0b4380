//! The rules: one file each.

mod arrows;
mod comment_width;
mod empty_docs;
mod fn_of;
mod import_order;
mod type_names;
mod words;

use crate::source::Workspace;

/// Something that a rule does not allow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Relative to the root of the repository.
    pub(crate) path: String,
    /// From 1.
    pub(crate) line: usize,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

/// A check of all sources, and the name by which it is asked for.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) check: fn(&Workspace) -> Vec<Finding>,
}

/// In the order in which their findings are printed.
pub(crate) const RULES: [Rule; 7] = [
    Rule {
        name: "arrows",
        check: arrows::check,
    },
    Rule {
        name: "comment-width",
        check: comment_width::check,
    },
    Rule {
        name: "empty-docs",
        check: empty_docs::check,
    },
    Rule {
        name: "fn-of",
        check: fn_of::check,
    },
    Rule {
        name: "import-order",
        check: import_order::check,
    },
    Rule {
        name: "type-names",
        check: type_names::check,
    },
    Rule {
        name: "words",
        check: words::check,
    },
];
