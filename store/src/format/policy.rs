//! An access policy in force. Its statements are bytes that the store does not read.

use strongroom_model::name::{ExternalId, NamespaceName};
use zeroize::Zeroizing;

use super::{FORMAT, IndexedRecord};
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::Context;
use crate::engine::Table;

/// What of an access policy is in force, so that the next process knows it. The store does not read the
/// statements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnforcedPolicy {
    /// What the outside system calls the policy for good.
    pub uid: ExternalId,
    /// In which namespace it is.
    pub namespace: NamespaceName,
    /// Its name there, at most 253 bytes.
    pub name: String,
    /// Which generation of it is in force.
    pub generation: i64,
    /// The statements of that generation, at most [`EnforcedPolicy::MAX_STATEMENTS_BYTES`].
    pub statements: Vec<u8>,
}

impl EnforcedPolicy {
    /// Most bytes of the statements: more than an API server takes in one object (1.5 MiB, <https://etcd.io/docs/latest/dev-guide/limit/>).
    pub const MAX_STATEMENTS_BYTES: usize = 2 << 20;
}

impl IndexedRecord for EnforcedPolicy {
    const TABLE: Table = Table::Policy;
    const NAME: &'static str = "an access policy in force";

    fn context(index: &[u8; 32]) -> Context<'_> {
        Context::Policy(index)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(256 + self.statements.len());
        w.u8(FORMAT)
            .text(self.uid.as_str())
            .text(self.namespace.as_str())
            .text(&self.name)
            .i64(self.generation)
            .bytes(&self.statements);
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let policy = Self {
            uid: r.parsed("policy uid")?,
            namespace: r.parsed("policy namespace")?,
            name: r.text("policy name")?.to_owned(),
            generation: r.i64()?,
            statements: r.bytes()?.to_vec(),
        };
        r.end()?;
        Ok(policy)
    }
}
