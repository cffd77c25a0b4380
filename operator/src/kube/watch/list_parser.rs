//! The objects of a list, cut out of the answer as its bytes come. What stands beside them, which says where
//! the next page begins, is kept until the end. Must not look into an object.

use serde::Deserialize;

/// Most bytes of one object; the API server takes none of more than 3 MiB.
const MAX_OBJECT_BYTES: usize = 8 << 20;
/// Most bytes beside the objects; they hold a token and a number.
const MAX_ENVELOPE_BYTES: usize = 64 << 10;
/// A buffer that is larger than this is given back after its object.
const MAX_RETAINED_BUFFER_BYTES: usize = 64 << 10;

/// An answer is no list, or one that is larger than any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ListParseError {
    /// More than [`MAX_OBJECT_BYTES`].
    #[error("an object in the list is larger than the API server accepts")]
    Object,
    /// What stands beside them.
    #[error("the answer of the API server is not a list")]
    Beside,
    /// It breaks off.
    #[error("the list of the API server is incomplete")]
    Unfinished,
}

/// What stands beside the objects.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListEnvelope {
    /// Where the next page begins.
    #[serde(default, rename = "continue")]
    pub(super) continue_: Option<String>,
    /// The state of the cluster that the list shows.
    #[serde(default)]
    pub(super) resource_version: Option<String>,
}

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LexerState {
    #[default]
    Structure,
    Text,
    /// After a backslash.
    Escape,
}

/// An answer that is being read.
#[derive(Debug, Default)]
pub(super) struct ListParser {
    within: LexerState,
    /// Open braces and brackets.
    depth: usize,
    /// Between the brackets of `items`.
    listing: bool,
    /// The object that is being read.
    item: Vec<u8>,
    beside: Vec<u8>,
    ended: bool,
}

/// What became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FeedOutcome {
    /// So many of them are read.
    pub(super) used: usize,
    /// An object is complete.
    pub(super) complete: bool,
}

