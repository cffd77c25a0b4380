//! Who asked for what a controller did: whoever wrote the object that declares it. Must not hold a value, or
//! a hash of one.

use super::free_text::{cut, short};
use crate::codec::{DecodeError, Reader, Writer};

/// Most groups of an author that are kept.
pub const MAX_GROUPS: usize = 16;

/// Who asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Requester {
    /// The outside, which verified who it was, said so when it happened.
    Attested(Author),
    /// Nobody said so: the change came past whoever attests.
    Unattested,
}

/// Whom the outside verified.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Author {
    /// The user's name.
    pub user: String,
    /// Groups of the user; at most [`MAX_GROUPS`] are kept.
    pub groups: Vec<String>,
    /// What the outside calls the user for good; often empty.
    pub uid: String,
}

impl Requester {
    pub(crate) fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Unattested => {
                writer.u8(0);
            }
            Self::Attested(author) => {
                writer.u8(1);
                author.encode(writer);
            }
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match r.u8()? {
            0 => Ok(Self::Unattested),
            1 => Ok(Self::Attested(Author::decode(r)?)),
            _ => Err(DecodeError::Invalid("requester")),
        }
    }
}

impl Author {
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer
            .text(cut(&self.user))
            .list(self.groups.iter().take(MAX_GROUPS), |w, group| w.text(cut(group)))
            .text(cut(&self.uid));
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let author = Self {
            user: short(r, "user")?.to_owned(),
            groups: r.list(|r| Ok(short(r, "group")?.to_owned()))?,
            uid: short(r, "user uid")?.to_owned(),
        };
        if author.groups.len() > MAX_GROUPS {
            return Err(DecodeError::Invalid("groups"));
        }
        Ok(author)
    }
}
