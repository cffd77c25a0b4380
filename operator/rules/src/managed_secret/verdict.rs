//! The state of a `ManagedSecret` when nothing is left to do, as causes. Each cause has one message, which
//! says what to do about it.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::facts::{Holder, InvalidSpec};
use super::product_claim::ClaimRefusal;
use crate::native_secret::ImmutableField;
use crate::native_secret::edits::{DriftedKey, DriftedKeys, Edit, Edits};
use crate::object::whole_second;
use crate::rotation::{RotationState, RotationStep, RotationTrigger};
use crate::uid::Uid;

/// How the object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretVerdict {
    /// It is as wanted.
    Ready {
        /// Id of the stored secret.
        secret: String,
    },
    /// There are steps left.
    Working,
    /// The first value is still to come, and the object does not wait for it.
    AwaitingValue {
        /// The name in the store.
        name: String,
    },
    /// `spec.suspend` holds everything as it is.
    Suspended {
        /// There is a secret to hold.
        stored: bool,
    },
    /// It is being deleted: nothing is done and nothing is said.
    Leaving,
    /// Somebody has to act.
    Blocked(SecretBlocker),
}

impl SecretVerdict {
    /// When to look again although no event is expected.
    pub(super) fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Blocked(
                SecretBlocker::NativeContested { until, .. } | SecretBlocker::NativeMutated { until, .. },
            ) => Some((*until).max(now)),
            Self::Blocked(block) => block.recheck().and_then(|after| now.checked_add(after).ok()),
            Self::Ready { .. }
            | Self::AwaitingValue { .. }
            | Self::Working
            | Self::Suspended { .. }
            | Self::Leaving => None,
        }
    }
}

/// What keeps the object from being ready until a person, or the cluster, changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretBlocker {
    /// The spec makes no sense.
    SpecInvalid(InvalidSpec),
    /// The namespace is on its way out.
    NamespaceTerminating,
    /// The namespace was deleted and made again.
    NamespaceRecreated {
        /// UID of the older one.
        recorded: Uid,
    },
    /// The name is a product's, and the object may not have the secret.
    Product(Box<ClaimRefusal>),
    /// The store does not know the secret that the status names.
    StoreLost {
        /// Id of the lost secret.
        secret: String,
        /// Name of the native Secret that still holds its value.
        native: Option<String>,
    },
    /// The name belongs to a deleted secret that can still be restored.
    InRecoveryWindow {
        /// Id of the deleted secret, in hex: what `strongroom.dev/restore` takes.
        secret: String,
        /// End of the window.
        until: Timestamp,
    },
    /// Another object has this name in the store.
    StoreNameTaken {
        /// The name in the store, by `spec.storeName` or the object.
        name: String,
        /// That object; absent for a secret made through the API.
        by: Option<String>,
    },
    /// The store holds a secret of this name whose object is gone, and it does not become this object's
    /// unasked.
    NameTaken {
        /// The name in the store, by `spec.storeName` or the object.
        name: String,
        /// Id of the secret that has the name, in hex.
        secret: String,
        /// What keeps it from becoming this object's.
        obstacle: Obstacle,
    },
    /// The source is external, and no value has arrived yet.
    AwaitingValue {
        /// The name in the store.
        name: String,
    },
    /// There is no encryption key of the wanted name.
    KeyNotReady {
        /// The EncryptionKey that `spec.encryptionKey` names.
        name: String,
    },
    /// Another key says that the secret must lie under it.
    KeyRequired {
        /// The EncryptionKey whose `spec.requiredFor` covers the secret.
        name: String,
    },
    /// The encryption key is disabled, or waits for its destruction.
    KeyDisabled {
        /// The EncryptionKey that the secret lies under.
        name: String,
        /// When it is destroyed, if that is planned.
        until: Option<Timestamp>,
    },
    /// The object of the encryption key is gone; the key itself works.
    KeyObjectMissing {
        /// The EncryptionKey that is gone.
        name: String,
    },
    /// The Secret to import does not exist.
    ImportMissing {
        /// The native Secret that `spec.source.import` names.
        name: String,
    },
    /// The Secret to import may not be imported.
    ImportRefused {
        /// The native Secret that `spec.source.import` names.
        name: String,
        /// The rule against it, in words for the message.
        why: String,
    },
    /// What the spec asks for needs a new native Secret, and the one that was taken over would be lost.
    ReplacementUnasked {
        /// The native Secret that was taken over.
        name: String,
        /// What of it cannot be changed.
        fixed: Vec<ImmutableField>,
    },
    /// The spec asks for another value, and the native Secret is immutable.
    Immutable {
        /// Name of the native Secret.
        name: String,
        /// The keys that differ, where they are known.
        keys: Vec<String>,
    },
    /// The native Secret is immutable and is to hold other data: a value that arrived, a stage that was
    /// moved, or an edit of `spec.secret`.
    ImmutableContent {
        /// Name of the native Secret.
        name: String,
    },
    /// The certificate has ended, and nothing renews it.
    CertificateExpired {
        /// Key of the value that the certificate is under.
        key: String,
        /// When it ended.
        ended: Timestamp,
        /// Nothing is changed, because `spec.suspend` says so.
        suspended: bool,
    },
    /// A native Secret of the wanted name exists, and it is not ours.
    TargetNotOwned {
        /// The native Secret that `spec.secret` names.
        name: String,
        /// The ManagedSecret that it belongs to, if it does to one.
        holder: Option<Holder>,
    },
    /// The native Secret is being deleted.
    NativeTerminating {
        /// The native Secret that `spec.secret` names.
        name: String,
        /// The finalizers that it waits for.
        finalizers: Vec<String>,
    },
    /// Somebody changes the native Secret again and again.
    NativeContested {
        /// The native Secret that `spec.secret` names.
        name: String,
        /// What is changed now.
        edits: Vec<Edit>,
        /// When it is put back.
        until: Timestamp,
    },
    /// The native Secret is changed as it is written.
    NativeMutated {
        /// The native Secret that `spec.secret` names.
        name: String,
        /// What is not as it was written.
        keys: Vec<DriftedKey>,
        /// When it is tried again.
        until: Timestamp,
    },
}

