//! What is asked of an open store by the person who runs it, and what is answered: frames of bytes for a
//! socket.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | length of the rest, big-endian, at most 1 MiB |
//! | 1 | kind |
//! | rest | its fields in the codec of the records |
//!
//! Buffers that may hold a key are wiped. Must not be extended in place: a kind that changes gets a new
//! number. Must not read or write a socket: that is the business of whoever has one.

use strongroom_model::SecretBytes;
use zeroize::Zeroizing;

use crate::codec::{DecodeError, Reader, Writer};
use crate::seal::{PassphraseCost, RecoveryKey, SlotId, SlotInfo, SlotSecret};
use crate::vault::AuditPosition;

/// Most bytes of one frame behind its length.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// Room for any request, so that its buffer never grows: one that does leaves a copy behind.
const REQUEST_BUFFER_BYTES: usize = 8 << 10;

/// What is asked.
#[derive(Debug)]
pub enum AdminRequest {
    /// A backup of now.
    Backup,
    /// The slots of the seal.
    Slots,
    /// One more way to open the seal.
    AddSlot {
        /// What will open it.
        secret: SlotSecret,
        /// What it is called.
        label: String,
    },
    /// One way less.
    RemoveSlot {
        /// As [`SlotLine::id`] shows it.
        id: SlotId,
        /// Also where the process itself starts with it.
        force: bool,
    },
    /// Records of the audit after a place; from the beginning where there is none, which is audited.
    Audit {
        /// Where the last answer ended.
        after: Option<AuditPosition>,
    },
    /// A recovery key, to be shown once.
    NewRecoveryKey {
        /// What its slot is called.
        label: String,
    },
}

/// One line of the list of slots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotLine {
    /// [`SlotId`] as text: 16 hex characters.
    pub id: String,
    /// What opens it.
    pub kind: String,
    /// What it is called.
    pub label: String,
}

impl From<SlotInfo> for SlotLine {
    fn from(slot: SlotInfo) -> Self {
        Self {
            id: slot.id.to_string(),
            kind: slot.kind.to_string(),
            label: slot.label,
        }
    }
}

/// What is answered.
#[derive(PartialEq, Eq)]
pub enum AdminResponse {
    /// It was not done, and why.
    Refused(String),
    /// One line for each way to open the store.
    Slots(Vec<SlotLine>),
    /// The slot was added.
    Added(String),
    /// The slot was removed.
    Removed,
    /// The recovery key, this once.
    RecoveryKey(Zeroizing<String>),
    /// Records of the audit, one JSON object a line, and the place after them.
    Records(Vec<u8>, AuditPosition),
    /// A piece of a backup.
    Data(Vec<u8>),
    /// The backup is whole.
    End {
        /// How many records it has.
        records: u64,
    },
}

/// Says which answer, and nothing that is in it.
impl std::fmt::Debug for AdminResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Refused(_) => "Refused",
            Self::Slots(_) => "Slots",
            Self::Added(_) => "Added",
            Self::Removed => "Removed",
            Self::RecoveryKey(_) => "RecoveryKey",
            Self::Records(..) => "Records",
            Self::Data(_) => "Data",
            Self::End { .. } => "End",
        })
    }
}

impl AdminRequest {
    /// Kind and fields of the frame; its length is not in it.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(REQUEST_BUFFER_BYTES);
        match self {
            Self::Backup => w.u8(1),
            Self::Slots => w.u8(2),
            Self::AddSlot { secret, label } => {
                w.u8(3).text(label);
                match secret {
                    SlotSecret::KeyFile(key) => w.u8(1).bytes(key.expose()),
                    SlotSecret::KubernetesSecret(key) => w.u8(2).bytes(key.expose()),
                    SlotSecret::Passphrase(passphrase, cost) => w
                        .u8(3)
                        .bytes(passphrase.expose())
                        .u32(cost.memory_kib)
                        .u32(cost.passes)
                        .u32(cost.lanes),
                    SlotSecret::Recovery(key) => w.u8(4).text(&key.reveal()),
                }
            }
            Self::RemoveSlot { id, force } => w.u8(4).text(&id.to_string()).bool(*force),
            Self::NewRecoveryKey { label } => w.u8(5).text(label),
            Self::Audit { after } => w
                .u8(6)
                .option(*after, |w, place| w.u64(place.changes).u64(place.reads)),
        };
        w.finish()
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// [`DecodeError`]: another version wrote them, or they are no message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let request = match r.u8()? {
            1 => Self::Backup,
            2 => Self::Slots,
            3 => Self::AddSlot {
                label: r.text("label")?.to_owned(),
                secret: secret(&mut r)?,
            },
            4 => Self::RemoveSlot {
                id: r
                    .text("slot")?
                    .parse()
                    .map_err(|_| DecodeError::Invalid("slot"))?,
                force: r.bool("force")?,
            },
            5 => Self::NewRecoveryKey {
                label: r.text("label")?.to_owned(),
            },
            6 => Self::Audit {
                after: r.option("place", place)?,
            },
            _ => return Err(DecodeError::Invalid("kind of a request")),
        };
        r.end()?;
        Ok(request)
    }
}

fn place(r: &mut Reader<'_>) -> Result<AuditPosition, DecodeError> {
    Ok(AuditPosition {
        changes: r.u64()?,
        reads: r.u64()?,
    })
}

