//! What a template uses, read off its text: names, filters, and names that the language takes for something
//! else. All of it follows from the template and the names of the keys, so that it may be told to anybody.

use std::collections::BTreeSet;

use super::tags::{Kind, Tag, code, tags};

/// Words of the language that stand for values (`Token::Ident` in the engine's parser of primary
/// expressions).
const LITERALS: [&str; 6] = ["true", "True", "false", "False", "none", "None"];
/// Words of the language that join expressions.
const WORDS: [&str; 11] = [
    "not", "and", "or", "in", "is", "if", "else", "elif", "for", "endif", "endfor",
];

/// What a filter, a test or printing asks of what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Requirement {
    /// Text that `b64decode` takes.
    Base64,
    /// Text that `pem_bundle` takes.
    Pem,
    /// UTF-8 text.
    Text,
}

impl Requirement {
    /// What a filter or test of this name asks for.
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "b64decode" => Some(Self::Base64),
            "pem_bundle" => Some(Self::Pem),
            "tojson" | "quote" | "replace" | "join" | "indent" | "upper" | "lower" | "trim"
            | "startingwith" | "endingwith" => Some(Self::Text),
            _ => None,
        }
    }
}

/// The code of a tag with its strings blanked out, each character in its place.
fn blanked(body: &str) -> String {
    let mut text: Vec<char> = body.chars().map(|_| '\0').collect();
    let places: Vec<usize> = body.char_indices().map(|(at, _)| at).collect();
    for (at, c) in code(body) {
        if let Ok(index) = places.binary_search(&at)
            && let Some(place) = text.get_mut(index)
        {
            *place = c;
        }
    }
    text.into_iter().collect()
}

/// The bodies of the tags that have code, and whether each is printed.
fn bodies(template: &str) -> impl Iterator<Item = (usize, bool, &str)> {
    tags(template).filter_map(|Tag { line, kind }| match kind {
        Kind::Print(body) => Some((line, true, body)),
        Kind::Statement(_, body) => Some((line, false, body)),
        Kind::Text => None,
    })
}

/// The filters of a template (`true`) and its tests, with their lines.
pub(super) fn operations(template: &str) -> Vec<(usize, bool, String)> {
    let mut operations = Vec::new();
    for (line, _, body) in bodies(template) {
        let code = blanked(body);
        let filters = code
            .split('|')
            .skip(1)
            .map(|rest| (line, true, first_word(rest).to_owned()));
        let tests = code
            .split(" is ")
            .skip(1)
            .map(|rest| rest.trim_start().trim_start_matches("not "));
        let tests = tests.map(|rest| (line, false, first_word(rest).to_owned()));
        operations.extend(filters.chain(tests));
    }
    operations
}

/// What the template asks of the value: by demand, the filters and tests that do, in the order of their
/// names.
pub(super) fn demands(template: &str) -> BTreeSet<(Requirement, String)> {
    let asking = operations(template).into_iter();
    asking
        .filter_map(|(_, _, name)| Some((Requirement::from_name(&name)?, name)))
        .collect()
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| !is_word(c));
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A name, and how it is written so that it is taken for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    /// As it stands in the template, and is not taken.
    pub(super) name: String,
    /// As it must be written, such as `keys["db-password"]`.
    pub(super) written: String,
}

/// The first of these names that the template writes where the language reads something else: an operator, a
/// number, a word of its own. The answer has the line.
pub(super) fn misread(template: &str, names: &[Spelling]) -> Option<(usize, Spelling)> {
    for (line, printed, body) in bodies(template) {
        let code = blanked(body);
        for spelling in names {
            let name = spelling.name.as_str();
            let found = if LITERALS.contains(&name) {
                places(&code, name).any(|at| !is_argument(&code, at))
            } else if name == "loop" {
                places(&code, name).any(|at| !behind(&code, at, name).starts_with('.'))
            } else if is_identifier(name) || !name.contains(is_word) {
                false
            } else if name.parse::<f64>().is_ok() {
                // A number elsewhere is an argument.
                printed
                    && places(&code, name)
                        .any(|at| code.get(..at).is_some_and(|before| before.trim().is_empty()))
            } else {
                places(&code, name).next().is_some()
            };
            if found {
                return Some((line, spelling.clone()));
            }
        }
    }
    None
}

/// The first of these names that is a word of the language and stands somewhere in a tag: of a template that
/// does not parse.
pub(super) fn word(template: &str, names: &[Spelling]) -> Option<Spelling> {
    let mut words = names.iter().filter(|name| WORDS.contains(&name.name.as_str()));
    words
        .find(|name| bodies(template).any(|(_, _, body)| places(&blanked(body), &name.name).next().is_some()))
        .cloned()
}

/// Whether the language can reach a key by its name alone, and takes it for nothing else.
pub(super) fn is_plain(name: &str) -> bool {
    is_identifier(name) && !LITERALS.contains(&name) && !WORDS.contains(&name) && name != "loop"
}

