//! An encryption key: its states and versions, without the material.

use strongroom_model::id::{KeyId, NamespaceId};
use strongroom_model::name::KeyName;
use strongroom_model::object_ref::ObjectRef;
use strongroom_model::time::Timestamp;
use zeroize::Zeroizing;

use crate::codec::{DecodeError, Reader, Writer};

/// Format 2 has a declaration at its end.
const FORMAT: u8 = 2;

/// Whether an encryption key can be used, with the times of the store.
pub type KeyState = strongroom_model::KeyState<Timestamp>;

/// What an outside object says about the encryption key that it declares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyDeclaration {
    /// The object that declares it.
    pub object: ObjectRef,
    /// Days between the deletion of the object and the destruction of the key, 7 to 30.
    pub window_days: u32,
    /// A person accepted that the key goes although something depends on it.
    pub loss_accepted: bool,
}

/// One version of an encryption key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KeyVersionState {
    pub(crate) version: u32,
    pub(crate) created: Timestamp,
}

/// An encryption key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeyRecord {
    pub(crate) id: KeyId,
    pub(crate) namespace: NamespaceId,
    /// None for a namespace's default key.
    pub(crate) name: Option<KeyName>,
    pub(crate) state: KeyState,
    pub(crate) primary: u32,
    pub(crate) versions: Vec<KeyVersionState>,
    pub(crate) created: Timestamp,
    /// What declares it; none for a default key.
    pub(crate) declaration: Option<KeyDeclaration>,
}

impl KeyRecord {
    /// A new one with one version; without a name a namespace's default key.
    pub(crate) fn new(id: KeyId, namespace: NamespaceId, name: Option<KeyName>, now: Timestamp) -> Self {
        Self {
            id,
            namespace,
            name,
            state: KeyState::Enabled,
            primary: 1,
            versions: vec![KeyVersionState {
                version: 1,
                created: now,
            }],
            created: now,
            declaration: None,
        }
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(128);
        w.u8(FORMAT)
            .option(self.name.as_ref(), |w, name| w.text(name.as_str()));
        match self.state {
            KeyState::Enabled => w.u8(0),
            KeyState::Disabled => w.u8(1),
            KeyState::PendingDeletion { until } => w.u8(2).i64(until.as_millis()),
            KeyState::Destroyed => w.u8(3),
        };
        w.u32(self.primary)
            .i64(self.created.as_millis())
            .list(self.versions.iter(), |w, version| {
                w.u32(version.version).i64(version.created.as_millis())
            })
            .option(self.declaration.as_ref(), |w, declaration| {
                w.text(declaration.object.uid.as_str())
                    .text(&declaration.object.name)
                    .u32(declaration.window_days)
                    .u8(declaration.loss_accepted.into())
            });
        w.finish()
    }

    pub(crate) fn decode(namespace: NamespaceId, id: KeyId, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let written = r.format(FORMAT)?;
        let mut key = Self {
            id,
            namespace,
            name: r.option("key name", |r| r.parsed("key name"))?,
            state: match r.u8()? {
                0 => KeyState::Enabled,
                1 => KeyState::Disabled,
                2 => KeyState::PendingDeletion {
                    until: Timestamp::from_millis(r.i64()?),
                },
                3 => KeyState::Destroyed,
                _ => return Err(DecodeError::Invalid("key state")),
            },
            primary: r.u32()?,
            created: Timestamp::from_millis(r.i64()?),
            versions: r.list(|r| {
                Ok(KeyVersionState {
                    version: r.u32()?,
                    created: Timestamp::from_millis(r.i64()?),
                })
            })?,
            declaration: None,
        };
        if written >= 2 {
            key.declaration = r.option("key declaration", declaration)?;
        }
        r.end()?;
        Ok(key)
    }
}

fn declaration(r: &mut Reader<'_>) -> Result<KeyDeclaration, DecodeError> {
    Ok(KeyDeclaration {
        object: ObjectRef {
            uid: r.parsed("key object uid")?,
            name: r.text("key object name")?.to_owned(),
        },
        window_days: r.u32()?,
        loss_accepted: match r.u8()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Invalid("key declaration")),
        },
    })
}
