//! What is known about one `ManagedSecret` when its next step is decided. Plain data: it holds names, UIDs
//! and judgements, never a value.

use std::collections::BTreeMap;

use jiff::Timestamp;
use strongroom_crds::condition::Reason;

use super::product_claim::ClaimRefusal;
use super::renewal::CertificateFacts;
use crate::generate::Differences;
use crate::native_secret::edits::{DriftedKey, Edit};
use crate::native_secret::{Drift, ImmutableField};
use crate::object::Namespace;
use crate::rotation::{Coverage, RotateNow, RotationRefusal};
use crate::uid::Uid;

/// Everything one decision sees. Whoever fills it in has done all the reading there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// The object itself.
    pub object: ObjectFacts,
    /// What its spec asks for, or why the spec cannot be understood.
    pub wanted: Result<DesiredState, InvalidSpec>,
    /// The namespace it lives in.
    pub namespace: Namespace,
    /// What the store holds under the wanted name.
    pub stored: StoredSecretState,
    /// The native Secret that `spec.secret` names.
    pub native: NativeSecretState,
    /// The native Secret that `spec.source.import` names.
    pub import: ImportState,
    /// The `RotationSchedule` that covers the object.
    pub rotation: Coverage,
    /// The certificate that the current version holds, where the source makes one.
    pub certificate: Option<CertificateFacts>,
    /// Why the object may not have the secret, whose name is a product's.
    pub product: Option<ClaimRefusal>,
}

/// Identity and instructions of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFacts {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Uid,
    /// It carries a deletion timestamp: somebody's finalizer holds it, and it only waits to go.
    pub leaving: bool,
    /// What `status.secretId` says.
    pub recorded: RecordedSecretId,
    /// Annotation `strongroom.dev/restore`: the id of the secret to take out of its recovery window.
    pub restore: Option<String>,
    /// Annotation `strongroom.dev/purge`: the id of the secret to destroy before its recovery window ends.
    pub purge: Option<String>,
    /// Annotation `strongroom.dev/readopt`: the id of the lost secret whose native Secret becomes the first
    /// version of a new one.
    pub readopt: Option<String>,
    /// What annotations `strongroom.dev/rotate-now` ask for.
    pub rotate_now: RotateNow,
}

/// What the store says about the id in `status.secretId`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedSecretId {
    /// The status names none yet.
    Nothing,
    /// The store knows the id.
    Known,
    /// The store has never heard of this id.
    Unknown(String),
}

/// The spec, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredState {
    /// `spec.storeName`, or the object's own name.
    pub store_name: String,
    /// Where the value comes from.
    pub source: ValueSource,
    /// The customer's key that it is to lie under; absent: the namespace's own.
    pub key: Option<DesiredKey>,
    /// The key that another object says it must lie under, where the spec does not name that.
    pub required_key: Option<String>,
    /// The native Secret to keep, if any.
    pub native: Option<DesiredNative>,
    /// Why the value is not rotated, whoever asks.
    pub not_rotatable: Option<RotationRefusal>,
    /// The labels that the secret must carry in the store: among them what happens when the object goes away.
    pub labels: BTreeMap<String, String>,
    /// The labels say that it stays when its object goes.
    pub retain: bool,
    /// What people should know about it.
    pub description: String,
    /// Nothing is to be changed.
    pub suspend: bool,
}

/// Where the value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// Keys made here.
    Generate,
    /// A native Secret whose content becomes version 1.
    Import {
        /// Name of that Secret.
        secret: String,
    },
    /// Values arrive over the API.
    External {
        /// The object is not ready before the first one.
        wait: bool,
    },
    /// The value stands in the object, sealed.
    Sealed {
        /// What stands there is what was taken last.
        taken: bool,
    },
}

/// The customer's key that `spec.encryptionKey` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredKey {
    /// Name, in the object's namespace.
    pub name: String,
    /// How it stands.
    pub state: KeyState,
}

/// How a customer's key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// There is none of this name yet.
    Absent,
    /// It works.
    Enabled,
    /// It works, and its object is gone.
    ObjectMissing,
    /// Somebody disabled it.
    Disabled,
    /// It is destroyed at this time.
    PendingDeletion(Timestamp),
}

/// The native Secret that `spec.secret` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredNative {
    /// Name, in the object's namespace.
    pub name: String,
    /// It is to be immutable.
    pub immutable: bool,
}

