//! The filters of templates, and how a value is printed. Each is bounded, and takes text or bytes: nothing
//! turns a list into text unseen.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output};
use serde::Serialize;

use crate::base64::{self, Base64Error};
use crate::pem;

/// Largest text that a filter makes, in bytes.
pub(super) const FILTER_BYTES: usize = 262_144;

/// What a filter refuses, in words for somebody who has the value: they may show a part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FilterError {
    /// A list, a map, a number or bytes where text belongs.
    #[error(
        "filter `{filter}` needs UTF-8 text: give it one key of the value, and use `| b64encode` for binary keys"
    )]
    NotText {
        /// What templates call it, such as `quote`.
        filter: &'static str,
    },
    /// What `b64decode` was given.
    #[error("filter `b64decode` was given text that is not base64: {0}")]
    NotBase64(String),
    /// What `pem_bundle` was given.
    #[error("filter `pem_bundle` was given text that is not PEM: {0}")]
    NotPem(String),
    /// A wrong argument.
    #[error("filter `{filter}`: {what}")]
    Argument {
        filter: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// More than [`FILTER_BYTES`].
    #[error("filter `{filter}` would produce more than {FILTER_BYTES} bytes")]
    TooLarge {
        /// What templates call it, such as `join`.
        filter: &'static str,
    },
    /// Bytes that are no text, where text is printed.
    #[error(
        "a key that is not UTF-8 text is printed next to other text: use `| b64encode`, or make the template only `{{{{ … }}}}`"
    )]
    PrintBytes,
    /// A list or a map is printed.
    #[error("a list or a map cannot be printed: print one key, or use `| tojson` or `| join`")]
    PrintList,
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        Self::new(ErrorKind::InvalidOperation, "refused").with_source(error)
    }
}

/// What [`install`] adds, and nothing of minijinja's own besides.
pub(super) const FILTERS: [&str; 17] = [
    "b64encode",
    "b64decode",
    "tojson",
    "quote",
    "urlencode",
    "pem_bundle",
    "replace",
    "join",
    "indent",
    "upper",
    "lower",
    "trim",
    "default",
    "first",
    "last",
    "length",
    "items",
];
/// The tests that [`install`] adds.
pub(super) const TESTS: [&str; 4] = ["defined", "undefined", "startingwith", "endingwith"];

pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_filter("b64encode", b64encode);
    environment.add_filter("b64decode", b64decode);
    environment.add_filter("tojson", tojson);
    environment.add_filter("quote", quote);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("pem_bundle", pem_bundle);
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("indent", indent);
    environment.add_filter("upper", |value: &Value| {
        text("upper", value).map(str::to_uppercase)
    });
    environment.add_filter("lower", |value: &Value| {
        text("lower", value).map(str::to_lowercase)
    });
    environment.add_filter("trim", |value: &Value| {
        text("trim", value).map(|text| text.trim().to_owned())
    });
    environment.add_filter("default", minijinja::filters::default);
    environment.add_filter("first", minijinja::filters::first);
    environment.add_filter("last", minijinja::filters::last);
    environment.add_filter("length", minijinja::filters::length);
    environment.add_filter("items", minijinja::filters::items);
    environment.add_test("defined", minijinja::tests::is_defined);
    environment.add_test("undefined", minijinja::tests::is_undefined);
    environment.add_test("startingwith", |value: &Value, start: &str| {
        text("startingwith", value).map(|text| text.starts_with(start))
    });
    environment.add_test("endingwith", |value: &Value, end: &str| {
        text("endingwith", value).map(|text| text.ends_with(end))
    });
}

/// Prints text, numbers and truth values; of anything else it says how.
pub(super) fn print(out: &mut Output<'_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Number | ValueKind::Bool => {
            write!(out, "{value}").map_err(|_| Error::from(ErrorKind::WriteFailure))
        }
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Bytes => Err(FilterError::PrintBytes.into()),
        _ => Err(FilterError::PrintList.into()),
    }
}

fn text<'a>(filter: &'static str, value: &'a Value) -> Result<&'a str, Error> {
    value
        .as_str()
        .ok_or_else(|| FilterError::NotText { filter }.into())
}

fn bytes<'a>(filter: &'static str, value: &'a Value) -> Result<&'a [u8], Error> {
    value
        .as_bytes()
        .ok_or_else(|| FilterError::NotText { filter }.into())
}

fn fits(filter: &'static str, size: usize) -> Result<(), Error> {
    if size > FILTER_BYTES {
        Err(FilterError::TooLarge { filter }.into())
    } else {
        Ok(())
    }
}

/// Base64 (RFC 4648); `urlsafe=true` for the URL-safe alphabet without padding.
fn b64encode(value: &Value, arguments: Kwargs) -> Result<String, Error> {
    let urlsafe: Option<bool> = arguments.get("urlsafe")?;
    arguments.assert_all_used()?;
    let encoding = if urlsafe == Some(true) {
        BASE64URL_NOPAD
    } else {
        BASE64
    };
    let bytes = bytes("b64encode", value)?;
    fits("b64encode", encoding.encode_len(bytes.len()))?;
    Ok(encoding.encode(bytes))
}

