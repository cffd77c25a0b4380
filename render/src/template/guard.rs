//! What templates may not use, because it could grow without bound before the output is counted.
//!
//! Text grows in filters only, and each of those is bounded. So there are no assignments (doubling a text forty times is
//! one line each), no operators that join or repeat, no long lists, and few nested loops. [`check`] reads the tags of a
//! template which the engine parsed already, with the engine's own rules of where a tag ends.

/// Most commas in one tag.
const COMMAS: usize = 64;
/// Most commas in a `for` tag: `key, value`.
const LOOP_COMMAS: usize = 1;
/// Most loops inside each other.
const LOOPS: usize = 3;

/// Something that templates leave out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// A statement other than if and for.
    #[error("`{name}` is not allowed: templates have `if` and `for` only")]
    Statement {
        /// Its name.
        name: String,
    },
    /// An operator that joins or repeats.
    #[error(
        "the operator `{operator}` is not allowed: write `[a, b] | join`, or two `{{{{ }}}}` beside each other"
    )]
    Operator {
        /// The operator.
        operator: char,
    },
    /// A map.
    #[error("a map in braces is not allowed: write the JSON as text and put values in with `| tojson`")]
    Map,
    /// A long list.
    #[error("the list is too long: at most {COMMAS} commas in one tag, {LOOP_COMMAS} in `for`")]
    List,
    /// Loops in loops.
    #[error("more than {LOOPS} loops inside each other are not allowed")]
    Nesting,
}

/// Checks a template that parses. The error has the line.
pub(super) fn check(text: &str) -> Result<(), (usize, Forbidden)> {
    let mut rest = text;
    let mut loops = 0_usize;
    while let Some(start) = rest
        .find("{{")
        .into_iter()
        .chain(rest.find("{%"))
        .chain(rest.find("{#"))
        .min()
    {
        let tag = rest.get(start + 2..).unwrap_or_default();
        let line = 1 + text
            .len()
            .checked_sub(tag.len())
            .and_then(|at| text.get(..at))
            .map_or(0, |before| before.bytes().filter(|c| *c == b'\n').count());
        let at = |forbidden| (line, forbidden);
        rest = match rest.as_bytes().get(start + 1) {
            Some(b'#') => tag
                .find("#}")
                .and_then(|end| tag.get(end + 2..))
                .unwrap_or_default(),
            Some(b'%') => {
                let name = statement(tag);
                match name {
                    "for" => loops += 1,
                    "endfor" => loops = loops.saturating_sub(1),
                    "if" | "elif" | "else" | "endif" => {}
                    _ => {
                        return Err(at(Forbidden::Statement {
                            name: name.to_owned(),
                        }));
                    }
                }
                if loops > LOOPS {
                    return Err(at(Forbidden::Nesting));
                }
                skip_tag(tag, "%}", if name == "for" { LOOP_COMMAS } else { COMMAS }).map_err(at)?
            }
            _ => skip_tag(tag, "}}", COMMAS).map_err(at)?,
        };
    }
    Ok(())
}

/// The name of a statement.
fn statement(tag: &str) -> &str {
    let tag = tag.strip_prefix(['-', '+']).unwrap_or(tag).trim_start();
    let end = tag
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(tag.len());
    tag.get(..end).unwrap_or_default()
}

/// Reads a tag to its end and returns the text behind it. Inside brackets the engine looks for no end; as the template parses
/// and braces are refused, an end cannot stand there.
fn skip_tag<'a>(tag: &'a str, end: &str, commas_allowed: usize) -> Result<&'a str, Forbidden> {
    let mut quote = None;
    let mut escaped = false;
    let mut commas = 0;
    let body = tag.strip_prefix(['-', '+']).unwrap_or(tag);
    for (at, c) in body.char_indices() {
        if let Some(mark) = quote {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if c == mark => quote = None,
                _ => {}
            }
            continue;
        }
        let rest = body.get(at..).unwrap_or_default();
        let behind = rest.strip_prefix(end);
        if let Some(behind) = behind.or_else(|| {
            rest.strip_prefix(['-', '+'])
                .and_then(|rest| rest.strip_prefix(end))
        }) {
            return Ok(behind);
        }
        match c {
            '"' | '\'' => quote = Some(c),
            '{' => return Err(Forbidden::Map),
            '~' | '+' | '*' => return Err(Forbidden::Operator { operator: c }),
            ',' => {
                commas += 1;
                if commas > commas_allowed {
                    return Err(Forbidden::List);
                }
            }
            _ => {}
        }
    }
    Ok("")
}