/// Why a secret whose object is gone does not become the next one's unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It was retained when its object went.
    Retained,
    /// It would be shown in a native Secret of this name, which it was not before.
    Shown {
        /// Name of that native Secret.
        native: String,
    },
    /// It would come under another encryption key.
    OtherKey,
    /// `spec.readers` would let others read it than the object before, which had another name.
    Readers,
}

impl SecretBlocker {
    /// How long to wait before looking again. Some causes vanish without an event that is watched: Secrets of
    /// others are not.
    fn recheck(&self) -> Option<SignedDuration> {
        match self {
            Self::ImportMissing { .. } => Some(SignedDuration::from_secs(15)),
            // It takes as long as the other object's next steps.
            Self::TargetNotOwned {
                holder: Some(Holder { gives_up: true, .. }),
                ..
            } => Some(SignedDuration::from_secs(1)),
            Self::NativeTerminating { finalizers, .. } if finalizers.is_empty() => {
                Some(SignedDuration::from_secs(1))
            }
            Self::NativeTerminating { .. } => Some(SignedDuration::from_secs(15)),
            Self::ReplacementUnasked { .. } | Self::TargetNotOwned { .. } | Self::ImportRefused { .. } => {
                Some(SignedDuration::from_mins(1))
            }
            // Taken away by hand, it is made again with the new value.
            Self::Immutable { .. } | Self::ImmutableContent { .. } => Some(SignedDuration::from_mins(5)),
            Self::StoreNameTaken { .. }
            | Self::NameTaken { .. }
            | Self::StoreLost { .. }
            | Self::InRecoveryWindow { .. } => Some(SignedDuration::from_mins(5)),
            // Values that arrive, keys and their objects are told of.
            Self::AwaitingValue { .. }
            | Self::KeyNotReady { .. }
            | Self::KeyRequired { .. }
            | Self::KeyDisabled { .. }
            | Self::KeyObjectMissing { .. } => Some(SignedDuration::from_mins(5)),
            // Products, their namespaces and policies are told of; that a window ended is not.
            Self::Product(_) => Some(SignedDuration::from_mins(5)),
            // They say when themselves.
            Self::NativeContested { .. } | Self::NativeMutated { .. } => None,
            Self::SpecInvalid(_)
            | Self::NamespaceTerminating
            | Self::NamespaceRecreated { .. }
            | Self::CertificateExpired { .. } => None,
        }
    }
}

