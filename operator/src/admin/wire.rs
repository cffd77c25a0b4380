//! Requests and answers as frames.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | length of the rest, big-endian, at most 1 MiB |
//! | 1 | kind |
//! | rest | its fields in the store's codec |
//!
//! Buffers that may hold a key are wiped. Must not be extended in place: a kind that changes gets a new number.

use strongroom_store::codec::{DecodeError, Reader, Writer};
use strongroom_store::seal::{PassphraseCost, RecoveryKey, SlotId, SlotSecret};
use strongroom_store::secret::SecretBytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::AdminError;
use crate::audit::Place;

/// Most bytes of one frame.
pub(super) const MOST_FRAME: usize = 1 << 20;

/// Room for any request, so that its buffer never grows: one that does leaves a copy behind.
const REQUEST: usize = 8 << 10;

/// What is asked.
#[derive(Debug)]
pub(super) enum Request {
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
        /// Which.
        id: SlotId,
        /// Also where the process itself starts with it.
        force: bool,
    },
    /// Records of the audit after a place; from the beginning where there is none, which is on record.
    Audit {
        /// The place.
        after: Option<Place>,
    },
    /// A recovery key, to be shown once.
    NewRecoveryKey {
        /// What its slot is called.
        label: String,
    },
}

/// One line of the list of slots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SlotLine {
    /// Its id.
    pub(crate) id: String,
    /// What opens it.
    pub(crate) kind: String,
    /// What it is called.
    pub(crate) label: String,
}

impl From<strongroom_store::seal::SlotInfo> for SlotLine {
    fn from(slot: strongroom_store::seal::SlotInfo) -> Self {
        Self {
            id: slot.id.to_string(),
            kind: slot.kind.to_string(),
            label: slot.label,
        }
    }
}

/// What is answered.
#[derive(PartialEq, Eq)]
pub(super) enum Answer {
    /// It was not done, and why.
    Refused(String),
    /// The slots.
    Slots(Vec<SlotLine>),
    /// The slot was added.
    Added(String),
    /// The slot was removed.
    Removed,
    /// The recovery key, this once.
    RecoveryKey(Zeroizing<String>),
    /// Records of the audit, one JSON object a line, and the place after them.
    Records(Vec<u8>, Place),
    /// A piece of a backup.
    Data(Vec<u8>),
    /// The backup is whole.
    End {
        /// How many records it has.
        records: u64,
    },
}

/// Says which answer, and nothing that is in it.
impl std::fmt::Debug for Answer {
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

impl Request {
    /// The bytes.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(REQUEST);
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
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
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

fn place(r: &mut Reader<'_>) -> Result<Place, DecodeError> {
    Ok(Place {
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
        4 => SlotSecret::Recovery(
            RecoveryKey::parse(r.text("recovery key")?).map_err(|_| DecodeError::Invalid("recovery key"))?,
        ),
        _ => return Err(DecodeError::Invalid("kind of a slot")),
    })
}

impl Answer {
    /// The bytes.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
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
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
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

/// Writes one frame.
pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> Result<(), AdminError> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    to.write_all(&length.to_be_bytes()).await?;
    to.write_all(message).await?;
    to.flush().await?;
    Ok(())
}

/// Reads one frame.
pub(super) async fn receive(from: &mut (impl AsyncRead + Unpin)) -> Result<Zeroizing<Vec<u8>>, AdminError> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MOST_FRAME {
        return Err(DecodeError::Invalid("length of a message").into());
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}
