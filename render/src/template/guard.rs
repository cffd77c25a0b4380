//! What templates may not use, because it could grow without bound before the output is counted.
//!
//! Text grows in filters only, and each of those is bounded. So there are no assignments (doubling a text
//! forty times is one line each), no operators that join or repeat, no long lists, and few nested loops.
//! [`check`] reads the tags of a template which the engine parsed already.

use super::tags::{Kind, code, tags};

/// Most commas in one tag.
const MAX_COMMAS: usize = 64;
/// Most commas in a `for` tag: `key, value`.
const MAX_LOOP_COMMAS: usize = 1;
/// Most loops inside each other.
const MAX_LOOPS: usize = 3;

/// Something that templates leave out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenSyntax {
    /// A statement other than if, for and raw.
    #[error("`{name}` is not allowed: templates have `if`, `for` and `raw` only")]
    Statement {
        /// The first word of the tag.
        name: String,
    },
    /// An operator that joins or repeats.
    #[error(
        "the operator `{operator}` is not allowed: write `[a, b] | join`, or two `{{{{ }}}}` next to each other"
    )]
    Operator {
        /// `~`, `+` or `*`.
        operator: char,
    },
    /// A map that is written out in braces.
    #[error("a map in braces is not allowed: write the JSON as text and put values in with `| tojson`")]
    Map,
    /// A long list.
    #[error("the list is too long: at most {MAX_COMMAS} commas in one tag, {MAX_LOOP_COMMAS} in `for`")]
    List,
    /// Loops in loops.
    #[error("more than {MAX_LOOPS} nested loops are not allowed")]
    Nesting,
}

/// Checks a template that parses. The error has the line.
pub(super) fn check(text: &str) -> Result<(), (usize, ForbiddenSyntax)> {
    let mut loops = 0_usize;
    for tag in tags(text) {
        let at = |forbidden| (tag.line, forbidden);
        match tag.kind {
            Kind::Text => {}
            Kind::Print(body) => bounded(body, MAX_COMMAS).map_err(at)?,
            Kind::Statement(name, body) => {
                match name {
                    "for" => loops += 1,
                    "endfor" => loops = loops.saturating_sub(1),
                    "if" | "elif" | "else" | "endif" => {}
                    _ => {
                        return Err(at(ForbiddenSyntax::Statement {
                            name: name.to_owned(),
                        }));
                    }
                }
                if loops > MAX_LOOPS {
                    return Err(at(ForbiddenSyntax::Nesting));
                }
                bounded(
                    body,
                    if name == "for" {
                        MAX_LOOP_COMMAS
                    } else {
                        MAX_COMMAS
                    },
                )
                .map_err(at)?;
            }
        }
    }
    Ok(())
}

/// Checks what is in a tag.
fn bounded(body: &str, commas_allowed: usize) -> Result<(), ForbiddenSyntax> {
    let mut commas = 0;
    for (_, c) in code(body) {
        match c {
            '{' => return Err(ForbiddenSyntax::Map),
            '~' | '+' | '*' => return Err(ForbiddenSyntax::Operator { operator: c }),
            ',' => {
                commas += 1;
                if commas > commas_allowed {
                    return Err(ForbiddenSyntax::List);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