/// A spec that admission let through and that still makes no sense here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSpec {
    /// The cause, as conditions name it.
    pub reason: Reason,
    /// Path of the field, such as `spec.source.generate`.
    pub field: String,
    /// What is wrong with it, lower case, no value in it.
    pub problem: String,
}

/// What the store holds under the wanted name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredSecretState {
    /// The store has no secret of this name.
    Absent,
    /// A secret in use.
    Live(StoredSecret),
    /// A deleted secret whose recovery window is open.
    InRecoveryWindow {
        /// What can be restored.
        secret: StoredSecret,
        /// End of the window.
        until: Timestamp,
    },
}

/// A secret as the store describes it, judged against the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// Its id, in hex.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// The labels that it carries in the store.
    pub labels: BTreeMap<String, String>,
    /// What people should know about it, as the store has it.
    pub description: String,
    /// It comes under another encryption key than the wanted one.
    pub other_key: bool,
    /// It stays when its object goes.
    pub retained: bool,
    /// The object has readers, and the one before had another name: who may read the one's value was granted
    /// for the other's.
    pub new_readers: bool,
    /// How the keys of the current version differ from the declared ones.
    pub differences: Differences,
    /// Why the native Secret cannot be made from the current version, if it cannot.
    pub unrenderable: Option<InvalidSpec>,
    /// The native Secret that was last written for it.
    pub materialized: Option<NativeSecretRef>,
    /// The native Secret before a rename, which goes when the new one is recorded.
    pub former: Option<NativeSecretRef>,
}

/// Whose a stored secret is, from the point of view of the object that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This object's.
    ThisObject,
    /// An object's that exists no more, or that has been made again with another UID.
    GoneObject,
    /// Another object's, which exists.
    Rival(String),
    /// No object's: it was made through the API.
    Nobody,
}

/// A native Secret that the store knows to be ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeSecretRef {
    /// `metadata.name`, in the namespace of the ManagedSecret.
    pub name: String,
    /// UID: this, and never a label, is what makes it ours.
    pub uid: Uid,
}

/// The native Secret that `spec.secret` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NativeSecretState {
    /// Not looked at: a plain create will tell.
    Unread,
    /// There is none.
    Absent,
    /// It was read, and is there.
    Present(ObservedNativeSecret),
}

/// A native Secret as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedNativeSecret {
    /// `metadata.uid`: one that was made again under the name has another.
    pub uid: Uid,
    /// How it differs from what it should be; absent: not at all.
    pub drift: Option<Drift>,
    /// Where that is [`Drift::Replace`]: what of it only a new Secret could change.
    pub fixed: Vec<ImmutableField>,
    /// It carries the annotation, naming the stored secret's id, that our create puts there.
    pub marked: bool,
    /// A version of the stored secret was taken from just this Secret, by import or readoption.
    pub recorded: bool,
    /// It says of itself that it is held as it is.
    pub held: bool,
    /// Its `immutable` is true: the API server refuses other data.
    pub immutable: bool,
    /// It is being deleted, and waits for these finalizers.
    pub terminating: Option<Vec<String>>,
    /// The ManagedSecret whose native Secret it is, where that is another one.
    pub holder: Option<Holder>,
    /// What others changed in it.
    pub edits: Vec<Edit>,
    /// What was not as it was written when the API server answered the last write.
    pub mutated: Vec<DriftedKey>,
    /// When it may be put back, because of the repairs before.
    pub repair_from: Option<Timestamp>,
}

impl ObservedNativeSecret {
    /// One of which nothing more is known.
    #[must_use]
    pub const fn new(uid: Uid) -> Self {
        Self {
            uid,
            drift: None,
            fixed: Vec::new(),
            marked: false,
            recorded: false,
            held: false,
            immutable: false,
            terminating: None,
            holder: None,
            edits: Vec::new(),
            mutated: Vec::new(),
            repair_from: None,
        }
    }
}

/// Another ManagedSecret, to which a native Secret belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// `metadata.name` of that ManagedSecret.
    pub name: String,
    /// Its spec names another native Secret by now, or none.
    pub gives_up: bool,
    /// It waits, itself or through others, for the native Secret that is ours now; and of all who wait, it is
    /// on us to let go first.
    pub exchange: bool,
}

/// The native Secret that `spec.source.import` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportState {
    /// Not looked at: the source is another one, or the content is already in the store.
    Unread,
    /// It does not exist.
    Absent,
    /// It exists.
    Present {
        /// Why it cannot be taken over, if it cannot: its type, its owner, its content.
        refusal: Option<String>,
    },
}
