//! Records as plain structs and their canonical bytes, before they are sealed. Must not seal, open or store
//! anything.

mod allowances;
mod declaration;
mod head;
mod indexed_record;
mod key;
mod namespace;
mod object;
mod policy;
mod product;
mod store_state;
mod version;

pub(crate) use allowances::Allowances;
pub use allowances::Quota;
pub(crate) use declaration::{Attestation, AttestedSince, Declaration};
pub(crate) use head::{Head, HeadVersion, head_row_bytes};
pub use head::{Recovery, RotationState, SecretState};
pub(crate) use indexed_record::IndexedRecord;
pub use key::{KeyDeclaration, KeyState};
pub(crate) use key::{KeyRecord, KeyVersionState};
pub(crate) use namespace::Namespace;
pub use object::DeclaredObject;
pub use policy::EnforcedPolicy;
pub use product::{ProductManager, ProductQuota, ProductRecord};
pub(crate) use store_state::{SealDigest, StoreState, meta};
pub(crate) use version::{StoredDataKey, StoredVersion, key_version_key, version_key};

/// The format of every record but those that say another.
pub const FORMAT: u8 = 1;
