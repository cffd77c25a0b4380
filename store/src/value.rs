//! The value of a version: a map of keys to bytes. Must not be printed, and must not be changed once made.

mod borrowed;

use std::collections::BTreeMap;
use std::fmt;

use strongroom_model::SecretBytes;
use strongroom_model::name::DataKeyName;
use zeroize::Zeroizing;

pub use borrowed::BorrowedValue;
pub use strongroom_model::VALUE_BYTES;

use crate::codec::{DecodeError, Writer};

/// Whether a value's bytes are meant as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataType {
    /// Every key holds UTF-8.
    Text,
    /// Bytes of any kind.
    Binary,
}

impl DataType {
    /// The stable code in records.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
        }
    }

    /// The type of a stable code.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for a code that no type has.
    pub const fn from_code(code: u8) -> Result<Self, DecodeError> {
        match code {
            1 => Ok(Self::Text),
            2 => Ok(Self::Binary),
            _ => Err(DecodeError::Invalid("data type")),
        }
    }
}

/// Keys and bytes that no value can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// There is no key.
    #[error("a value needs at least one key")]
    Empty,
    /// Keys and bytes are too large together.
    #[error("the value has {size} bytes, names of its keys included; at most {VALUE_BYTES} are allowed")]
    TooLarge {
        /// Bytes in all.
        size: usize,
    },
    /// A text value holds bytes that are no UTF-8.
    #[error("key `{key}` is not UTF-8; store the value as binary")]
    NotText {
        /// The first such key.
        key: DataKeyName,
    },
}

/// A value: at least one key, at most [`VALUE_BYTES`] in all.
#[derive(PartialEq, Eq)]
pub struct Value {
    data_type: DataType,
    keys: BTreeMap<DataKeyName, SecretBytes>,
}

impl Value {
    /// A value of these keys.
    ///
    /// # Errors
    /// [`ValueError`], which names the key but never the bytes.
    pub fn new(data_type: DataType, keys: BTreeMap<DataKeyName, SecretBytes>) -> Result<Self, ValueError> {
        if keys.is_empty() {
            return Err(ValueError::Empty);
        }
        let size = keys
            .iter()
            .map(|(key, bytes)| key.as_str().len() + bytes.len())
            .sum();
        if size > VALUE_BYTES {
            return Err(ValueError::TooLarge { size });
        }
        if data_type == DataType::Text
            && let Some((key, _)) = keys
                .iter()
                .find(|(_, bytes)| std::str::from_utf8(bytes.expose()).is_err())
        {
            return Err(ValueError::NotText { key: key.clone() });
        }
        Ok(Self { data_type, keys })
    }

    /// A value of these keys: text where all of it is UTF-8, binary otherwise.
    ///
    /// # Errors
    /// [`ValueError::Empty`] and [`ValueError::TooLarge`].
    pub fn from_keys(keys: BTreeMap<DataKeyName, SecretBytes>) -> Result<Self, ValueError> {
        let text = keys
            .values()
            .all(|bytes| std::str::from_utf8(bytes.expose()).is_ok());
        Self::new(if text { DataType::Text } else { DataType::Binary }, keys)
    }

    /// Whether the bytes are text.
    #[must_use]
    pub const fn data_type(&self) -> DataType {
        self.data_type
    }

    /// The keys and their bytes, in order of the keys.
    #[must_use]
    pub const fn keys(&self) -> &BTreeMap<DataKeyName, SecretBytes> {
        &self.keys
    }

    /// A second copy, said aloud.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            data_type: self.data_type,
            keys: self
                .keys
                .iter()
                .map(|(key, bytes)| (key.clone(), bytes.duplicate()))
                .collect(),
        }
    }

    /// Takes the keys out.
    #[must_use]
    pub fn into_keys(self) -> BTreeMap<DataKeyName, SecretBytes> {
        self.keys
    }

    /// How many canonical bytes there are.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let keys = self.keys.iter();
        5 + keys
            .map(|(key, bytes)| 8 + key.as_str().len() + bytes.len())
            .sum::<usize>()
    }

    /// The canonical bytes: keys in order, so that equal values have equal bytes.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::with_capacity(self.encoded_len());
        writer
            .u8(self.data_type.code())
            .list(self.keys.iter(), |w, (key, bytes)| {
                w.text(key.as_str()).bytes(bytes.expose())
            });
        writer.finish()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`Value::encode`] would not have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        BorrowedValue::decode(bytes)?.to_value()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({:?}, {} keys)", self.data_type, self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(pairs: &[(&str, &[u8])]) -> BTreeMap<DataKeyName, SecretBytes> {
        pairs
            .iter()
            .map(|(k, v)| (DataKeyName::new(k).unwrap(), SecretBytes::new(v.to_vec())))
            .collect()
    }

    #[test]
    fn the_bytes_are_wiped_when_dropped() {
        use crate::crypto::scan;
        let mut bytes = vec![0; 256];
        getrandom::fill(&mut bytes).unwrap();
        let copy = bytes.clone();
        let secret = SecretBytes::new(bytes);
        let at = scan::address_of(secret.expose());
        assert_eq!(scan::read(at, 256), copy);
        drop(secret);
        // The allocator may have written there already; no part of the secret may be left.
        let after = scan::read(at, 256);
        assert!(copy.chunks(8).zip(after.chunks(8)).all(|(was, is)| was != is));
    }

    #[test]
    fn limits() {
        assert_eq!(Value::from_keys(BTreeMap::new()), Err(ValueError::Empty));
        let fits = vec![b'x'; VALUE_BYTES - 1];
        assert!(Value::from_keys(keys(&[("k", &fits)])).is_ok());
        let over = vec![b'x'; VALUE_BYTES];
        assert_eq!(
            Value::from_keys(keys(&[("k", &over)])),
            Err(ValueError::TooLarge {
                size: VALUE_BYTES + 1
            })
        );
        assert!(matches!(
            Value::new(DataType::Text, keys(&[("k", b"\xff")])),
            Err(ValueError::NotText { .. })
        ));
        assert_eq!(
            Value::from_keys(keys(&[("k", b"\xff")])).unwrap().data_type(),
            DataType::Binary
        );
    }

    #[test]
    fn unordered_keys_are_not_canonical() {
        let mut writer = Writer::new();
        writer
            .u8(1)
            .list(["b", "a"].into_iter(), |w, key| w.text(key).bytes(b"x"));
        assert_eq!(
            Value::decode(&writer.finish()),
            Err(DecodeError::Invalid("order of keys"))
        );
    }

    proptest! {
        #[test]
        fn round_trip(pairs in proptest::collection::btree_map("[a-z.]{1,8}x", proptest::collection::vec(any::<u8>(), 0..40), 1..5)) {
            let map = pairs.iter().filter_map(|(k, v)| Some((DataKeyName::new(k).ok()?, SecretBytes::new(v.clone())))).collect::<BTreeMap<_, _>>();
            prop_assume!(!map.is_empty());
            let value = Value::from_keys(map).unwrap();
            prop_assert_eq!(Value::decode(&value.encode()).unwrap(), value);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Value::decode(&bytes);
        }
    }
}
