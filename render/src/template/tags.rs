//! The tags of a template, by the engine's own rules of where a tag begins and ends. What is decided about a
//! template without a value (`guard`, `uses`) is decided about these.

/// A tag, with the line that it begins in, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    pub(super) line: usize,
    pub(super) kind: Kind<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// `{{ }}`: the text between the braces.
    Print(&'a str),
    /// `{% %}`: the statement's name, and all that is in it.
    Statement(&'a str, &'a str),
    /// `{# #}`, or `{% raw %}` up to `{% endraw %}`: text.
    Text,
}

/// The tags of a template, which need not parse.
pub(super) fn tags(template: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = template.get(at..)?;
        let start = ["{{", "{%", "{#"]
            .iter()
            .filter_map(|mark| rest.find(mark))
            .min()?;
        let inside = rest.get(start + 2..)?;
        let (kind, behind) = match rest.as_bytes().get(start + 1) {
            Some(b'#') => (
                Kind::Text,
                inside.find("#}").and_then(|end| inside.get(end + 2..)),
            ),
            Some(b'%') => match raw(inside) {
                Some(behind) => (Kind::Text, Some(behind)),
                None => {
                    let (body, behind) = body(inside, "%}");
                    (Kind::Statement(statement(body), body), Some(behind))
                }
            },
            _ => {
                let (body, behind) = body(inside, "}}");
                (Kind::Print(body), Some(behind))
            }
        };
        let newlines = |text: Option<&str>| text.unwrap_or_default().bytes().filter(|c| *c == b'\n').count();
        let line = 1 + newlines(template.get(..at + start));
        at = template.len() - behind.map_or(0, str::len);
        Some(Tag { line, kind })
    })
}

/// What is in the only tag of a template that is nothing else but one `{{ }}`.
pub(super) fn sole(template: &str) -> Option<&str> {
    let inside = template.strip_prefix("{{")?;
    let (body, behind) = body(inside, "}}");
    (behind.is_empty() && template.ends_with("}}")).then_some(body)
}

/// The text behind a raw block, whose `{%` was read; none where it is another statement.
fn raw(inside: &str) -> Option<&str> {
    let marker = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    let mut rest = tag(marker, "raw")?;
    while let Some(start) = rest.find("{%") {
        rest = rest.get(start + 2..)?;
        let marker = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        if let Some(behind) = tag(marker, "endraw") {
            return Some(behind);
        }
    }
    Some("")
}

/// The text behind a tag that is one word.
fn tag<'a>(inside: &'a str, word: &str) -> Option<&'a str> {
    let rest = inside.trim_ascii_start().strip_prefix(word)?.trim_ascii_start();
    rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")
}

/// The name of a statement.
fn statement(body: &str) -> &str {
    let body = body.trim_start();
    let end = body.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    body.get(..end.unwrap_or(body.len())).unwrap_or_default()
}

/// What is in a tag, and the text behind it. Inside of brackets the engine looks for no end; as the template
/// parses and braces are refused, an end cannot stand there.
fn body<'a>(inside: &'a str, end: &str) -> (&'a str, &'a str) {
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    for (at, _) in code(inside) {
        let (body, rest) = inside.split_at_checked(at).unwrap_or((inside, ""));
        let ended = rest.strip_prefix(end).or_else(|| {
            let rest = rest.strip_prefix(['-', '+'])?;
            rest.strip_prefix(end)
        });
        if let Some(behind) = ended {
            return (body, behind);
        }
    }
    (inside, "")
}

/// The characters outside of strings, with their places.
pub(super) fn code(body: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quote, mut escaped) = (None, false);
    body.char_indices().filter(move |(_, c)| match quote {
        Some(mark) => {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if *c == mark => quote = None,
                _ => {}
            }
            false
        }
        None if matches!(c, '"' | '\'') => {
            quote = Some(*c);
            false
        }
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(template: &str) -> Vec<Kind<'_>> {
        tags(template).map(|tag| tag.kind).collect()
    }

    #[test]
    fn tags_end_where_the_engine_ends_them() {
        assert_eq!(
            kinds("a{{ '}}' | x }}b{%- if a -%}{# }} #}{{- b +}}"),
            [
                Kind::Print(" '}}' | x "),
                Kind::Statement("if", " if a "),
                Kind::Text,
                Kind::Print(" b ")
            ]
        );
        assert_eq!(
            kinds("{%- raw -%}{{ .Values }}{% end %}{%+ endraw +%}{{ a }}{% rawer %}"),
            [
                Kind::Text,
                Kind::Print(" a "),
                Kind::Statement("rawer", " rawer ")
            ]
        );
        assert_eq!(kinds("{{ a"), [Kind::Print(" a")]);
        assert_eq!(kinds("{% raw %}{{ a"), [Kind::Text]);
        assert_eq!(
            tags("\n{{ a }}\n\n{{ b }}")
                .map(|tag| tag.line)
                .collect::<Vec<_>>(),
            [2, 4]
        );
    }

    #[test]
    fn one_expression_alone_is_known() {
        assert_eq!(sole("{{ a }}"), Some(" a "));
        assert_eq!(sole("{{- '}}' -}}"), Some(" '}}' "));
        for text in [
            "{{ a }}\n",
            " {{ a }}",
            "{{ a }}{{ b }}",
            "{{ a",
            "{% if a %}",
            "",
        ] {
            assert_eq!(sole(text), None, "{text:?}");
        }
    }
}
