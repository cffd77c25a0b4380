//! One way to open the seal. Must not keep the key that opens it.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use strongroom_model::SecretBytes;
use strongroom_model::id::StoreId;
use zeroize::Zeroizing;

use super::SealError;
use super::recovery::RecoveryKey;
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::{CryptoError, RootKey, Siv, kdf, random};

pub use ids::SlotId;

mod ids {
    use data_encoding::HEXLOWER;

    use super::fmt;

    /// A slot's random id, shown as 16 hex characters.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct SlotId(pub(in crate::seal) [u8; 8]);

    impl fmt::Display for SlotId {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&HEXLOWER.encode(&self.0))
        }
    }

    impl fmt::Debug for SlotId {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "SlotId({self})")
        }
    }

    impl std::str::FromStr for SlotId {
        type Err = strongroom_model::id::IdError;
        fn from_str(text: &str) -> Result<Self, Self::Err> {
            HEXLOWER
                .decode(text.as_bytes())
                .ok()
                .and_then(|bytes| <[u8; 8]>::try_from(bytes).ok())
                .map(Self)
                .ok_or_else(|| strongroom_model::id::IdError::Malformed(text.chars().take(64).collect()))
        }
    }
}

/// What opens a slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SlotKind {
    /// A file of 32 random bytes.
    KeyFile,
    /// A Kubernetes Secret with 32 random bytes.
    KubernetesSecret,
    /// A passphrase, stretched by Argon2id.
    Passphrase,
    /// A key that was shown once and kept outside.
    Recovery,
}

impl SlotKind {
    const ALL: [Self; 4] = [
        Self::KeyFile,
        Self::KubernetesSecret,
        Self::Passphrase,
        Self::Recovery,
    ];

    const fn code(self) -> u8 {
        match self {
            Self::KeyFile => 1,
            Self::KubernetesSecret => 2,
            Self::Passphrase => 3,
            Self::Recovery => 4,
        }
    }

    fn from_code(code: u8) -> Result<Self, DecodeError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.code() == code)
            .ok_or(DecodeError::Invalid("kind of a slot"))
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyFile => "key-file",
            Self::KubernetesSecret => "kubernetes-secret",
            Self::Passphrase => "passphrase",
            Self::Recovery => "recovery",
        })
    }
}

/// How much work a passphrase costs to try (Argon2id, RFC 9106).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PassphraseCost {
    /// KiB of memory: at least 8 for each lane, at most 1 GiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Degree of parallelism, 1 to 64.
    pub lanes: u32,
}

impl PassphraseCost {
    /// What a slot without a passphrase holds.
    const NONE: Self = Self {
        memory_kib: 0,
        passes: 0,
        lanes: 0,
    };

    /// 1 GiB, 64 passes, 64 lanes. A forged cost must not make a start eat all memory, and no slot is made
    /// that would not be read again.
    const fn is_allowed(self) -> bool {
        self.lanes >= 1
            && self.lanes <= 64
            && self.memory_kib >= 8 * self.lanes
            && self.memory_kib <= 1 << 20
            && self.passes >= 1
            && self.passes <= 64
    }
}

/// The second recommended option of RFC 9106 section 4: 64 MiB, three passes, four lanes.
impl Default for PassphraseCost {
    fn default() -> Self {
        Self {
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 4,
        }
    }
}

/// What a caller brings to make or open a slot.
#[derive(Debug)]
pub enum SlotSecret {
    /// The 32 bytes of a key file.
    KeyFile(SecretBytes),
    /// The 32 bytes of a Kubernetes Secret.
    KubernetesSecret(SecretBytes),
    /// A passphrase, and what a new slot shall cost. Opening uses the cost that the slot was made with.
    Passphrase(SecretBytes, PassphraseCost),
    /// A recovery key.
    Recovery(RecoveryKey),
}

impl SlotSecret {
    /// The kind of slot that this opens.
    #[must_use]
    pub const fn kind(&self) -> SlotKind {
        match self {
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::KubernetesSecret(_) => SlotKind::KubernetesSecret,
            Self::Passphrase(..) => SlotKind::Passphrase,
            Self::Recovery(_) => SlotKind::Recovery,
        }
    }
}

/// What may be shown of a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotInfo {
    /// What `strongroom seal slots` shows, and `strongroom seal remove` takes.
    pub id: SlotId,
    /// What opens it.
    pub kind: SlotKind,
    /// What its maker called it.
    pub label: String,
}

/// Bytes of a wrapped root key: the synthetic IV and the ciphertext.
const WRAPPED_KEY_BYTES: usize = 16 + 32;
const MAX_LABEL_BYTES: usize = 128;
const MIN_PASSPHRASE_CHARACTERS: usize = 12;

/// Characters where the passphrase is text, else bytes.
fn characters(passphrase: &SecretBytes) -> usize {
    std::str::from_utf8(passphrase.expose()).map_or(passphrase.len(), |text| text.chars().count())
}

/// A wrapped copy of the root key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) id: SlotId,
    pub(super) kind: SlotKind,
    pub(super) label: String,
    cost: PassphraseCost,
    salt: [u8; 32],
    wrapped: [u8; WRAPPED_KEY_BYTES],
}

