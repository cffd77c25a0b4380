//! What an Event says about a record: reason and note. Must not say anything about a value.

use strongroom_crds::annotation;
use strongroom_model::id::SecretId;
use strongroom_model::name::NamespaceName;
use strongroom_store::audit::{Action, AuditOutcome, Entry};

use crate::kube::EventReason;

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
    let (reason, note) = reason_and_note(entry)?;
    let namespace = entry.namespace.clone()?;
    let subject = match (reason, entry.secret_id) {
        (EventReason::NamespaceAccepted, _) => EventSubject::Namespace(namespace),
        (_, Some(secret)) => EventSubject::Secret(namespace, secret),
        (_, None) => return None,
    };
    Some(EventContent {
        subject,
        reason,
        note,
    })
}

fn reason_and_note(entry: &Entry) -> Option<(EventReason, String)> {
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
        Action::BindMaterialized if detail.starts_with("written") => (
            EventReason::NativeSecretWritten,
            format!("the native Secret is {detail}"),
        ),
        Action::BindMaterialized => (
            EventReason::NativeSecretReleased,
            "the native Secret is no longer written".to_owned(),
        ),
        Action::AcceptNamespace => (
            EventReason::NamespaceAccepted,
            "the secrets of the earlier namespace of this name belong to this one now".to_owned(),
        ),
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