pub(super) fn is_identifier(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) && name.chars().all(is_word)
}

/// Where a name stands by itself in code.
fn places<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| is_word(c) || c == '-';
    code.match_indices(name).filter_map(move |(at, _)| {
        let before = code.get(..at)?.chars().next_back();
        let after = behind(code, at, name).chars().next();
        (!before.is_some_and(part) && !after.is_some_and(part)).then_some(at)
    })
}

fn behind<'a>(code: &'a str, at: usize, name: &str) -> &'a str {
    code.get(at + name.len()..).unwrap_or_default()
}

/// Whether what stands there is the value of a filter's argument (`urlsafe=true`) or an attribute.
fn is_argument(code: &str, at: usize) -> bool {
    let before = code.get(..at).unwrap_or_default().trim_end();
    before.ends_with('.') || (before.ends_with('=') && !before.ends_with("=="))
}

/// Whether a name stands in a tag that asks whether it is there.
pub(super) fn is_guarded(template: &str, name: &str) -> bool {
    bodies(template).any(|(_, _, body)| {
        let code = blanked(body);
        let asked = ["default", "defined", "undefined"]
            .iter()
            .any(|word| places(&code, word).next().is_some());
        asked && body.contains(name)
    })
}

/// Whether a key is written in brackets: `keys["a.b"]`.
pub(super) fn in_brackets(template: &str, map: &str, key: &str) -> bool {
    bodies(template).any(|(_, _, body)| {
        ["\"", "'"]
            .iter()
            .any(|quote| body.contains(&format!("{map}[{quote}{key}{quote}]")))
    })
}

/// The keys that are written in brackets behind a map's name.
pub(super) fn bracketed<'a>(template: &'a str, map: &str) -> Vec<&'a str> {
    let mut keys = Vec::new();
    for (_, _, body) in bodies(template) {
        for quote in ['"', '\''] {
            for part in body.split(&format!("{map}[{quote}")).skip(1) {
                if let Some((key, _)) = part.split_once(&format!("{quote}]")) {
                    keys.push(key);
                }
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(names: &[&str]) -> Vec<Spelling> {
        let spelling = |name: &&str| Spelling {
            name: (*name).to_owned(),
            written: format!("keys[\"{name}\"]"),
        };
        names.iter().map(spelling).collect()
    }

    #[test]
    fn names_that_the_language_reads_as_something_else_are_found() {
        for (template, name) in [
            ("{{ true }}", "true"),
            ("{{ none | default('x') }}", "none"),
            ("{{ [a, True] | join }}", "True"),
            ("{{ db-password }}", "db-password"),
            ("{{ keys.db-password }}", "db-password"),
            ("{{ tls.crt }}", "tls.crt"),
            ("{{ tls.crt | default('x') }}", "tls.crt"),
            ("{{ 007 }}", "007"),
            ("{{ 1e5 | upper }}", "1e5"),
            ("{% for a in [b] %}{{ loop }}{% endfor %}", "loop"),
            ("{% if a-b %}{% endif %}", "a-b"),
        ] {
            let found = misread(template, &spelled(&[name])).map(|(_, spelling)| spelling.name);
            assert_eq!(found.as_deref(), Some(name), "{template}");
        }
        for (template, name) in [
            ("{{ keys[\"true\"] }}", "true"),
            ("{{ a | b64encode(urlsafe=true) }}", "true"),
            ("{{ keys.true }}", "true"),
            ("{{ trueish }}", "true"),
            ("{{ keys['db-password'] }} db-password", "db-password"),
            ("{{ my-db-password }}", "db-password"),
            ("{{ a | indent(2) }}", "2"),
            ("{% for a in [b] %}{{ loop.index }}{% endfor %}", "loop"),
            ("{% raw %}{{ true }}{% endraw %}", "true"),
            ("{{ plain }}", "plain"),
            ("{{ a - b }}", "-"),
        ] {
            assert_eq!(misread(template, &spelled(&[name])), None, "{template}");
        }
    }

    #[test]
    fn demands_are_those_of_filters_and_tests() {
        let demands = demands(
            "{{ a | b64decode|upper }}{{ '| trim' }}{% if b is not startingwith('x') %}{{ [a] | pem_bundle }}{% endif %}",
        );
        let names: Vec<_> = demands.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["b64decode", "pem_bundle", "startingwith", "upper"]);
    }

    #[test]
    fn a_name_that_is_asked_about_is_guarded() {
        assert!(is_guarded("{{ port | default('1') }}", "port"));
        assert!(is_guarded(
            "{% if port is defined %}{{ port }}{% endif %}",
            "port"
        ));
        assert!(!is_guarded("{{ port }}{{ host | default('1') }}", "port"));
    }
}
