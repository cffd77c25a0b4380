//! The anchor, and how it is written down where people can see it.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;

use strongroom_model::id::StoreId;

/// What stands outside the store so that an older copy of it is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// Whose anchor it is.
    pub store: StoreId,
    /// Commits since it was made.
    pub counter: u64,
    /// MAC over both and the digest of all records.
    pub mac: [u8; 32],
}

/// Writes an anchor before a commit is acknowledged.
pub type StrictAnchor = Box<dyn Fn(&Anchor) -> Result<(), String> + Send + Sync>;

/// Fields that are no anchor: the one that is missing or is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the field `{0}` of the anchor is missing or holds something else")]
pub struct MalformedAnchor(pub &'static str);

impl Anchor {
    /// Its fields by name, as text.
    #[must_use]
    pub fn to_fields(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("store".to_owned(), self.store.to_string()),
            ("commits".to_owned(), self.counter.to_string()),
            ("mac".to_owned(), HEXLOWER.encode(&self.mac)),
        ])
    }

    /// Reads the fields; others beside them do not matter.
    ///
    /// # Errors
    /// [`MalformedAnchor`].
    pub fn from_fields(fields: &BTreeMap<String, String>) -> Result<Self, MalformedAnchor> {
        let field = |name| fields.get(name).map(String::as_str);
        Ok(Self {
            store: field("store")
                .and_then(|text| text.parse().ok())
                .ok_or(MalformedAnchor("store"))?,
            counter: field("commits")
                .and_then(|text| text.parse().ok())
                .ok_or(MalformedAnchor("commits"))?,
            mac: field("mac")
                .and_then(|text| HEXLOWER.decode(text.as_bytes()).ok())
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or(MalformedAnchor("mac"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let anchor = Anchor {
            store: StoreId::from_bytes([5; 16]),
            counter: 42,
            mac: [7; 32],
        };
        assert_eq!(Anchor::from_fields(&anchor.to_fields()), Ok(anchor));
        assert!(Anchor::from_fields(&BTreeMap::new()).is_err());
        for (field, text) in [("store", "x"), ("commits", "-1"), ("mac", "00")] {
            let mut fields = anchor.to_fields();
            fields.insert(field.to_owned(), text.to_owned());
            assert_eq!(Anchor::from_fields(&fields), Err(MalformedAnchor(field)));
        }
    }
}