fn secret(r: &mut Reader<'_>) -> Result<SlotSecret, DecodeError> {
    let kind = r.u8()?;
    let key = |r: &mut Reader<'_>| r.bytes().map(|key| SecretBytes::new(key.to_vec()));
    Ok(match kind {
        1 => SlotSecret::KeyFile(key(r)?),
        2 => SlotSecret::KubernetesSecret(key(r)?),
        3 => {
            let passphrase = key(r)?;
            let cost = PassphraseCost {
                memory_kib: r.u32()?,
                passes: r.u32()?,
                lanes: r.u32()?,
            };
            SlotSecret::Passphrase(passphrase, cost)
        }
        4 => {
            let text = r.text("recovery key")?;
            // As a person spells it, it was read where it was typed: here it has the one spelling that it is
            // shown in.
            RecoveryKey::parse(text)
                .ok()
                .filter(|key| key.reveal().as_str() == text)
                .map(SlotSecret::Recovery)
                .ok_or(DecodeError::Invalid("recovery key"))?
        }
        _ => return Err(DecodeError::Invalid("kind of a slot")),
    })
}

impl AdminResponse {
    /// Kind and fields of the frame; its length is not in it.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(match self {
            Self::Data(data) | Self::Records(data, _) => data.len() + 32,
            _ => 256,
        });
        match self {
            Self::Refused(why) => w.u8(0).text(why),
            Self::Slots(slots) => w.u8(1).list(slots.iter(), |w, slot| {
                w.text(&slot.id).text(&slot.kind).text(&slot.label)
            }),
            Self::Added(id) => w.u8(2).text(id),
            Self::Removed => w.u8(3),
            Self::RecoveryKey(text) => w.u8(4).text(text),
            Self::Data(data) => w.u8(5).bytes(data),
            Self::End { records } => w.u8(6).u64(*records),
            Self::Records(lines, place) => w.u8(7).bytes(lines).u64(place.changes).u64(place.reads),
        };
        w.finish()
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// [`DecodeError`]: another version wrote them, or they are no message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let answer = match r.u8()? {
            0 => Self::Refused(r.text("refusal")?.to_owned()),
            1 => Self::Slots(r.list(|r| {
                Ok(SlotLine {
                    id: r.text("id")?.to_owned(),
                    kind: r.text("kind")?.to_owned(),
                    label: r.text("label")?.to_owned(),
                })
            })?),
            2 => Self::Added(r.text("id")?.to_owned()),
            3 => Self::Removed,
            4 => Self::RecoveryKey(Zeroizing::new(r.text("recovery key")?.to_owned())),
            5 => Self::Data(r.bytes()?.to_vec()),
            6 => Self::End { records: r.u64()? },
            7 => Self::Records(r.bytes()?.to_vec(), place(&mut r)?),
            _ => return Err(DecodeError::Invalid("kind of an answer")),
        };
        r.end()?;
        Ok(answer)
    }
}

/// The length that stands before a message of so many bytes.
///
/// # Errors
/// [`DecodeError::Invalid`] where it is longer than [`MAX_FRAME_BYTES`]: the other side would not take it.
pub fn header(message: &[u8]) -> Result<[u8; 4], DecodeError> {
    u32::try_from(message.len())
        .ok()
        .filter(|_| message.len() <= MAX_FRAME_BYTES)
        .map(u32::to_be_bytes)
        .ok_or(TOO_LONG)
}

/// How many bytes follow this length.
///
/// # Errors
/// [`DecodeError::Invalid`] where that is more than [`MAX_FRAME_BYTES`].
pub fn length(header: [u8; 4]) -> Result<usize, DecodeError> {
    usize::try_from(u32::from_be_bytes(header))
        .ok()
        .filter(|length| *length <= MAX_FRAME_BYTES)
        .ok_or(TOO_LONG)
}

const TOO_LONG: DecodeError = DecodeError::Invalid("length of a message");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn add(secret: SlotSecret) -> AdminRequest {
        AdminRequest::AddSlot {
            secret,
            label: "l".into(),
        }
    }

    #[test]
    fn what_is_asked_and_answered_shows_no_key() {
        let passphrase = SecretBytes::new(b"hunter2-hunter2".to_vec());
        let request = add(SlotSecret::Passphrase(passphrase, PassphraseCost::default()));
        assert!(!format!("{request:?}").contains("hunter2"));
        let answer = AdminResponse::RecoveryKey(Zeroizing::new("hunter2".into()));
        assert_eq!(format!("{answer:?}"), "RecoveryKey");
        let read = AdminRequest::decode(&request.encode()).unwrap();
        let AdminRequest::AddSlot {
            secret: SlotSecret::Passphrase(passphrase, _),
            ..
        } = read
        else {
            panic!("another request");
        };
        assert_eq!(passphrase, SecretBytes::new(b"hunter2-hunter2".to_vec()));
    }

    #[test]
    fn a_recovery_key_has_one_spelling_here() {
        let key = RecoveryKey::generate().unwrap();
        let (text, request) = (key.reveal(), add(SlotSecret::Recovery(key)).encode());
        assert!(AdminRequest::decode(&request).is_ok());
        let mut other = request.to_vec();
        let at = other.len() - text.len();
        other[at..].make_ascii_lowercase();
        assert_ne!(other, request.as_slice());
        let read = AdminRequest::decode(&other);
        assert!(
            matches!(read, Err(DecodeError::Invalid("recovery key"))),
            "{read:?}"
        );
    }

    #[test]
    fn what_is_too_long_is_neither_sent_nor_made_room_for() {
        assert_eq!(
            header(&vec![0; MAX_FRAME_BYTES]).and_then(length),
            Ok(MAX_FRAME_BYTES)
        );
        assert_eq!(header(&vec![0; MAX_FRAME_BYTES + 1]), Err(TOO_LONG));
        for more in [MAX_FRAME_BYTES + 1, u32::MAX as usize] {
            let header = u32::try_from(more).unwrap().to_be_bytes();
            assert_eq!(length(header), Err(TOO_LONG));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = AdminRequest::decode(&bytes);
            let _ = AdminResponse::decode(&bytes);
        }
    }
}
