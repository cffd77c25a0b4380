//! An access policy in force. Its statements are bytes that the store does not read.

use zeroize::Zeroizing;

use super::{FORMAT, format, parsed};
use crate::codec::{DecodeError, Reader, Writer};
use crate::vault::EnforcedPolicy;

impl EnforcedPolicy {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(256 + self.statements.len());
        w.u8(FORMAT)
            .text(self.uid.as_str())
            .text(self.namespace.as_str())
            .text(&self.name)
            .i64(self.generation)
            .bytes(&self.statements);
        w.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        format(&mut r)?;
        let policy = Self {
            uid: parsed(&mut r, "policy uid")?,
            namespace: parsed(&mut r, "policy namespace")?,
            name: r.text("policy name")?.to_owned(),
            generation: r.i64()?,
            statements: r.bytes()?.to_vec(),
        };
        r.end()?;
        Ok(policy)
    }
}
