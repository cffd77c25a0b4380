//! The anchor as the ConfigMap's data.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use strongroom_store::vault::Anchor;

use super::AnchorError;

pub(super) fn print(anchor: &Anchor) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("store".to_owned(), anchor.store.to_string()),
        ("commits".to_owned(), anchor.counter.to_string()),
        ("mac".to_owned(), HEXLOWER.encode(&anchor.mac)),
    ])
}

pub(super) fn parse(data: Option<&BTreeMap<String, String>>) -> Result<Anchor, AnchorError> {
    let field = |name| data.and_then(|data| data.get(name));
    Ok(Anchor {
        store: field("store")
            .and_then(|text| text.parse().ok())
            .ok_or(AnchorError::Malformed("store"))?,
        counter: field("commits")
            .and_then(|text| text.parse().ok())
            .ok_or(AnchorError::Malformed("commits"))?,
        mac: field("mac")
            .and_then(|text| HEXLOWER.decode(text.as_bytes()).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(AnchorError::Malformed("mac"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_store::id::StoreId;

    #[test]
    fn what_is_printed_is_parsed_and_nothing_else() {
        let anchor = Anchor {
            store: StoreId::from_bytes([5; 16]),
            counter: 42,
            mac: [7; 32],
        };
        assert_eq!(parse(Some(&print(&anchor))).unwrap(), anchor);
        assert!(parse(None).is_err());
        for (field, text) in [("store", "x"), ("commits", "-1"), ("mac", "00")] {
            let mut data = print(&anchor);
            data.insert(field.to_owned(), text.to_owned());
            assert!(matches!(parse(Some(&data)), Err(AnchorError::Malformed(name)) if name == field));
        }
    }
}
