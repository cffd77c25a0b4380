//! The anchor as it stands in its ConfigMap, which people and other programs can write. A field a line,
//! `name: text`.

use std::collections::BTreeMap;

use strongroom_store::vault::{Anchor, MalformedAnchor};

use crate::store::STORE;

/// The fields of an input.
#[must_use]
pub fn fields(input: &[u8]) -> BTreeMap<String, String> {
    String::from_utf8_lossy(input)
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
}

/// Reads an anchor: it is written and read as the same, or the field to put right is named.
pub fn run(input: &[u8]) {
    let mut fields = fields(input);
    let good = Anchor {
        store: STORE,
        counter: 42,
        mac: [7; 32],
    }
    .to_fields();
    // Once each field was put right, there is nothing left to name.
    for _ in 0..=good.len() {
        match Anchor::from_fields(&fields) {
            Ok(anchor) => {
                assert_eq!(Anchor::from_fields(&anchor.to_fields()), Ok(anchor));
                return;
            }
            Err(MalformedAnchor(name)) => {
                let right = good.get(name).cloned().unwrap_or_default();
                assert!(
                    fields.insert(name.to_owned(), right.clone()) != Some(right),
                    "`{name}` is as it should be, and it is named"
                );
            }
        }
    }
    assert!(Anchor::from_fields(&fields).is_ok(), "no field helps: {fields:?}");
}
