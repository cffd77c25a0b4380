//! JSON (RFC 8259) with the place of each value. Names stay in their order, and none stands twice in one
//! object: readers disagree on which of both counts, so that a policy would mean to one of them what it does
//! not mean to another.

use std::collections::HashSet;
use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use super::error::{RamPolicyError, RamPolicyReason, quoted};

#[cfg(test)]
mod tests;

/// How deep values may stand in values: a policy has seven levels.
const MAX_DEPTH: usize = 16;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// From 1.
    pub(super) line: usize,
    /// Counts characters, from 1.
    pub(super) column: usize,
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonNode {
    pub(super) at: Position,
    pub(super) value: JsonValue,
}

/// What JSON can say. Numbers, true, false and null have no place in a policy: nothing more is kept of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum JsonValue {
    /// A number, true, false or null.
    Other,
    Text(String),
    List(Vec<JsonNode>),
    Object(Vec<JsonMember>),
}

/// A name of an object with its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonMember {
    /// Where the name stands.
    pub(super) at: Position,
    pub(super) name: String,
    pub(super) node: JsonNode,
}

/// Reads a whole text.
pub(super) fn read(text: &str) -> Result<JsonNode, RamPolicyError> {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        at: Position { line: 1, column: 1 },
        path: Vec::new(),
    };
    let node = reader.value()?;
    reader.skip_blanks();
    match reader.rest.peek() {
        None => Ok(node),
        Some(_) => Err(reader.syntax("expected the end of the text")),
    }
}

/// A step from a value to one in it.
enum PathStep {
    Name(String),
    Index(usize),
}

/// A path, as in `$.Statement[0]`.
fn path(steps: &[PathStep]) -> String {
    let mut path = "$".to_owned();
    for step in steps {
        // Writing to a String cannot fail.
        let _ = match step {
            PathStep::Name(name) => write!(path, "{}", member_path(name)),
            PathStep::Index(index) => write!(path, "[{index}]"),
        };
    }
    path
}

/// A name as a step of a path, as in `.Statement` or `['a b']`.
pub(super) fn member_path(name: &str) -> String {
    let is_plain = !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric());
    if is_plain {
        format!(".{name}")
    } else {
        format!("['{}']", quoted(name))
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    /// Where the next character stands.
    at: Position,
    path: Vec<PathStep>,
}

