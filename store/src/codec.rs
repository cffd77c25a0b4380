//! The canonical byte form of records: big-endian integers, length-prefixed byte strings, nothing optional
//! left out.
//!
//! One value has one encoding, and decoding refuses everything else: unknown tags, short input, bytes left
//! over. Must not know what a record means, and must not be used on a text format.

use std::collections::BTreeMap;
use std::str::FromStr;

use zeroize::Zeroizing;

/// Bytes that are not the record they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ended inside a field.
    #[error("record ends inside a field")]
    Short,
    /// Bytes are left over after the last field.
    #[error("record has bytes after its last field")]
    Trailing,
    /// A field holds something that its type does not allow.
    #[error("record field `{0}` holds an impossible value")]
    Invalid(&'static str),
    /// The record was written by a newer version.
    #[error("record has format {0}, which this version does not know; run a newer strongroom")]
    UnknownFormat(u8),
}

/// Builds a record. The buffer is wiped when dropped, since some records carry values.
#[derive(Default)]
pub struct Writer(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({} bytes)", self.0.len())
    }
}

impl Writer {
    /// An empty record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty record with room for so many bytes, so that it is not copied while it grows.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(bytes)))
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// A yes or no, as 1 or 0.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }

    /// Eight bytes, two's complement.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }

    /// Bytes of a length that the reader knows.
    pub fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A length of four bytes, then the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        // INVARIANT: no field comes near 4 GiB; a longer one would be cut here and refused by the reader.
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.fixed(bytes)
    }

    /// Text as its UTF-8 bytes.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A marker of presence, then the value where there is one.
    pub fn option<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
        self
    }

    /// A count of four bytes, then each item.
    pub fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        self.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
        for item in items {
            write(self, item);
        }
        self
    }

    /// The bytes written so far, which are wiped when they are dropped.
    #[must_use]
    pub fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// Reads a record from its first byte to its last.
#[derive(Clone)]
pub struct Reader<'a>(&'a [u8]);

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({} bytes left)", self.0.len())
    }
}

impl<'a> Reader<'a> {
    /// Reads these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Bytes not read yet.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Short`], as for each method here.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The format of a record; this version knows those from 1 to the newest.
    ///
    /// # Errors
    /// [`DecodeError::UnknownFormat`].
    pub fn format(&mut self, newest: u8) -> Result<u8, DecodeError> {
        match self.u8()? {
            known if (1..=newest).contains(&known) => Ok(known),
            newer => Err(DecodeError::UnknownFormat(newer)),
        }
    }

    /// A yes or no.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for a byte other than 0 and 1.
    pub fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid(field)),
        }
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Eight bytes, two's complement.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Short)
    }

    /// A length-prefixed byte string.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| DecodeError::Short)?)
    }

    /// Length-prefixed UTF-8 text.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] where the bytes are no UTF-8.
    pub fn text(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Invalid(field))
    }

    /// A text that its type reads, such as a name.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] where it is none.
    pub fn parsed<T: FromStr>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        self.text(field)?.parse().map_err(|_| DecodeError::Invalid(field))
    }

    /// An optional value.
    ///
    /// # Errors
    /// Those of `read`, and [`DecodeError::Invalid`] for an impossible marker.
    pub fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool(field)? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A counted list.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.u32()?;
        // A forged count must not reserve memory: each item takes at least one byte.
        let mut items = Vec::with_capacity(
            self.remaining()
                .min(usize::try_from(count).unwrap_or(0))
                .min(1_024),
        );
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// A counted map: its keys rise strictly, as a sorted map is written by [`Writer::list`].
    ///
    /// # Errors
    /// Those of `read`, and [`DecodeError::Invalid`] where a key comes twice or out of order.
    pub fn map<K: Ord, V>(
        &mut self,
        field: &'static str,
        read: impl FnMut(&mut Self) -> Result<(K, V), DecodeError>,
    ) -> Result<BTreeMap<K, V>, DecodeError> {
        Ok(self.rising(field, read)?.into_iter().collect())
    }

    /// The same as a list in order of the keys.
    ///
    /// # Errors
    /// As of [`Reader::map`].
    pub fn rising<K: Ord, V>(
        &mut self,
        field: &'static str,
        read: impl FnMut(&mut Self) -> Result<(K, V), DecodeError>,
    ) -> Result<Vec<(K, V)>, DecodeError> {
        let items = self.list(read)?;
        let rise = items
            .iter()
            .zip(items.iter().skip(1))
            .all(|((one, _), (next, _))| one < next);
        if rise {
            Ok(items)
        } else {
            Err(DecodeError::Invalid(field))
        }
    }

    /// Ends the record.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] where bytes are left over.
    pub const fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::new();
        writer
            .u8(7)
            .bool(true)
            .u16(2)
            .u32(3)
            .u64(4)
            .i64(-5)
            .text("näme")
            .option(Some(9_u8), |w, v| w.u8(v));
        writer.list([1_u8, 2].into_iter(), |w, v| w.u8(v));
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8(), Ok(7));
        assert_eq!(reader.bool("b"), Ok(true));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u32(), Ok(3));
        assert_eq!(reader.u64(), Ok(4));
        assert_eq!(reader.i64(), Ok(-5));
        assert_eq!(reader.text("t"), Ok("näme"));
        assert_eq!(reader.option("o", Reader::u8), Ok(Some(9)));
        assert_eq!(reader.list(Reader::u8), Ok(vec![1, 2]));
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn a_map_is_read_in_its_order_only() {
        let read = |keys: &[u8]| {
            let mut writer = Writer::new();
            writer.list(keys.iter(), |w, key| w.u8(*key));
            Reader::new(&writer.finish()).map("keys", |r| Ok((r.u8()?, ())))
        };
        assert_eq!(read(&[1, 2, 3]).map(|map| map.len()), Ok(3));
        assert_eq!(read(&[2, 1]), Err(DecodeError::Invalid("keys")));
        assert_eq!(read(&[1, 1]), Err(DecodeError::Invalid("keys")));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            let _ = reader.list(|r| r.text("t").map(str::len));
            let _ = reader.option("o", |r| r.array::<16>());
            let _ = reader.bool("b");
        }
    }
}
