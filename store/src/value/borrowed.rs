//! A value that is read where its canonical bytes lie: a read of one that is kept sealed copies nothing of
//! it. Must not outlive the bytes, which their owner wipes.

use std::fmt;

use strongroom_model::SecretBytes;
use strongroom_model::name::DataKeyName;

use super::{DataType, VALUE_BYTES, Value};
use crate::codec::{DecodeError, Reader};

/// The keys of a value and their bytes, borrowed from the canonical bytes.
pub struct BorrowedValue<'a> {
    data_type: DataType,
    /// In order of the keys.
    keys: Vec<(&'a str, &'a [u8])>,
}

impl<'a> BorrowedValue<'a> {
    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`Value::encode`] would not have written.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let data_type = DataType::from_code(reader.u8()?)?;
        let keys = reader.rising("order of keys", |r| {
            let key = r.text("key")?;
            if !DataKeyName::is_legal(key) {
                return Err(DecodeError::Invalid("key"));
            }
            Ok((key, r.bytes()?))
        })?;
        reader.end()?;
        let size: usize = keys.iter().map(|(key, bytes)| key.len() + bytes.len()).sum();
        let fits = match data_type {
            DataType::Text => keys.iter().all(|(_, bytes)| std::str::from_utf8(bytes).is_ok()),
            DataType::Binary => true,
        };
        if keys.is_empty() || size > VALUE_BYTES || !fits {
            return Err(DecodeError::Invalid("value"));
        }
        Ok(Self { data_type, keys })
    }

    /// Whether the bytes are text.
    #[must_use]
    pub const fn data_type(&self) -> DataType {
        self.data_type
    }

    /// The keys and their bytes, in order of the keys.
    #[must_use]
    pub fn keys(&self) -> &[(&'a str, &'a [u8])] {
        &self.keys
    }

    /// The bytes of one key.
    #[must_use]
    pub fn get(&self, key: &DataKeyName) -> Option<&'a [u8]> {
        let mut keys = self.keys.iter();
        let (_, bytes) = keys.find(|(name, _)| *name == key.as_str())?;
        Some(*bytes)
    }

    /// A copy that stands for itself.
    ///
    /// # Errors
    /// None in practice: the keys were looked at when they were read.
    pub fn to_value(&self) -> Result<Value, DecodeError> {
        let keys = self.keys.iter().map(|(key, bytes)| {
            let key = DataKeyName::new(key).map_err(|_| DecodeError::Invalid("key"))?;
            Ok::<_, DecodeError>((key, SecretBytes::new(bytes.to_vec())))
        });
        Ok(Value {
            data_type: self.data_type,
            keys: keys.collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Debug for BorrowedValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BorrowedValue({:?}, {} keys)", self.data_type, self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::codec::Writer;

    fn encoded(code: u8, pairs: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .u8(code)
            .list(pairs.iter(), |w, (key, bytes)| w.text(key).bytes(bytes));
        writer.finish().to_vec()
    }

    #[test]
    fn what_a_value_writes_is_read_in_its_place() {
        let pairs: [(&str, &[u8]); 2] = [("a", b"one"), ("b", b"\xff")];
        let keys = pairs.map(|(key, bytes)| (key.parse().unwrap(), SecretBytes::new(bytes.to_vec())));
        let value = Value::from_keys(BTreeMap::from(keys)).unwrap();
        let bytes = value.encode();
        let borrowed = BorrowedValue::decode(&bytes).unwrap();
        assert_eq!(borrowed.data_type(), DataType::Binary);
        assert_eq!(borrowed.keys(), pairs);
        assert_eq!(borrowed.get(&"b".parse().unwrap()), Some(&b"\xff"[..]));
        assert_eq!(borrowed.get(&"c".parse().unwrap()), None);
        let place = bytes.as_ptr_range();
        assert!(
            borrowed
                .keys()
                .iter()
                .all(|(_, bytes)| place.contains(&bytes.as_ptr()))
        );
        assert_eq!(borrowed.to_value(), Ok(value));
        assert_eq!(format!("{borrowed:?}"), "BorrowedValue(Binary, 2 keys)");
    }

    /// The code of a type, the pairs, and what is wrong with them.
    type Refused<'a> = (u8, &'a [(&'a str, &'a [u8])], &'static str);

    #[test]
    fn what_no_value_writes_is_refused() {
        let large = vec![b'x'; VALUE_BYTES];
        let cases: [Refused<'_>; 7] = [
            (1, &[], "value"),
            (1, &[("a", b"\xff")], "value"),
            (1, &[("a", &large)], "value"),
            (1, &[("a b", b"")], "key"),
            (1, &[("b", b""), ("a", b"")], "order of keys"),
            (1, &[("a", b""), ("a", b"")], "order of keys"),
            (3, &[("a", b"")], "data type"),
        ];
        for (code, pairs, expected) in cases {
            let bytes = encoded(code, pairs);
            let refused = BorrowedValue::decode(&bytes).map(drop);
            assert_eq!(refused, Err(DecodeError::Invalid(expected)));
        }
        let mut bytes = encoded(1, &[("a", b"x")]);
        bytes.push(0);
        assert_eq!(
            BorrowedValue::decode(&bytes).map(drop),
            Err(DecodeError::Trailing)
        );
    }
}
