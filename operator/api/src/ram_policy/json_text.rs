//! JSON as it is written, for people to read.

use std::fmt;

/// A value that is written.
#[derive(Clone, Debug)]
pub(super) enum JsonText {
    Text(String),
    List(Vec<Self>),
    Object(Vec<(&'static str, Self)>),
}

impl From<&str> for JsonText {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl FromIterator<String> for JsonText {
    fn from_iter<I: IntoIterator<Item = String>>(texts: I) -> Self {
        Self::List(texts.into_iter().map(Self::Text).collect())
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl JsonText {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            Self::Text(text) => write_text(f, text),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    begin(f, index, depth + 1)?;
                    item.write(f, depth + 1)?;
                }
                end(f, items.is_empty(), depth)?;
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    begin(f, index, depth + 1)?;
                    write_text(f, name)?;
                    f.write_str(": ")?;
                    value.write(f, depth + 1)?;
                }
                end(f, members.is_empty(), depth)?;
                f.write_str("}")
            }
        }
    }
}

/// What stands before an item of a list or an object.
fn begin(f: &mut fmt::Formatter<'_>, index: usize, depth: usize) -> fmt::Result {
    let comma = if index > 0 { "," } else { "" };
    write!(f, "{comma}\n{:width$}", "", width = depth * 2)
}

fn end(f: &mut fmt::Formatter<'_>, is_empty: bool, depth: usize) -> fmt::Result {
    if is_empty {
        return Ok(());
    }
    write!(f, "\n{:width$}", "", width = depth * 2)
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let value = JsonText::Object(vec![
            ("Version", "1".into()),
            ("Odd", "a\"b\\c\nd\u{1f}ü".into()),
            ("List", ["x".to_owned(), "y".to_owned()].into_iter().collect()),
            ("None", JsonText::List(Vec::new())),
            ("Empty", JsonText::Object(Vec::new())),
        ]);
        let text = value.to_string();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected =
            json!({"Version": "1", "Odd": "a\"b\\c\nd\u{1f}ü", "List": ["x", "y"], "None": [], "Empty": {}});
        assert_eq!(read, expected);
        assert!(text.starts_with("{\n  \"Version\": \"1\",\n  \"Odd\""), "{text}");
        assert!(
            text.contains("\"List\": [\n    \"x\",\n    \"y\"\n  ],\n  \"None\": []"),
            "{text}"
        );
    }
}
