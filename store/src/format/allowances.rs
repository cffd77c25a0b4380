//! What namespaces may have beyond the quota of all: those that were above it when it first came.

use std::collections::BTreeMap;

use strongroom_model::id::NamespaceId;
use zeroize::Zeroizing;

use super::FORMAT;
use crate::codec::{DecodeError, Reader, Writer};

/// Most that a namespace may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Secrets, those in a recovery window included.
    pub secrets: u64,
    /// Bytes of the rows of its secrets: heads, sealed values and wrapped data keys of all versions, with
    /// their keys.
    pub bytes: u64,
}

/// The quotas of namespaces that have one of their own. A record of none says that the quota of all has come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Allowances(pub(crate) BTreeMap<NamespaceId, Quota>);

impl Allowances {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(5 + self.0.len() * 32);
        w.u8(FORMAT).list(self.0.iter(), |w, (namespace, quota)| {
            w.fixed(namespace.as_bytes()).u64(quota.secrets).u64(quota.bytes)
        });
        w.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let allowances = r.map("allowances", |r| {
            let namespace = NamespaceId::from_bytes(r.array()?);
            let (secrets, bytes) = (r.u64()?, r.u64()?);
            Ok((namespace, Quota { secrets, bytes }))
        })?;
        r.end()?;
        Ok(Self(allowances))
    }
}