impl fmt::Display for SecretBlocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpecInvalid(InvalidSpec { field, problem, .. }) => write!(f, "`{field}`: {problem}"),
            Self::NamespaceTerminating => {
                f.write_str("the namespace is being deleted, so nothing in it is changed")
            }
            Self::NamespaceRecreated { recorded } => write!(
                f,
                "the secrets under this namespace's name belong to an earlier namespace with UID `{recorded}`; if this one may have \
                 them, a cluster administrator annotates the Namespace with `strongroom.dev/accept-namespace={recorded}`"
            ),
            Self::Product(refusal) => write!(f, "{refusal}"),
            Self::StoreLost {
                secret,
                native: Some(native),
            } => write!(
                f,
                "the store does not know secret `{secret}`; nothing is generated and Secret `{native}` is left as it is; restore a \
                 backup, or annotate with `strongroom.dev/readopt={secret}` to take the Secret's content as a new first version"
            ),
            Self::StoreLost { secret, native: None } => write!(
                f,
                "the store does not know secret `{secret}` and there is no native Secret to take its value from; restore a backup, or \
                 delete this object and apply it again to start with a new value"
            ),
            Self::InRecoveryWindow { secret, until } => write!(
                f,
                "a deleted secret of this name can be restored until {}; annotate with `strongroom.dev/restore={secret}` to have it \
                 back, or with `strongroom.dev/purge={secret}` to destroy it for ever and start anew",
                whole_second(*until)
            ),
            Self::StoreNameTaken { name, by: Some(by) } => write!(
                f,
                "the name `{name}` in the store belongs to ManagedSecret `{by}`; choose another `spec.storeName` or delete that object"
            ),
            Self::StoreNameTaken { name, by: None } => write!(
                f,
                "the name `{name}` in the store belongs to a secret that was made through the API; choose another `spec.storeName`"
            ),
            Self::NameTaken {
                name,
                secret,
                obstacle,
            } => {
                write!(
                    f,
                    "the store holds secret `{name}`, whose ManagedSecret is gone, and "
                )?;
                match obstacle {
                    Obstacle::Retained => f.write_str("it was to be retained")?,
                    Obstacle::Shown { native } => {
                        write!(f, "its value was not shown in Secret `{native}` before")?;
                    }
                    Obstacle::OtherKey => f.write_str("it lies under another encryption key")?,
                    Obstacle::Readers => {
                        f.write_str("`spec.readers` was granted for this object and not for that one")?
                    }
                }
                write!(
                    f,
                    "; to have it, annotate with `strongroom.dev/restore={secret}`, which takes the verb grant on managedsecrets; to have \
                     a new one, choose another `spec.storeName`"
                )
            }
            Self::AwaitingValue { name } => f.write_str(&awaiting(name)),
            Self::KeyNotReady { name } => write!(
                f,
                "EncryptionKey `{name}`, which `spec.encryptionKey` names, does not exist or is not ready; apply it or change the name"
            ),
            Self::KeyRequired { name } => write!(
                f,
                "EncryptionKey `{name}` requires in `spec.requiredFor` that this secret uses it; set `spec.encryptionKey: {name}`"
            ),
            Self::KeyDisabled { name, until: None } => write!(
                f,
                "EncryptionKey `{name}` is disabled, so the value can be neither read nor written nor rotated; the native Secret stays as it is; set \
                 `spec.enabled: true` of the key to restore everything"
            ),
            Self::KeyDisabled {
                name,
                until: Some(until),
            } => write!(
                f,
                "the key `{name}` is destroyed at {}, and until then the value can be neither read nor written nor rotated; apply EncryptionKey \
                 `{name}` again to restore everything",
                whole_second(*until)
            ),
            Self::KeyObjectMissing { name } => write!(
                f,
                "EncryptionKey `{name}` was deleted while secrets depend on its key; the key keeps working and nothing is lost; apply the \
                 EncryptionKey again to adopt it, or move the secrets to another key"
            ),
            Self::ImportMissing { name } => {
                write!(
                    f,
                    "Secret `{name}`, which `spec.source.import` names, does not exist; create it or change the source. If it stood in Git, \
                     a Helm release or a Kustomization until this object took its place there, the tool pruned it before it could be \
                     imported: bring it back as it was (`helm rollback`, `git revert`, or apply it by hand from where it was kept), give it the tool's \
                     annotation that keeps it (Helm: `helm.sh/resource-policy: keep`), apply this object beside it, and take it out when \
                     this is Ready; docs/moving-in.md has the annotation of each tool"
                )
            }
            Self::ImportRefused { name, why } => write!(f, "Secret `{name}` cannot be imported: {why}"),
            Self::ReplacementUnasked { name, fixed } => {
                write!(
                    f,
                    "Secret `{name}` was taken over as it is, and what the spec asks for needs a new one: "
                )?;
                for (index, fixed) in fixed.iter().enumerate() {
                    let and = if index > 0 { "; " } else { "" };
                    write!(f, "{and}{fixed}")?;
                }
                f.write_str("; to have a new one in its place, delete it: its value is in the store")
            }
            Self::Immutable { name, keys } => {
                write!(
                    f,
                    "`spec.source` asks for another value than the immutable Secret `{name}` holds"
                )?;
                for (index, key) in keys.iter().enumerate() {
                    write!(f, "{}`{key}`", if index == 0 { ", by its keys " } else { ", " })?;
                }
                f.write_str(
                    "; it stays as it is, because kubelet shows new pods the old content of an immutable Secret while any pod of \
                     their node uses it; take the edit of `spec.source` back, or remove `spec.secret.immutable`, or choose another \
                     `spec.secret.name`",
                )
            }
            Self::ImmutableContent { name } => write!(
                f,
                "Secret `{name}` is immutable and keeps the data that it holds, because kubelet shows new pods the old content of an \
                 immutable Secret while any pod of their node uses it; now it is to hold others, by a value that arrived, a stage that \
                 was moved, or an edit of `keys` or `template` of `spec.secret`: take that back, or set `spec.secret.immutable: false`, \
                 or choose another `spec.secret.name`"
            ),
            Self::CertificateExpired {
                key,
                ended,
                suspended,
            } => write!(
                f,
                "the certificate `{key}` ended at {}; {}",
                whole_second(*ended),
                if *suspended {
                    "`spec.suspend` is true: set it to false, so that it is renewed"
                } else {
                    "condition CertificateCurrent says why it is not renewed, and what to do"
                }
            ),
            Self::TargetNotOwned { name, holder: None } => write!(
                f,
                "Secret `{name}` exists and is not managed by strongroom, so it is left as it is; choose another `spec.secret.name` or delete that Secret; to \
                 adopt it with its content, take `spec.secret` out of this object and apply a ManagedSecret of another name with \
                 `spec.source.import.secretRef.name: {name}` and `spec.secret.name: {name}`"
            ),
            Self::TargetNotOwned {
                name,
                holder:
                    Some(Holder {
                        name: by,
                        gives_up: true,
                        ..
                    }),
            } => write!(
                f,
                "Secret `{name}` is the native Secret of ManagedSecret `{by}`, which is releasing it; this object takes the name as soon as it is \
                 free; if that takes long, `kubectl describe managedsecret {by}` says why"
            ),
            Self::TargetNotOwned {
                name,
                holder: Some(Holder { name: by, .. }),
            } => write!(
                f,
                "Secret `{name}` is the native Secret of ManagedSecret `{by}`, and two objects cannot share one; choose another \
                 `spec.secret.name` here or there"
            ),
            Self::NativeTerminating { name, finalizers } if finalizers.is_empty() => {
                write!(
                    f,
                    "Secret `{name}` is being deleted; it is made again when it is gone"
                )
            }
            Self::NativeTerminating { name, finalizers } => write!(
                f,
                "Secret `{name}` is being deleted and waits for {} `{}`; it is created again when it is gone: whoever set that must remove it",
                if finalizers.len() == 1 {
                    "finalizer"
                } else {
                    "finalizers"
                },
                finalizers.join("`, `")
            ),
            Self::NativeContested { name, edits, until } => write!(
                f,
                "Secret `{name}` is changed repeatedly: {}; it is restored at {}, with a growing delay while that continues; stop the other writer, or \
                 change `spec.secret`",
                Edits(edits),
                whole_second(*until)
            ),
            Self::NativeMutated { name, keys, until } => {
                let keys: Vec<&DriftedKey> = keys.iter().collect();
                write!(
                    f,
                    "Secret `{name}` is not as it was written: mutating admission of the cluster changes {}; exempt Secrets with the label \
                     `strongroom.dev/managed` there; it is tried again at {}",
                    DriftedKeys(&keys),
                    whole_second(*until)
                )
            }
        }
    }
}

