//! The filters of templates, and how a value is printed. Each is bounded, and takes text or bytes: nothing turns a list into
//! text unseen.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output};
use serde::Serialize;

/// Largest text that a filter makes, in bytes.
const FILTER_BYTES: usize = 262_144;

/// What a filter refuses. It never shows what it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A list, a map, a number where text belongs.
    #[error("filter `{filter}` takes text: give it one key of the value")]
    NotText {
        /// The filter.
        filter: &'static str,
    },
    /// Not base64.
    #[error("filter `b64decode` was given text that is not base64")]
    NotBase64,
    /// Not PEM.
    #[error("filter `pem_bundle` was given text that is not PEM")]
    NotPem,
    /// A wrong argument.
    #[error("filter `{filter}`: {what}")]
    Argument {
        /// The filter.
        filter: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// Too much.
    #[error("filter `{filter}` would make more than {FILTER_BYTES} bytes")]
    TooLarge {
        /// The filter.
        filter: &'static str,
    },
    /// Bytes that are no text, where text is printed.
    #[error("a key that is not UTF-8 text is printed: use `| b64encode`, or copy it with `secret.keys`")]
    PrintBytes,
    /// A list or a map is printed.
    #[error("a list or a map is printed: print one key, or use `| tojson` or `| join`")]
    PrintList,
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        Self::new(ErrorKind::InvalidOperation, "refused").with_source(error)
    }
}

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

/// Base64 of either alphabet, back to text or bytes.
fn b64decode(value: &Value) -> Result<Value, Error> {
    let coded = text("b64decode", value)?.trim();
    let decoded = BASE64
        .decode(coded.as_bytes())
        .or_else(|_| BASE64URL_NOPAD.decode(coded.as_bytes()));
    let decoded = decoded.map_err(|_| FilterError::NotBase64)?;
    Ok(match String::from_utf8(decoded) {
        Ok(text) => Value::from(text),
        Err(error) => Value::from_bytes(error.into_bytes()),
    })
}

/// JSON (RFC 8259) on one line.
fn tojson(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let mut out = BoundedJson(Vec::new());
    let written = value.serialize(&mut serde_json::Serializer::new(&mut out));
    written.map_err(|_| FilterError::TooLarge { filter: "tojson" })?;
    String::from_utf8(out.0).map_err(|_| FilterError::NotText { filter: "tojson" }.into())
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

/// A list of PEM texts one after the other, each on lines of its own.
fn pem_bundle(value: &Value) -> Result<String, Error> {
    const FILTER: &str = "pem_bundle";
    let mut bundle = String::new();
    for part in list(FILTER, value)? {
        let part = text(FILTER, &part)?.trim();
        if !(part.starts_with("-----BEGIN ") && part.ends_with("-----")) {
            return Err(FilterError::NotPem.into());
        }
        fits(FILTER, bundle.len() + part.len() + 1)?;
        bundle.push_str(part);
        bundle.push('\n');
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
