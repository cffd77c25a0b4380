//! YAML whose scalars are the text that was written. In the documents of a pod everything is a name, a path
//! or a template: what YAML would make a number (`81111e1`, `007`), null or a truth value of is one as well.

use std::collections::BTreeMap;
use std::fmt;

use granit_parser::{Event, Parser, ScalarStyle};
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

/// Most nodes of a document, those that aliases repeat included.
const MAX_NODES: usize = 20_000;
/// Most lists and maps inside each other.
const MAX_DEPTH: usize = 16;
/// Longest message, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// Why a document cannot be read: what is wrong and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DocumentError(String);

impl DocumentError {
    fn new(said: &dyn fmt::Display) -> Self {
        let said = said.to_string();
        let line = said.lines().next().unwrap_or_default();
        Self(
            line.chars()
                .filter(|c| !c.is_control())
                .take(MAX_MESSAGE_CHARS)
                .collect(),
        )
    }
}

/// Reads a document. An empty one is null, which only an optional field takes; null in its place means that
/// it is not there.
///
/// # Errors
/// [`DocumentError`].
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    let node = tree(text)?;
    serde_path_to_error::deserialize(node).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => DocumentError::new(error.inner()),
            path => DocumentError::new(&format!("at `{path}`: {}", error.inner())),
        }
    })
}

/// A name that may lack, and is one also where it looks like null: `key: null`.
///
/// # Errors
/// Where it is a list or a map.
pub fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// A document, as it was written.
#[derive(Clone, Debug)]
enum Node {
    Scalar { text: String, plain: bool },
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

impl Node {
    fn size(&self) -> usize {
        1 + match self {
            Self::Scalar { .. } => 0,
            Self::List(items) => items.iter().map(Self::size).sum(),
            Self::Map(entries) => entries.iter().map(|(key, value)| key.size() + value.size()).sum(),
        }
    }

