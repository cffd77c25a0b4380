//! Where a request came from, and what allowed or denied it. Must not hold a value, a token, or a hash of
//! one.

use std::net::IpAddr;

use super::free_text::{MAX_TEXT_BYTES, cut, short};
use crate::codec::{DecodeError, Reader, Writer};

/// The bit of [`Circumstances::offline`]. In the entry's formats 2 and 3 it is the only one.
const OFFLINE: u8 = 1;
/// The bit of [`Circumstances::extension_api`].
const EXTENSION_API: u8 = 2;

/// Most statements of a record.
pub const MAX_STATEMENTS: usize = 8;

/// What is known of a request from outside beside what it asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Circumstances {
    /// The address that it came from.
    pub source: Option<IpAddr>,
    /// The pod that the caller's token is bound to.
    pub pod: Option<String>,
    /// The node that the pod runs on.
    pub node: Option<String>,
    /// The API server was away, and the token was accepted before.
    pub offline: bool,
    /// It came over the extension API: the API server verified who the caller is, not this process.
    pub extension_api: bool,
    /// The statements that decided, by the names that people use; at most [`MAX_STATEMENTS`] are kept, of at
    /// most 256 bytes each.
    pub statements: Vec<String>,
    /// From the arrival of the request until its record was made, in microseconds.
    pub latency_micros: Option<u32>,
}

impl Circumstances {
    pub(super) fn encode(&self, writer: &mut Writer) {
        writer
            .option(self.source, |w, source| match source {
                IpAddr::V4(address) => w.u8(4).fixed(&address.octets()),
                IpAddr::V6(address) => w.u8(6).fixed(&address.octets()),
            })
            .option(self.pod.as_ref(), |w, pod| w.text(cut(pod)))
            .option(self.node.as_ref(), |w, node| w.text(cut(node)))
            .u8((u8::from(self.offline) * OFFLINE) | (u8::from(self.extension_api) * EXTENSION_API))
            .list(self.statements.iter().take(MAX_STATEMENTS), |w, statement| {
                w.text(cut(statement))
            })
            .option(self.latency_micros, |w, micros| w.u32(micros));
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let source = r.option("source", |r| match r.u8()? {
            4 => Ok(IpAddr::from(r.array::<4>()?)),
            6 => Ok(IpAddr::from(r.array::<16>()?)),
            _ => Err(DecodeError::Invalid("source")),
        })?;
        let pod = r.option("pod", |r| Ok(short(r, "pod")?.to_owned()))?;
        let node = r.option("node", |r| Ok(short(r, "node")?.to_owned()))?;
        let flags = r.u8()?;
        if flags & !(OFFLINE | EXTENSION_API) != 0 {
            return Err(DecodeError::Invalid("flags"));
        }
        let circumstances = Self {
            source,
            pod,
            node,
            offline: flags & OFFLINE != 0,
            extension_api: flags & EXTENSION_API != 0,
            statements: r.list(|r| Ok(short(r, "statement")?.to_owned()))?,
            latency_micros: r.option("latency", Reader::u32)?,
        };
        if circumstances.statements.len() > MAX_STATEMENTS {
            return Err(DecodeError::Invalid("statements"));
        }
        Ok(circumstances)
    }
}

const _: () = assert!(MAX_TEXT_BYTES == 256, "the docstring says so");
