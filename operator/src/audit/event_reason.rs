//! What an Event says about a record: reason and note. Must not say anything about a value.

use strongroom_crds::annotation;
use strongroom_store::audit::{Action, AuditOutcome, Entry};
use strongroom_store::id::SecretId;
use strongroom_store::name::NamespaceName;

/// Why an Event was written. The names are part of the interface: people filter by them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum EventReason {
    /// A secret and its first version are in the store.
    SecretCreated,
    /// A version was written.
    VersionCreated,
    /// A version was made because one was due or asked for.
    Rotated,
    /// Description, labels or key changed.
    SecretUpdated,
    /// A label moved.
    StageChanged,
    /// The secret was deleted and can be restored.
    RecoveryWindowOpened,
    /// The secret came back.
    Restored,
    /// The secret was destroyed.
    Purged,
    /// Another object declares the secret now, or none.
    Rebound,
    /// The native Secret was written or adopted.
    NativeSecretWritten,
    /// The native Secret is no longer written.
    NativeSecretReleased,
    /// A namespace made again was accepted as the old one.
    NamespaceAccepted,
}

impl EventReason {
    /// As Events and metrics show it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SecretCreated => "SecretCreated",
            Self::VersionCreated => "VersionCreated",
            Self::Rotated => "Rotated",
            Self::SecretUpdated => "SecretUpdated",
            Self::StageChanged => "StageChanged",
            Self::RecoveryWindowOpened => "RecoveryWindowOpened",
            Self::Restored => "Restored",
            Self::Purged => "Purged",
            Self::Rebound => "Rebound",
            Self::NativeSecretWritten => "NativeSecretWritten",
            Self::NativeSecretReleased => "NativeSecretReleased",
            Self::NamespaceAccepted => "NamespaceAccepted",
        }
    }
}

/// What a record is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum EventSubject {
    /// The object that declares this secret.
    Secret(NamespaceName, SecretId),
    /// The namespace itself.
    Namespace(NamespaceName),
}

/// What an Event says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct EventContent {
    pub(crate) subject: EventSubject,
    pub(crate) reason: EventReason,
    pub(crate) note: String,
}

/// What is told about a record; nothing, where it concerns no object that people have.
pub(crate) fn event_content(entry: &Entry) -> Option<EventContent> {
    if entry.outcome != AuditOutcome::Done {
        return None;
    }
    let reason = reason(entry)?;
    let namespace = entry.namespace.clone()?;
    let subject = match (reason, entry.secret_id) {
        (EventReason::NamespaceAccepted, _) => EventSubject::Namespace(namespace),
        (_, Some(secret)) => EventSubject::Secret(namespace, secret),
        (_, None) => return None,
    };
    Some(EventContent {
        subject,
        reason,
        note: note(reason, entry),
    })
}

fn reason(entry: &Entry) -> Option<EventReason> {
    Some(match entry.action {
        Action::CreateSecret => EventReason::SecretCreated,
        Action::PutSecretValue => EventReason::VersionCreated,
        Action::RotateSecret => EventReason::Rotated,
        Action::UpdateSecret => EventReason::SecretUpdated,
        Action::UpdateSecretVersionStage => EventReason::StageChanged,
        // A record with a window says until when; the other one is destruction at once.
        Action::DeleteSecret if entry.detail.starts_with("recovery window") => {
            EventReason::RecoveryWindowOpened
        }
        Action::DeleteSecret | Action::PurgeSecret => EventReason::Purged,
        Action::RestoreSecret => EventReason::Restored,
        Action::BindObject => EventReason::Rebound,
        Action::BindMaterialized if entry.detail.starts_with("written") => EventReason::NativeSecretWritten,
        Action::BindMaterialized => EventReason::NativeSecretReleased,
        Action::AcceptNamespace => EventReason::NamespaceAccepted,
        // Keys have no objects yet, a policy's status says what became of it, a namespace that is seen is no
        // news, and the rest is about the store as a whole.
        Action::GetSecretValue
        | Action::DescribeSecret
        | Action::ListSecrets
        | Action::ListSecretVersionIds
        | Action::ExplainAccess
        | Action::Authenticate
        | Action::Decrypt
        | Action::ReadAudit
        | Action::RenewSealedValues
        | Action::GenerateDataKey
        | Action::CreateKey
        | Action::EnableKey
        | Action::DisableKey
        | Action::ScheduleKeyDeletion
        | Action::CancelKeyDeletion
        | Action::RotateKey
        | Action::Rewrap
        | Action::DestroyKey
        | Action::DestroyKeyVersion
        | Action::BindNamespace
        | Action::EnforcePolicy
        | Action::RemovePolicy
        | Action::DeclareObject
        | Action::WithdrawObject
        | Action::CreateStore
        | Action::OpenStore
        | Action::Backup
        | Action::Restore
        | Action::ChangeSeal
        | Action::AcceptRollback
        | Action::TruncateAudit
        | Action::RefuseMore
        | Action::Checkpoint => return None,
    })
}

fn note(reason: EventReason, entry: &Entry) -> String {
    let version = entry.version.as_ref().map_or("", |version| version.as_str());
    let detail = &entry.detail;
    match reason {
        EventReason::SecretCreated => format!("the secret is in the store; version `{version}` is Current"),
        EventReason::VersionCreated => format!("version `{version}` was written"),
        EventReason::Rotated => format!("rotated; version `{version}` was made"),
        EventReason::SecretUpdated => "description, labels or encryption key changed".to_owned(),
        EventReason::StageChanged => {
            let stage = entry.stage.as_ref().map_or("", |stage| stage.as_str());
            format!("stage `{stage}` changed at version `{version}`")
        }
        EventReason::RecoveryWindowOpened => {
            let id = entry.secret_id.map(|id| id.to_string()).unwrap_or_default();
            format!(
                "deleted, with a {detail}; to restore it, apply it again with the annotation `{}={id}`",
                annotation::RESTORE
            )
        }
        EventReason::Restored => "the secret came back out of its recovery window, as it was".to_owned(),
        EventReason::Purged => "the secret was destroyed and cannot be restored".to_owned(),
        EventReason::Rebound => "another object declares the secret now, or none does".to_owned(),
        EventReason::NativeSecretWritten => format!("the native Secret is {detail}"),
        EventReason::NativeSecretReleased => "the native Secret is no longer written".to_owned(),
        EventReason::NamespaceAccepted => {
            "the secrets of the earlier namespace of this name belong to this one now".to_owned()
        }
    }
}