    /// YAML's null (YAML 1.2.2, 10.3.2).
    fn is_null(&self) -> bool {
        matches!(self, Self::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// A list or a map that is not at its end, and the number of its anchor.
enum OpenNode {
    List(Vec<Node>, usize),
    Map(Vec<(Node, Node)>, Option<Node>, usize),
}

impl OpenNode {
    fn take(&mut self, node: Node) -> Result<(), DocumentError> {
        match self {
            Self::List(items, _) => items.push(node),
            Self::Map(entries, key, _) => match key.take() {
                None => *key = Some(node),
                Some(key) => {
                    let Some(name) = key.text() else {
                        return Err(DocumentError::new(&"a list or a map is used as a name"));
                    };
                    if entries.iter().any(|(there, _)| there.text() == Some(name)) {
                        return Err(DocumentError::new(&format!("`{name}` is there twice")));
                    }
                    entries.push((key, node));
                }
            },
        }
        Ok(())
    }

    fn close(self) -> (Node, usize) {
        match self {
            Self::List(items, anchor) => (Node::List(items), anchor),
            Self::Map(entries, _, anchor) => (Node::Map(merged(entries)), anchor),
        }
    }
}

/// A map with what its `<<` brings from others, where it does not say it itself
/// (<https://yaml.org/type/merge.html>).
fn merged(entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
    let merges = |(key, value): &(Node, Node)| {
        let is_map = |node: &Node| matches!(node, Node::Map(_));
        let maps = match value {
            Node::List(items) => items.iter().all(is_map),
            other => is_map(other),
        };
        maps && matches!(key, Node::Scalar { text, plain: true } if text == "<<")
    };
    let (brought, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(merges);
    for (_, value) in brought {
        let maps = match value {
            Node::List(items) => items,
            other => vec![other],
        };
        for map in maps {
            let Node::Map(entries) = map else { continue };
            for (key, value) in entries {
                if !own.iter().any(|(there, _)| there.text() == key.text()) {
                    own.push((key, value));
                }
            }
        }
    }
    own
}

fn tree(text: &str) -> Result<Node, DocumentError> {
    let mut open: Vec<OpenNode> = Vec::new();
    let mut root = None;
    let mut anchors: BTreeMap<usize, Node> = BTreeMap::new();
    let mut nodes = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| DocumentError::new(&error))?;
        let done = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let text = text.into_owned();
                Some((Node::Scalar { text, plain }, anchor))
            }
            Event::SequenceStart(_, anchor, _) => {
                open.push(OpenNode::List(Vec::new(), anchor));
                None
            }
            Event::MappingStart(_, anchor, _) => {
                open.push(OpenNode::Map(Vec::new(), None, anchor));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(OpenNode::close),
            Event::Alias(id) => {
                let node = anchors.get(&id).cloned();
                Some((node.ok_or_else(|| DocumentError::new(&"an alias of itself"))?, 0))
            }
            Event::DocumentStart(..) if root.is_some() => {
                return Err(DocumentError::new(&"there is more than one document"));
            }
            _ => None,
        };
        if open.len() > MAX_DEPTH {
            return Err(DocumentError::new(&format!(
                "more than {MAX_DEPTH} lists and maps inside each other"
            )));
        }
        let Some((node, anchor)) = done else { continue };
        nodes = nodes.saturating_add(node.size());
        if nodes > MAX_NODES * MAX_DEPTH {
            return Err(DocumentError::new(&"it is too large"));
        }
        if anchor > 0 {
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            None => root = Some(node),
            Some(open) => open.take(node)?,
        }
    }
    let nothing = Node::Scalar {
        text: String::new(),
        plain: true,
    };
    Ok(root.unwrap_or(nothing))
}

type Error = serde::de::value::Error;

impl<'de> IntoDeserializer<'de, Error> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Scalar { text, .. } => visitor.visit_string(text),
            Self::List(items) => {
                let mut items = SeqDeserializer::new(items.into_iter());
                let value = visitor.visit_seq(&mut items)?;
                items.end().map(|()| value)
            }
            Self::Map(entries) => {
                let mut entries = MapDeserializer::new(entries.into_iter());
                let value = visitor.visit_map(&mut entries)?;
                entries.end().map(|()| value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Scalar { text, .. } => {
                let variant: serde::de::value::StringDeserializer<Error> = text.into_deserializer();
                variant.deserialize_enum(name, variants, visitor)
            }
            other => other.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        name: String,
        stage: Option<String>,
    }

    #[test]
    fn what_yaml_makes_something_else_of_is_a_name() {
        let names =
            "[81111e1, 0x1F, 007, 1_000, null, ~, true, no, 1.10, .inf, 2024-01-01, !!str 5, \"a\", '']";
        let expected = [
            "81111e1",
            "0x1F",
            "007",
            "1_000",
            "null",
            "~",
            "true",
            "no",
            "1.10",
            ".inf",
            "2024-01-01",
            "5",
            "a",
            "",
        ];
        assert_eq!(read::<Vec<String>>(names).unwrap(), expected);
        let entry = |stage: Option<&str>| Entry {
            name: "null".to_owned(),
            stage: stage.map(str::to_owned),
        };
        assert_eq!(read::<Entry>("{name: null, stage: 1}").unwrap(), entry(Some("1")));
        for absent in ["{name: null, stage: null}", "name: null\nstage:\n", "name: null"] {
            assert_eq!(read::<Entry>(absent).unwrap(), entry(None), "{absent}");
        }
        assert_eq!(
            read::<Entry>("{name: null, stage: 'null'}").unwrap(),
            entry(Some("null"))
        );
    }

    #[test]
    fn aliases_and_merges_are_read() {
        let text = "- &a {name: x, stage: s}\n- *a\n- {<<: *a, name: y}\n";
        let names: Vec<_> = read::<Vec<Entry>>(text)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.name, entry.stage.unwrap()))
            .collect();
        let expected = [("x", "s"), ("x", "s"), ("y", "s")];
        assert_eq!(
            names,
            expected.map(|(name, stage)| (name.to_owned(), stage.to_owned()))
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_place() {
        for (text, said) in [
            ("[{name: a}, {nam: b}]", "at `[1].nam`: unknown field `nam`"),
            ("[{name: a, name: b}]", "`name` is there twice"),
            ("[{stage: a}]", "at `[0]`: missing field `name`"),
            ("[[a]]", "at `[0]`"),
            ("[", "line 1"),
            ("[{name: a}]\n---\nb", "more than one document"),
            ("[*a]", "line 1"),
            ("{[a]: b}", "used as a name"),
        ] {
            let error = read::<Vec<Entry>>(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(read::<Vec<Entry>>(&deep).is_err());
        let mut bomb = "- &a0 [x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            bomb.push_str(&format!(
                "- &a{n} [{}]\n",
                vec![format!("*a{}", n - 1); 8].join(",")
            ));
        }
        assert_eq!(
            read::<Vec<Entry>>(&bomb).unwrap_err().to_string(),
            "it is too large"
        );
    }
}
