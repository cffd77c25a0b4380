//! What an Event says about a record: reason and note. Must not say anything about a value.

use strongroom_crds::annotation;
use strongroom_model::id::{KeyId, SecretId};
use strongroom_model::name::NamespaceName;
use strongroom_store::audit::{Action, AuditOutcome, Entry};

use crate::kube::EventReason;

/// What a record is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum EventSubject {
    /// The object that declares this secret.
    Secret(NamespaceName, SecretId),
    /// The object that declares this encryption key.
    Key(NamespaceName, KeyId),
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
    let namespace = entry.namespace.clone()?;
    let (subject, (reason, note)) = if entry.action == Action::AcceptNamespace {
        let note = "the secrets of the earlier namespace of this name belong to this one now";
        let told = (EventReason::NamespaceAccepted, note.to_owned());
        (EventSubject::Namespace(namespace), told)
    } else if let Some(told) = of_key(entry) {
        (EventSubject::Key(namespace, entry.key?), told)
    } else {
        (
            EventSubject::Secret(namespace, entry.secret_id?),
            of_secret(entry)?,
        )
    };
    Some(EventContent {
        subject,
        reason,
        note,
    })
}

fn of_key(entry: &Entry) -> Option<(EventReason, String)> {
    let (reason, note) = match entry.action {
        // That it was made comes right before, when no object is known yet.
        Action::BindObject if entry.secret_id.is_none() => (
            EventReason::KeyDeclared,
            "the key is in the store, and this object declares it".to_owned(),
        ),
        Action::EnableKey => (
            EventReason::KeyEnabled,
            "the key works again; what is under it can be read and written".to_owned(),
        ),
        Action::DisableKey => (
            EventReason::KeyDisabled,
            "the key is disabled; nothing under it can be read, written or rotated".to_owned(),
        ),
        Action::ScheduleKeyDeletion => (
            EventReason::KeyDeletionScheduled,
            format!(
                "the key refuses, {}, and is destroyed then with all that is under it; apply it again to keep it",
                entry.detail
            ),
        ),
        Action::CancelKeyDeletion => (
            EventReason::KeyDeletionCanceled,
            "the key stays and works again".to_owned(),
        ),
        Action::RotateKey => (
            EventReason::KeyRotated,
            "the key has a new version; what is under the old ones moves to it".to_owned(),
        ),
        Action::DestroyKey => (
            EventReason::KeyDestroyed,
            "the key was destroyed; what was under it cannot be read any more".to_owned(),
        ),
        _ => return None,
    };
    Some((reason, note))
}

fn of_secret(entry: &Entry) -> Option<(EventReason, String)> {
    let version = entry.version.as_ref().map_or("", |version| version.as_str());
    let detail = &entry.detail;
    Some(match entry.action {
        Action::CreateSecret => (
            EventReason::SecretCreated,
            format!("the secret is in the store; version `{version}` is Current"),
        ),
        Action::PutSecretValue => (
            EventReason::VersionCreated,
            format!("version `{version}` was written"),
        ),
        Action::RotateSecret => (
            EventReason::Rotated,
            format!("rotated; version `{version}` was made"),
        ),
        Action::UpdateSecret => (
            EventReason::SecretUpdated,
            "description, labels or encryption key changed".to_owned(),
        ),
        Action::UpdateSecretVersionStage => {
            let stage = entry.stage.as_ref().map_or("", |stage| stage.as_str());
            (
                EventReason::StageChanged,
                format!("stage `{stage}` changed at version `{version}`"),
            )
        }
        // A record with a window says until when; the other one is destruction at once.
        Action::DeleteSecret if detail.starts_with("recovery window") => {
            let id = entry.secret_id.map(|id| id.to_string()).unwrap_or_default();
            let note = format!(
                "deleted, with a {detail}; to restore it, apply it again with the annotation `{}={id}`",
                annotation::RESTORE
            );
            (EventReason::RecoveryWindowOpened, note)
        }
        Action::DeleteSecret | Action::PurgeSecret => (
            EventReason::Purged,
            "the secret was destroyed and cannot be restored".to_owned(),
        ),
        Action::RestoreSecret => (
            EventReason::Restored,
            "the secret came back out of its recovery window, as it was".to_owned(),
        ),
        Action::BindObject => (
            EventReason::Rebound,
            "another object declares the secret now, or none does".to_owned(),
        ),
        Action::BindMaterialized if detail.starts_with("written again") => (
            EventReason::NativeSecretRepaired,
            format!("the native Secret was gone or had to be made anew; it is {detail}"),
        ),
        Action::BindMaterialized if detail.starts_with("written") => (
            EventReason::NativeSecretWritten,
            format!("the native Secret is {detail}"),
        ),
        Action::BindMaterialized => (
            EventReason::NativeSecretReleased,
            "the native Secret is no longer written".to_owned(),
        ),
        // Keys and namespaces are told above, the controller of policies tells what became of one, and the
        // rest is about the store as a whole.
        Action::AcceptNamespace
        | Action::GetSecretValue
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
        | Action::PutProduct
        | Action::AdoptProduct
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
