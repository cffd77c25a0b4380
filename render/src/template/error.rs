//! What is wrong with a template, and what a template asks of a value: in words that say nothing of a value.

use super::guard::ForbiddenSyntax;
use super::uses::{self, Requirement};
use super::{OUTPUT_BYTES, TEMPLATE_BYTES, filters, tags};
use crate::mismatch::{Mismatch, quoted_names};

/// The way out for text that has another language's braces.
const RAW: &str = "text with another language's braces goes between `{% raw %}` and `{% endraw %}`";

/// Why templates gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A template is wrong, whatever is in the value.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The value does not fit them.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

/// Why a template is wrong, whatever is in the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template `{key}`{}: {problem}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct TemplateError {
    /// The key of the native Secret, or the file, that the template fills.
    pub key: String,
    /// The line in the template, counted from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// More text than a template may have.
    #[error("the template is larger than {TEMPLATE_BYTES} bytes")]
    TemplateTooLarge,
    /// Not a template.
    #[error("{what}{}; {RAW}", word.as_ref().map(|word| format!("; the key of that name is `{word}`")).unwrap_or_default())]
    Syntax {
        /// What the parser says; it knows no value.
        what: String,
        /// How a key is written whose name is a word of the language, where the template has one.
        word: Option<String>,
    },
    /// Something that this language leaves out.
    #[error("{0}; {RAW}")]
    Forbidden(#[from] ForbiddenSyntax),
    /// A key whose name means something else in the language.
    #[error("`{name}` is not a valid name in a template; write `{written}` for the key; {RAW}")]
    Misread {
        /// As the template has it.
        name: String,
        /// How it is written.
        written: String,
    },
    /// Names that the value does not have.
    #[error("the value has no key {names}; write `{example}` for a name that is not an identifier; {RAW}")]
    UnknownName {
        /// The names, quoted.
        names: String,
        /// How such a key is written, one of the value's where it has any.
        example: String,
    },
    /// Secrets that the volume does not have.
    #[error("there is no secret {names}: use a name from `secrets`; {RAW}")]
    UnknownSecret {
        /// The names, quoted.
        names: String,
    },
    /// Keys that a secret of the volume does not have.
    #[error("there is no key {names}; {RAW}")]
    UnknownKey {
        /// The names, quoted, each with its secret.
        names: String,
    },
}

/// What a template asks of the value's `keys`.
pub(super) fn demand(key: &str, text: &str, keys: &[String]) -> String {
    let demands = uses::demands(text);
    let of = |demand: Requirement| {
        let those = demands.iter().filter(|(of, _)| *of == demand);
        those.map(|(_, filter)| filter.as_str()).collect::<Vec<_>>()
    };
    let mut asked = Vec::new();
    for (demand, what) in [(Requirement::Base64, "base64"), (Requirement::Pem, "PEM")] {
        let filters = of(demand);
        if !filters.is_empty() {
            asked.push(format!("{} takes {what}", quoted_names(filters)));
        }
    }
    let mut of_text = of(Requirement::Text)
        .iter()
        .map(|filter| format!("`{filter}`"))
        .collect::<Vec<_>>();
    let mut way_out = "`| b64encode` makes it of any bytes".to_owned();
    if tags::sole(text).is_none() {
        of_text.push("what is printed beside other text".to_owned());
        way_out.push_str(", and a template that is `{{ … }}` alone gives bytes as they are");
    }
    if !of_text.is_empty() {
        asked.push(format!("{} must be UTF-8 text ({way_out})", of_text.join(", ")));
    }
    if asked.is_empty() {
        asked.push("an operation does not take it, or something is used that is not there".to_owned());
    }
    asked.push(format!(
        "a filter makes at most {} bytes, all templates {OUTPUT_BYTES}",
        filters::FILTER_BYTES
    ));
    let keys = match keys {
        [] => "the keys that it uses".to_owned(),
        [one] => format!("key `{one}`"),
        several => format!("keys {}", quoted_names(several.iter().map(String::as_str))),
    };
    format!("template `{key}` with {keys}: {}", asked.join(", "))
}
