//! The head of a secret: everything about it but the values. Stage labels live only here, so that which
//! version is Current is authenticated with the rest.

use std::collections::BTreeMap;

use strongroom_model::id::{KeyId, NamespaceId, SecretId};
use strongroom_model::name::{SecretName, Stage, VersionId};
use strongroom_model::object_ref::ObjectRef;
use strongroom_model::time::Timestamp;
use zeroize::Zeroizing;

use crate::codec::{DecodeError, Reader, Writer};
use crate::value::DataType;

/// The format of a head; format 2 ends with what follows its deletion, and is written only where that is not
/// a window.
const FORMAT: u8 = 1;
const FORMAT_WITH_RECOVERY: u8 = 2;

/// What follows the deletion of a secret, where nobody says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Recovery {
    /// 7 to 30 days in which it can be restored.
    #[default]
    Window,
    /// Its destruction: it was made where nothing is kept.
    Nothing,
}

/// Whether a secret can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretState {
    /// It can be read and written.
    Live,
    /// It waits for its destruction and can be restored until then.
    PendingDeletion {
        /// When the recovery window opened.
        since: Timestamp,
        /// When it closes.
        until: Timestamp,
    },
}

/// What is known of a secret's rotations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RotationState {
    /// When it was last rotated.
    pub last: Option<Timestamp>,
    /// What a person asked for last; asking the same again does nothing.
    pub last_trigger: Option<String>,
}

/// One version, without its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HeadVersion {
    pub(crate) id: VersionId,
    pub(crate) sequence: u32,
    pub(crate) created: Timestamp,
    pub(crate) data_type: DataType,
}

/// Bytes of the row of a head: its key, its revision, and what is sealed (nonce and synthetic IV of 16 bytes
/// each).
pub(crate) fn head_row_bytes(head: &Head) -> u64 {
    u64::try_from(16 + 8 + 32 + head.encode().len()).unwrap_or(u64::MAX)
}

/// A secret's head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) id: SecretId,
    pub(crate) namespace: NamespaceId,
    pub(crate) name: SecretName,
    pub(crate) description: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) state: SecretState,
    /// The encryption key of new versions; the namespace's default key where `customer_key` is false.
    pub(crate) key: KeyId,
    pub(crate) customer_key: bool,
    pub(crate) next_sequence: u32,
    pub(crate) versions: Vec<HeadVersion>,
    pub(crate) stages: BTreeMap<Stage, u32>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// Counts changes of the head; part of what it is sealed under.
    pub(crate) revision: u64,
    pub(crate) object: Option<ObjectRef>,
    pub(crate) materialized: Option<ObjectRef>,
    pub(crate) rotation: RotationState,
    pub(crate) recovery: Recovery,
}

impl Head {
    /// The version of an id.
    pub(crate) fn version(&self, id: &VersionId) -> Option<&HeadVersion> {
        self.versions.iter().find(|version| version.id == *id)
    }

    /// The version that carries a stage.
    pub(crate) fn staged(&self, stage: &Stage) -> Option<&HeadVersion> {
        let sequence = self.stages.get(stage)?;
        self.versions.iter().find(|version| version.sequence == *sequence)
    }

    /// Whether a version carries any stage.
    pub(crate) fn is_labelled(&self, sequence: u32) -> bool {
        self.stages.values().any(|of| *of == sequence)
    }

    /// The canonical bytes. The revision is not among them: it stands in clear before the sealed bytes.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(512);
        let format = match self.recovery {
            Recovery::Window => FORMAT,
            Recovery::Nothing => FORMAT_WITH_RECOVERY,
        };
        w.u8(format)
            .fixed(self.namespace.as_bytes())
            .text(self.name.as_str())
            .text(&self.description);
        w.list(self.labels.iter(), |w, (key, value)| w.text(key).text(value));
        match self.state {
            SecretState::Live => w.u8(0),
            SecretState::PendingDeletion { since, until } => {
                w.u8(1).i64(since.as_millis()).i64(until.as_millis())
            }
        };
        w.fixed(self.key.as_bytes())
            .bool(self.customer_key)
            .u32(self.next_sequence);
        w.list(self.versions.iter(), |w, version| {
            w.text(version.id.as_str())
                .u32(version.sequence)
                .i64(version.created.as_millis())
                .u8(version.data_type.code())
        });
        w.list(self.stages.iter(), |w, (stage, sequence)| {
            w.text(stage.as_str()).u32(*sequence)
        });
        w.i64(self.created.as_millis()).i64(self.updated.as_millis());
        w.option(self.object.as_ref(), |w, object| {
            w.text(object.uid.as_str()).text(&object.name)
        });
        w.option(self.materialized.as_ref(), |w, native| {
            w.text(native.uid.as_str()).text(&native.name)
        });
        w.option(self.rotation.last, |w, last| w.i64(last.as_millis()));
        w.option(self.rotation.last_trigger.as_ref(), |w, trigger| w.text(trigger));
        if self.recovery == Recovery::Nothing {
            w.u8(1);
        }
        w.finish()
    }

    /// Reads canonical bytes of the head of `id` at `revision`.
    pub(crate) fn decode(id: SecretId, revision: u64, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let written = r.format(FORMAT_WITH_RECOVERY)?;
        let mut head = Self {
            id,
            revision,
            namespace: NamespaceId::from_bytes(r.array()?),
            name: r.parsed("name")?,
            description: r.text("description")?.to_owned(),
            labels: r.map("labels", |r| {
                Ok((r.text("label")?.to_owned(), r.text("label")?.to_owned()))
            })?,
            state: match r.u8()? {
                0 => SecretState::Live,
                1 => SecretState::PendingDeletion {
                    since: Timestamp::from_millis(r.i64()?),
                    until: Timestamp::from_millis(r.i64()?),
                },
                _ => return Err(DecodeError::Invalid("state")),
            },
            key: KeyId::from_bytes(r.array()?),
            customer_key: r.bool("customer key")?,
            next_sequence: r.u32()?,
            versions: r.list(|r| {
                Ok(HeadVersion {
                    id: r.parsed("version id")?,
                    sequence: r.u32()?,
                    created: Timestamp::from_millis(r.i64()?),
                    data_type: DataType::from_code(r.u8()?)?,
                })
            })?,
            stages: r.map("stages", |r| Ok((r.parsed("stage")?, r.u32()?)))?,
            created: Timestamp::from_millis(r.i64()?),
            updated: Timestamp::from_millis(r.i64()?),
            object: r.option("object", |r| {
                Ok(ObjectRef {
                    uid: r.parsed("object uid")?,
                    name: r.text("object name")?.to_owned(),
                })
            })?,
            materialized: r.option("materialized", |r| {
                Ok(ObjectRef {
                    uid: r.parsed("native uid")?,
                    name: r.text("native name")?.to_owned(),
                })
            })?,
            rotation: RotationState {
                last: r.option("last rotation", |r| r.i64().map(Timestamp::from_millis))?,
                last_trigger: r.option("last trigger", |r| r.text("last trigger").map(str::to_owned))?,
            },
            recovery: Recovery::Window,
        };
        if written >= FORMAT_WITH_RECOVERY {
            head.recovery = match r.u8()? {
                1 => Recovery::Nothing,
                _ => return Err(DecodeError::Invalid("recovery")),
            };
        }
        r.end()?;
        Ok(head)
    }
}