impl ListParser {
    /// Reads on, up to the end of an object.
    ///
    /// # Errors
    /// What is read is larger than anything the API server has.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<FeedOutcome, ListParseError> {
        // What is read and not copied yet begins here.
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            match (self.within, *byte) {
                (LexerState::Escape, _) => self.within = LexerState::Text,
                (LexerState::Text, b'\\') => self.within = LexerState::Escape,
                (LexerState::Text, b'"') => self.within = LexerState::Structure,
                (LexerState::Text, _) => {}
                (LexerState::Structure, b'"') => self.within = LexerState::Text,
                (LexerState::Structure, b'{' | b'[') => {
                    if self.listing && self.depth == 2 {
                        // What stands between two objects is left out.
                        from = at;
                    }
                    if *byte == b'[' && self.depth == 1 {
                        self.keep(bytes.get(from..=at).unwrap_or_default())?;
                        from = at.saturating_add(1);
                        self.listing = self.is_items();
                    }
                    self.depth = self.depth.saturating_add(1);
                }
                (LexerState::Structure, b'}' | b']') => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.listing && self.depth == 2 {
                        self.keep(bytes.get(from..=at).unwrap_or_default())?;
                        let used = at.saturating_add(1);
                        return Ok(FeedOutcome { used, complete: true });
                    }
                    if self.listing && self.depth == 1 {
                        self.listing = false;
                        from = at;
                    }
                    if self.depth == 0 {
                        self.ended = true;
                    }
                }
                (LexerState::Structure, _) => {}
            }
        }
        if !(self.listing && self.depth == 2) {
            self.keep(bytes.get(from..).unwrap_or_default())?;
        }
        Ok(FeedOutcome {
            used: bytes.len(),
            complete: false,
        })
    }

    /// The object that is complete; the next one may come.
    pub(super) fn take<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> T {
        let answer = read(&self.item);
        self.item.clear();
        if self.item.capacity() > MAX_RETAINED_BUFFER_BYTES {
            self.item = Vec::new();
        }
        answer
    }

    /// Bytes of the object that is being read.
    pub(super) fn bytes(&self) -> usize {
        self.item.len()
    }

    /// What stood beside the objects.
    ///
    /// # Errors
    /// The answer broke off, or is no list.
    pub(super) fn end(self) -> Result<ListEnvelope, ListParseError> {
        #[derive(Deserialize)]
        struct List {
            #[serde(default)]
            metadata: ListEnvelope,
        }
        if !self.ended {
            return Err(ListParseError::Unfinished);
        }
        let list: List = serde_json::from_slice(&self.beside).map_err(|_| ListParseError::Beside)?;
        Ok(list.metadata)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), ListParseError> {
        let (into, most, error) = if self.listing {
            (&mut self.item, MAX_OBJECT_BYTES, ListParseError::Object)
        } else {
            (&mut self.beside, MAX_ENVELOPE_BYTES, ListParseError::Beside)
        };
        if into.len().saturating_add(bytes.len()) > most {
            return Err(error);
        }
        into.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether the bracket that was just read begins `items`.
    fn is_items(&self) -> bool {
        let before = self.beside.strip_suffix(b"[").unwrap_or_default();
        let before = before.trim_ascii_end().strip_suffix(b":").unwrap_or_default();
        let before = before
            .trim_ascii_end()
            .strip_suffix(b"\"items\"")
            .unwrap_or_default();
        matches!(before.trim_ascii_end().last(), Some(b'{' | b','))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    /// Reads an answer that comes in parts of this size.
    fn read(answer: &[u8], part: usize) -> Result<(Vec<Json>, ListEnvelope), ListParseError> {
        let mut items = ListParser::default();
        let mut found = Vec::new();
        for mut bytes in answer.chunks(part) {
            while !bytes.is_empty() {
                let fed = items.feed(bytes)?;
                bytes = &bytes[fed.used..];
                if fed.complete {
                    found.push(items.take(|text| serde_json::from_slice(text).unwrap()));
                }
            }
        }
        Ok((found, items.end()?))
    }

    fn beside(next: Option<&str>, version: &str) -> ListEnvelope {
        ListEnvelope {
            continue_: next.map(str::to_owned),
            resource_version: Some(version.to_owned()),
        }
    }

    #[test]
    fn each_object_comes_out_wherever_the_answer_is_cut() {
        let objects = [
            json!({"metadata": {"name": "a"}, "spec": {"text": "\\\"}]{[\u{e9}", "items": [{"items": []}, []]}}),
            json!({}),
            json!({"items": [1, 2], "metadata": {"continue": "of the object"}}),
        ];
        let answer = json!({
            "apiVersion": "v1", "items": objects, "kind": "List",
            "metadata": {"continue": "next", "resourceVersion": "7", "remainingItemCount": 3},
        });
        for text in [
            answer.to_string(),
            serde_json::to_string_pretty(&answer).unwrap() + "\n",
            format!(
                r#"{{"metadata":{{"resourceVersion":"7","continue":"next","items":[{{}}]}},"items" : [ {},{} , {} ]}}"#,
                objects[0], objects[1], objects[2]
            ),
        ] {
            for part in [1, 2, 3, 7, 4096] {
                let (found, beside_them) = read(text.as_bytes(), part).unwrap();
                assert_eq!(found, objects, "{part}: {text}");
                assert_eq!(beside_them, beside(Some("next"), "7"));
            }
        }
    }

    #[test]
    fn a_list_may_be_empty() {
        for items in ["[]", "[ ]", "null"] {
            let text = format!(r#"{{"items":{items},"metadata":{{"resourceVersion":"1"}}}}"#);
            assert_eq!(read(text.as_bytes(), 5).unwrap(), (Vec::new(), beside(None, "1")));
        }
    }

    #[test]
    fn what_is_no_list_and_what_has_no_end_is_refused() {
        for text in [
            "",
            "{",
            r#"{"items":[{"a":1}"#,
            r#"{"items":[{"a":1}],"metadata":{}"#,
        ] {
            assert_eq!(
                read(text.as_bytes(), 3),
                Err(ListParseError::Unfinished),
                "{text}"
            );
        }
        assert_eq!(
            read(br#"{"items":[],"metadata":{"continue":7}}"#, 3),
            Err(ListParseError::Beside)
        );
        let mut endless = ListParser::default();
        endless.feed(br#"{"items":[{"a":""#).unwrap();
        let more = vec![b'x'; 1 << 20];
        let outcome = (0..16).try_for_each(|_| endless.feed(&more).map(drop));
        assert_eq!(outcome, Err(ListParseError::Object));
        let outcome = (0..16).try_for_each(|_| ListParser::default().feed(&more).map(drop));
        assert_eq!(outcome, Err(ListParseError::Beside));
    }

    proptest! {
        #[test]
        fn objects_of_any_text_come_out(texts in proptest::collection::vec(".*", 0..6), part in 1_usize..40) {
            let objects: Vec<Json> = texts.iter().map(|text| json!({"metadata": {"name": text}, text: [text, {}]})).collect();
            let answer = json!({"items": objects, "metadata": {"resourceVersion": "7"}});
            let (found, _) = read(answer.to_string().as_bytes(), part).unwrap();
            prop_assert_eq!(found, objects);
        }
    }
}
