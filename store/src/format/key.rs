//! An encryption key: its states and versions, without the material.

use zeroize::Zeroizing;

use super::{FORMAT, format, parsed};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{KeyId, NamespaceId};
use crate::name::KeyName;
use crate::time::Timestamp;

/// Whether an encryption key can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// It can.
    Enabled,
    /// It refuses until somebody enables it.
    Disabled,
    /// It refuses, and is destroyed when the window closes.
    PendingDeletion {
        /// When the window closes.
        until: Timestamp,
    },
    /// Its material is gone for good.
    Destroyed,
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
}

impl KeyRecord {
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
            });
        w.finish()
    }

    pub(crate) fn decode(namespace: NamespaceId, id: KeyId, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        format(&mut r)?;
        let key = Self {
            id,
            namespace,
            name: r.option("key name", |r| parsed(r, "key name"))?,
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
        };
        r.end()?;
        Ok(key)
    }
}
