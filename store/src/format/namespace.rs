//! A namespace as the store knows it.

use strongroom_model::id::{KeyId, NamespaceId};
use strongroom_model::name::{ExternalId, NamespaceName};
use strongroom_model::time::Timestamp;
use zeroize::Zeroizing;

use super::FORMAT;
use crate::codec::{DecodeError, Reader, Writer};

/// A namespace. Its `uid` is absent after a restore that accepts all namespaces: the next binding sets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Namespace {
    pub(crate) id: NamespaceId,
    pub(crate) name: NamespaceName,
    pub(crate) uid: Option<ExternalId>,
    pub(crate) default_key: Option<KeyId>,
    pub(crate) created: Timestamp,
}

impl Namespace {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(128);
        w.u8(FORMAT)
            .text(self.name.as_str())
            .option(self.uid.as_ref(), |w, uid| w.text(uid.as_str()))
            .option(self.default_key, |w, key| w.fixed(key.as_bytes()))
            .i64(self.created.as_millis());
        w.finish()
    }

    pub(crate) fn decode(id: NamespaceId, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let namespace = Self {
            id,
            name: r.parsed("namespace")?,
            uid: r.option("namespace uid", |r| r.parsed("namespace uid"))?,
            default_key: r.option("default key", |r| r.array().map(KeyId::from_bytes))?,
            created: Timestamp::from_millis(r.i64()?),
        };
        r.end()?;
        Ok(namespace)
    }
}