impl Slot {
    pub(super) fn seal(
        store: StoreId,
        root: &RootKey,
        secret: &SlotSecret,
        label: &str,
    ) -> Result<Self, SealError> {
        let cost = match secret {
            SlotSecret::Passphrase(passphrase, cost) => {
                if characters(passphrase) < MIN_PASSPHRASE_CHARACTERS {
                    return Err(SealError::PassphraseTooShort);
                }
                if !cost.is_allowed() {
                    return Err(SealError::Cost);
                }
                *cost
            }
            SlotSecret::KeyFile(_) | SlotSecret::KubernetesSecret(_) | SlotSecret::Recovery(_) => {
                PassphraseCost::NONE
            }
        };
        let mut slot = Self {
            id: SlotId(*random::<8>()?),
            kind: secret.kind(),
            label: label.chars().take(MAX_LABEL_BYTES).collect(),
            cost,
            salt: *random::<32>()?,
            wrapped: [0; WRAPPED_KEY_BYTES],
        };
        let headers = slot.headers(store);
        let vectors: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        let key = slot.key(secret, &headers)?;
        slot.wrapped = root
            .with(|bytes| Siv::new(&key).seal(&vectors, bytes))?
            .try_into()
            .map_err(|_| CryptoError::TooLarge)?;
        Ok(slot)
    }

    pub(super) fn open(&self, store: StoreId, secret: &SlotSecret) -> Result<RootKey, SealError> {
        let headers = self.headers(store);
        let vectors: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        let key = self.key(secret, &headers)?;
        match Siv::new(&key).open(&vectors, &self.wrapped) {
            Ok(root) => Ok(RootKey::from_secret(&root)?),
            Err(CryptoError::Forged) => Err(SealError::WrongKey(self.kind)),
            Err(other) => Err(other.into()),
        }
    }

    /// The slot and its parameters, so that none can be changed or moved to another store.
    fn headers(&self, store: StoreId) -> [Vec<u8>; 7] {
        let mut cost = Vec::with_capacity(12);
        for part in [self.cost.memory_kib, self.cost.passes, self.cost.lanes] {
            cost.extend_from_slice(&part.to_be_bytes());
        }
        [
            b"sr/slot/1".to_vec(),
            store.as_bytes().to_vec(),
            self.id.0.to_vec(),
            vec![self.kind.code()],
            self.label.as_bytes().to_vec(),
            cost,
            self.salt.to_vec(),
        ]
    }

    fn key(&self, secret: &SlotSecret, headers: &[Vec<u8>]) -> Result<Zeroizing<[u8; 64]>, SealError> {
        let seed: Zeroizing<[u8; 32]> = match secret {
            SlotSecret::KeyFile(key) | SlotSecret::KubernetesSecret(key) => {
                let bytes: &[u8; 32] = key
                    .expose()
                    .try_into()
                    .map_err(|_| SealError::KeyLength(self.kind, key.len()))?;
                Zeroizing::new(*bytes)
            }
            SlotSecret::Recovery(key) => Zeroizing::new(*key.bytes()),
            SlotSecret::Passphrase(passphrase, _) => self.stretch(passphrase)?,
        };
        let info: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        Ok(kdf::expand(&seed, &info))
    }

    fn stretch(&self, passphrase: &SecretBytes) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let PassphraseCost {
            memory_kib,
            passes,
            lanes,
        } = self.cost;
        let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| SealError::Cost)?;
        let mut out = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose(), &self.salt, out.as_mut_slice())
            .map_err(|_| SealError::Cost)?;
        Ok(out)
    }

    pub(super) fn encode<'a>(&self, writer: &'a mut Writer) -> &'a mut Writer {
        writer
            .fixed(&self.id.0)
            .u8(self.kind.code())
            .text(&self.label)
            .u32(self.cost.memory_kib)
            .u32(self.cost.passes)
            .u32(self.cost.lanes)
            .fixed(&self.salt)
            .fixed(&self.wrapped)
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let slot = Self {
            id: SlotId(reader.array()?),
            kind: SlotKind::from_code(reader.u8()?)?,
            label: reader.text("label of a slot")?.to_owned(),
            cost: PassphraseCost {
                memory_kib: reader.u32()?,
                passes: reader.u32()?,
                lanes: reader.u32()?,
            },
            salt: reader.array()?,
            wrapped: reader.array()?,
        };
        let cost_fits = match slot.kind {
            SlotKind::Passphrase => slot.cost.is_allowed(),
            SlotKind::KeyFile | SlotKind::KubernetesSecret | SlotKind::Recovery => {
                slot.cost == PassphraseCost::NONE
            }
        };
        if !cost_fits {
            return Err(DecodeError::Invalid("cost of a slot"));
        }
        if slot.label.chars().count() > MAX_LABEL_BYTES {
            return Err(DecodeError::Invalid("label of a slot"));
        }
        Ok(slot)
    }

    pub(super) fn info(&self) -> SlotInfo {
        SlotInfo {
            id: self.id,
            kind: self.kind,
            label: self.label.clone(),
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