impl Reader<'_> {
    fn error(&self, at: Position, reason: RamPolicyReason) -> RamPolicyError {
        RamPolicyError::new(at, path(&self.path), reason)
    }

    fn syntax(&self, what: &'static str) -> RamPolicyError {
        self.error(self.at, RamPolicyReason::Syntax(what))
    }

    fn advance(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.at = if next == '\n' {
            Position {
                line: self.at.line + 1,
                column: 1,
            }
        } else {
            Position {
                column: self.at.column + 1,
                ..self.at
            }
        };
        Some(next)
    }

    fn skip_blanks(&mut self) {
        while matches!(self.rest.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.advance();
        }
    }

    /// Goes over a character, if it is the next one.
    fn take(&mut self, wanted: char) -> bool {
        let is_next = self.rest.peek() == Some(&wanted);
        if is_next {
            self.advance();
        }
        is_next
    }

    fn value(&mut self) -> Result<JsonNode, RamPolicyError> {
        self.skip_blanks();
        let at = self.at;
        let value = match self.rest.peek() {
            Some('{') => JsonValue::Object(self.object()?),
            Some('[') => JsonValue::List(self.list()?),
            Some('"') => JsonValue::Text(self.text()?),
            Some(_) => self.other()?,
            None => return Err(self.syntax("expected a value, and the text ends")),
        };
        Ok(JsonNode { at, value })
    }

    /// Refuses what stands too deep: a reader that calls itself would use up its stack.
    fn enter(&self) -> Result<(), RamPolicyError> {
        if self.path.len() >= MAX_DEPTH {
            return Err(self.error(self.at, RamPolicyReason::TooDeep));
        }
        Ok(())
    }

    fn object(&mut self) -> Result<Vec<JsonMember>, RamPolicyError> {
        self.enter()?;
        self.advance();
        let mut members = Vec::new();
        let mut names = HashSet::new();
        self.skip_blanks();
        if self.take('}') {
            return Ok(members);
        }
        loop {
            self.skip_blanks();
            let at = self.at;
            if self.rest.peek() != Some(&'"') {
                return Err(self.syntax("expected a name in quotes"));
            }
            let name = self.text()?;
            if !names.insert(name.clone()) {
                return Err(self.error(at, RamPolicyReason::DuplicateName(quoted(&name))));
            }
            self.skip_blanks();
            if !self.take(':') {
                return Err(self.syntax("expected `:` behind a name"));
            }
            self.path.push(PathStep::Name(name.clone()));
            let node = self.value()?;
            self.path.pop();
            members.push(JsonMember { at, name, node });
            self.skip_blanks();
            if self.take('}') {
                return Ok(members);
            }
            if !self.take(',') {
                return Err(self.syntax("expected `,` or `}`"));
            }
        }
    }

    fn list(&mut self) -> Result<Vec<JsonNode>, RamPolicyError> {
        self.enter()?;
        self.advance();
        let mut nodes = Vec::new();
        self.skip_blanks();
        if self.take(']') {
            return Ok(nodes);
        }
        loop {
            self.path.push(PathStep::Index(nodes.len()));
            nodes.push(self.value()?);
            self.path.pop();
            self.skip_blanks();
            if self.take(']') {
                return Ok(nodes);
            }
            if !self.take(',') {
                return Err(self.syntax("expected `,` or `]`"));
            }
        }
    }

    fn text(&mut self) -> Result<String, RamPolicyError> {
        self.advance();
        let mut text = String::new();
        loop {
            let at = self.at;
            match self.advance() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape(at)?),
                Some(c) if c < ' ' => {
                    let reason = RamPolicyReason::Syntax("a control character in a text must be escaped");
                    return Err(self.error(at, reason));
                }
                Some(c) => text.push(c),
                None => return Err(self.syntax("a text has no end")),
            }
        }
    }

    /// What follows a backslash, which stands at `at`.
    fn escape(&mut self, at: Position) -> Result<char, RamPolicyError> {
        let unknown =
            |reader: &Self| reader.error(at, RamPolicyReason::Syntax("an escape that there is not"));
        Ok(match self.advance() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let first = self.unit().ok_or_else(|| unknown(self))?;
                let second = if (0xd800..0xdc00).contains(&first) && self.take('\\') && self.take('u') {
                    self.unit()
                } else {
                    None
                };
                let units = [Some(first), second].into_iter().flatten();
                // A half of a pair is no character.
                let mut read = char::decode_utf16(units);
                match (read.next(), read.next()) {
                    (Some(Ok(c)), None) => c,
                    _ => return Err(unknown(self)),
                }
            }
            _ => return Err(unknown(self)),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u16> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.rest.peek().and_then(|c| c.to_digit(16))?;
            self.advance();
            unit = unit * 16 + u16::try_from(digit).ok()?;
        }
        Some(unit)
    }

    /// A number, true, false or null.
    fn other(&mut self) -> Result<JsonValue, RamPolicyError> {
        let at = self.at;
        let mut word = String::new();
        while let Some(c) = self.rest.peek().copied()
            && (c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        {
            word.push(c);
            self.advance();
        }
        if matches!(word.as_str(), "true" | "false" | "null") || is_number(&word) {
            return Ok(JsonValue::Other);
        }
        Err(self.error(at, RamPolicyReason::Syntax("expected a value")))
    }
}

/// Whether a word is a number as JSON has it.
fn is_number(word: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let word = word.strip_prefix('-').unwrap_or(word);
    let (rest, exponent) = match word.split_once(['e', 'E']) {
        Some((rest, exponent)) => (rest, Some(exponent)),
        None => (word, None),
    };
    let (whole, fraction) = match rest.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (rest, None),
    };
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(|exponent| is_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}