/// Base64 of either alphabet, wrapped or not, padded or not, back to text or bytes.
fn b64decode(value: &Value) -> Result<Value, Error> {
    let coded = text("b64decode", value)?;
    let shown = |at: usize| {
        coded
            .get(at..)
            .and_then(|rest| rest.chars().next())
            .unwrap_or_default()
    };
    let place = |at: usize| coded.get(..at).map_or(0, |before| before.chars().count()) + 1;
    let decoded = base64::decode(coded.as_bytes()).map_err(|error| {
        FilterError::NotBase64(match error {
            Base64Error::Character { at } => format!("character {} is {:?}", place(at), shown(at)),
            Base64Error::Mixed { at } => format!(
                "character {} is {:?}, which is not of the alphabet of those before it",
                place(at),
                shown(at)
            ),
            Base64Error::Length => "it is cut off, or goes on behind its padding".to_owned(),
        })
    })?;
    Ok(match std::str::from_utf8(&decoded) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from_bytes(decoded.to_vec()),
    })
}

/// JSON (RFC 8259) on one line.
fn tojson(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    if has_bytes(value, 0)? {
        return Err(FilterError::NotText { filter: "tojson" }.into());
    }
    let mut out = BoundedJson(Vec::new());
    let written = value.serialize(&mut serde_json::Serializer::new(&mut out));
    written.map_err(|_| FilterError::TooLarge { filter: "tojson" })?;
    String::from_utf8(out.0).map_err(|_| FilterError::NotText { filter: "tojson" }.into())
}

/// Whether there are bytes in a value that are no text: JSON would have a list of numbers in their place.
fn has_bytes(value: &Value, depth: usize) -> Result<bool, Error> {
    match value.kind() {
        ValueKind::Bytes => Ok(true),
        ValueKind::Seq | ValueKind::Iterable if depth < 8 => {
            for item in value.try_iter()? {
                if has_bytes(&item, depth + 1)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        ValueKind::Map if depth < 8 => {
            for key in value.try_iter()? {
                if has_bytes(&value.get_item(&key)?, depth + 1)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}

struct BoundedJson(Vec<u8>);

impl std::io::Write for BoundedJson {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > FILTER_BYTES {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Text in double quotes, escaped as JSON: also right in YAML and in most configuration files.
fn quote(value: &Value) -> Result<String, Error> {
    text("quote", value)?;
    tojson(value)
}

/// Percent-encoding of all but the unreserved characters (RFC 3986 section 2.3): right in each part of a URL.
fn urlencode(value: &Value) -> Result<String, Error> {
    let bytes = bytes("urlencode", value)?;
    fits("urlencode", bytes.len().saturating_mul(3))?;
    let mut coded = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            coded.push(char::from(*byte));
        } else {
            coded.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(coded)
}

/// The blocks of a PEM text, or of a list of them, one after the other, with nothing around them and one kind
/// of line end.
fn pem_bundle(value: &Value) -> Result<String, Error> {
    const FILTER: &str = "pem_bundle";
    let parts: Vec<Value> = match value.kind() {
        ValueKind::String | ValueKind::Bytes => vec![value.clone()],
        _ => list(FILTER, value)?.collect(),
    };
    let mut bundle = String::new();
    for (index, part) in parts.iter().enumerate() {
        let blocks = pem::blocks(bytes(FILTER, part)?).map_err(|(block, error)| {
            FilterError::NotPem(format!("in text {}, {}", index + 1, error.describe(block)))
        })?;
        for block in blocks {
            fits(FILTER, bundle.len() + block.size())?;
            block.write(&mut bundle);
        }
    }
    Ok(bundle)
}

fn replace(value: &Value, from: &str, to: &str) -> Result<String, Error> {
    const FILTER: &str = "replace";
    let value = text(FILTER, value)?;
    if from.is_empty() {
        return Err(FilterError::Argument {
            filter: FILTER,
            what: "the text to replace is empty",
        }
        .into());
    }
    let found = value.matches(from).count();
    fits(FILTER, value.len().saturating_add(found.saturating_mul(to.len())))?;
    Ok(value.replace(from, to))
}

/// The texts of a list one after the other, with a separator if there is one.
fn join(value: &Value, separator: Option<&str>) -> Result<String, Error> {
    const FILTER: &str = "join";
    let separator = separator.unwrap_or_default();
    let mut joined = String::new();
    for (index, part) in list(FILTER, value)?.enumerate() {
        let part = text(FILTER, &part)?;
        fits(FILTER, joined.len() + part.len() + separator.len())?;
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(part);
    }
    Ok(joined)
}

/// Puts spaces before every line but the first, as YAML blocks need it.
fn indent(value: &Value, width: usize) -> Result<String, Error> {
    const FILTER: &str = "indent";
    let value = text(FILTER, value)?;
    if width > 64 {
        return Err(FilterError::Argument {
            filter: FILTER,
            what: "the width is at most 64",
        }
        .into());
    }
    let lines = value.bytes().filter(|c| *c == b'\n').count();
    fits(FILTER, value.len().saturating_add(lines.saturating_mul(width)))?;
    let mut indented = String::with_capacity(value.len());
    for (index, line) in value.split_inclusive('\n').enumerate() {
        if index > 0 && !line.trim().is_empty() {
            indented.extend(std::iter::repeat_n(' ', width));
        }
        indented.push_str(line);
    }
    Ok(indented)
}

/// The elements of a list; text is not one.
fn list(filter: &'static str, value: &Value) -> Result<impl Iterator<Item = Value>, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value.try_iter(),
        _ => Err(FilterError::Argument {
            filter,
            what: "give it a list, as in `[a, b]`",
        }
        .into()),
    }
}
