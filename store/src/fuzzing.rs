//! Ways in for the fuzz targets: each decoder of bytes that come from a disk or a stream. Must not be used by
//! anything else.

#[cfg(test)]
mod tests;

use strongroom_model::id::{KeyId, NamespaceId, SecretId};

use crate::audit;
pub use crate::audit::forge;
use crate::codec::DecodeError;
use crate::format::{
    Allowances, Head, IndexedRecord, KeyRecord, Namespace, ProductRecord, SealDigest, StoreState,
    StoredDataKey, StoredVersion,
};
use crate::value::Value;
use crate::vault::{EnforcedPolicy, decode_part, encode_part};

/// Decodes a record and encodes it again.
pub type RoundTrip = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

/// Each kind of record by name. One value has one encoding: what is decoded gives the same bytes again.
pub const RECORDS: &[(&str, RoundTrip)] = &[
    ("state", |bytes| Ok(StoreState::decode(bytes)?.encode().to_vec())),
    ("seal-digest", |bytes| Ok(SealDigest::decode(bytes)?.encode())),
    ("head", |bytes| {
        Ok(Head::decode(SecretId::from_bytes([0; 16]), 0, bytes)?
            .encode()
            .to_vec())
    }),
    ("namespace", |bytes| {
        Ok(Namespace::decode(NamespaceId::from_bytes([0; 16]), bytes)?
            .encode()
            .to_vec())
    }),
    ("key", |bytes| {
        let (namespace, key) = (NamespaceId::from_bytes([0; 16]), KeyId::from_bytes([0; 16]));
        Ok(KeyRecord::decode(namespace, key, bytes)?.encode().to_vec())
    }),
    ("version", |bytes| {
        Ok(StoredVersion::encode(&StoredVersion::decode(bytes)?))
    }),
    ("data-key", |bytes| Ok(StoredDataKey::decode(bytes)?.encode())),
    ("value", |bytes| Ok(Value::decode(bytes)?.encode().to_vec())),
    ("entry", |bytes| {
        Ok(audit::Entry::decode(bytes)?.encode().to_vec())
    }),
    ("mutation", |bytes| {
        Ok(audit::MutationRecord::decode(&[0; 12], bytes)?.encode())
    }),
    ("checkpoint", |bytes| {
        Ok(audit::Checkpoint::decode(bytes)?.encode())
    }),
    ("read-record", audit::round_trip_read_record),
    ("segment-header", audit::round_trip_segment_header),
    ("backup-part", |bytes| {
        Ok(encode_part(&decode_part(bytes)?).to_vec())
    }),
    ("policy", |bytes| {
        Ok(EnforcedPolicy::decode(bytes)?.encode().to_vec())
    }),
    ("truncation", |bytes| {
        Ok(audit::Truncation::decode(bytes)?.encode())
    }),
    ("allowances", |bytes| {
        Ok(Allowances::decode(bytes)?.encode().to_vec())
    }),
    ("product", |bytes| {
        Ok(ProductRecord::decode(bytes)?.encode().to_vec())
    }),
];