/// That the first value is still to come.
pub(super) fn awaiting(name: &str) -> String {
    format!(
        "no value has arrived yet; send the first one with PutSecretValue to secret `{name}` of this namespace"
    )
}

impl fmt::Display for RotationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no rotation is asked for"),
            Self::Due(RotationStep::Promote(RotationTrigger::Due { at, .. })) => {
                write!(
                    f,
                    "due since {}; it follows when the object is ready",
                    whole_second(*at)
                )
            }
            Self::Due(RotationStep::Promote(RotationTrigger::Asked(_))) => {
                f.write_str("asked for; it follows when the object is ready")
            }
            Self::Scheduled { schedule, at } => {
                write!(
                    f,
                    "RotationSchedule `{schedule}` rotates it next at {}",
                    whole_second(*at)
                )
            }
            Self::Suspended { schedule } => {
                write!(
                    f,
                    "RotationSchedule `{schedule}` is suspended: set `spec.suspend: false` there"
                )
            }
            Self::Unscheduled { schedule, why } => {
                write!(f, "RotationSchedule `{schedule}` gives no time: {why}")
            }
            Self::Conflict(schedules) => {
                f.write_str("several RotationSchedules claim it with equal priority, so none rotates it: ")?;
                for (index, schedule) in schedules.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "`{schedule}`")?;
                }
                f.write_str("; leave it in one of them, or name it in `spec.secrets.names` of just one")
            }
            Self::Impossible(why) => write!(f, "it is not rotated: {why}"),
        }
    }
}
