//! What an outside object declares, as it was last taken in, and who wrote or deleted one of which nothing
//! was seen yet.

use strongroom_model::name::{ExternalId, NamespaceName};
use strongroom_model::time::Timestamp;
use zeroize::Zeroizing;

use super::{DeclaredObject, FORMAT, IndexedRecord};
use crate::audit::{Author, Requester};
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::Context;
use crate::engine::Table;

/// The format of a declaration that says whether its object is gone, and what of it was approved; written
/// only where there is something to say of either, so that older programs read all others.
const FORMAT_WITH_STATE: u8 = 2;

/// A declaration that was taken in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Declaration {
    pub(crate) object: DeclaredObject,
    /// Which one: keyed, so that it tells nothing of what the object says.
    pub(crate) mark: [u8; 32],
    /// Who wrote it; none where it was there before anybody could say so.
    pub(crate) requester: Option<Requester>,
    /// What of the object was approved last, keyed likewise; whatever it declared since.
    pub(crate) approved: Option<[u8; 32]>,
    /// The object is gone, and `requester` deleted it: what follows from that is still to be done.
    pub(crate) gone: bool,
}

impl IndexedRecord for Declaration {
    const TABLE: Table = Table::Declaration;
    const NAME: &'static str = "what an object declares";

    fn context(index: &[u8; 32]) -> Context<'_> {
        Context::Declaration(index)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(256);
        let with_state = self.gone || self.approved.is_some();
        w.u8(if with_state { FORMAT_WITH_STATE } else { FORMAT })
            .text(&self.object.kind)
            .text(self.object.namespace.as_str())
            .text(&self.object.name)
            .text(self.object.uid.as_str())
            .fixed(&self.mark)
            .option(self.requester.as_ref(), |w, requester| {
                requester.encode(w);
                w
            });
        if with_state {
            w.bool(self.gone)
                .option(self.approved.as_ref(), |w, approved| w.fixed(approved));
        }
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let written = r.format(FORMAT_WITH_STATE)?;
        let mut declaration = Self {
            object: DeclaredObject {
                kind: r.text("kind")?.to_owned(),
                namespace: r.parsed("object namespace")?,
                name: r.text("object name")?.to_owned(),
                uid: r.parsed("object uid")?,
            },
            mark: r.array()?,
            requester: r.option("requester", Requester::decode)?,
            approved: None,
            gone: false,
        };
        if written >= FORMAT_WITH_STATE {
            declaration.gone = r.bool("gone")?;
            declaration.approved = r.option("approved", Reader::array)?;
        }
        r.end()?;
        Ok(declaration)
    }
}

/// Who wrote or deleted an object. What it declared then, and whether it went, is in the index that the
/// record lies under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Attestation {
    pub(crate) namespace: NamespaceName,
    pub(crate) uid: ExternalId,
    /// When it came here.
    pub(crate) at: Timestamp,
    pub(crate) author: Author,
}

impl IndexedRecord for Attestation {
    const TABLE: Table = Table::Attestation;
    const NAME: &'static str = "who wrote an object";

    fn context(index: &[u8; 32]) -> Context<'_> {
        Context::Attestation(index)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(256);
        w.u8(FORMAT)
            .text(self.namespace.as_str())
            .text(self.uid.as_str())
            .i64(self.at.as_millis());
        self.author.encode(&mut w);
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let attestation = Self {
            namespace: r.parsed("object namespace")?,
            uid: r.parsed("object uid")?,
            at: Timestamp::from_millis(r.i64()?),
            author: Author::decode(&mut r)?,
        };
        r.end()?;
        Ok(attestation)
    }
}

/// Since when a change of an object that nobody attests counts as one: what is older was there before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AttestedSince(pub(crate) Timestamp);

impl AttestedSince {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(FORMAT).i64(self.0.as_millis());
        w.finish().to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let since = Self(Timestamp::from_millis(r.i64()?));
        r.end()?;
        Ok(since)
    }
}
