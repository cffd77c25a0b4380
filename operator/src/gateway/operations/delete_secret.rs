//! DeleteSecret: `DELETE /v1/namespaces/{namespace}/secrets/{name}`: the ManagedSecret goes, then the native
//! Secret, then the recovery window opens, of `recoveryWindowDays` or as the object said; with `force=true`
//! the secret is destroyed at once. What is destroyed without a window takes PurgeSecret as well as
//! DeleteSecret. A default secret always has its window, but in a namespace that keeps nothing.
//!
//! A crash in between leaves a secret without an object, which the controller deletes as it does all of
//! those.

use strongroom_api::v1::{DeleteSecretAnswer, DeleteSecretQuery};
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_rules::native_secret::claim::WrittenSecret;
use strongroom_rules::policy::Action;
use strongroom_rules::uid::Uid;
use strongroom_rules::value::RECOVERY_WINDOW_DAYS;
use strongroom_store::vault::{
    BindMaterialized, DeleteSecret, Deletion, DestroySecret, KeepRecoveryWindow, Recovery, Refusal,
    SecretState, SecretView,
};

use super::change::{ChangeError, SecretChange};
use super::shape::time;
use crate::gateway::objects::{ObjectClient, kube_problem, refuse_other_owner};
use crate::gateway::operation::Input;
use crate::gateway::problem::{Problem, invalid};
use crate::gateway::request::{OperationContext, SecretPath};
use crate::kube::{EventWriter, LeftoverSecret, remove_native_secret};
use crate::secret_labels;

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, DeleteSecretQuery>,
) -> Result<DeleteSecretAnswer, Problem> {
    let Input { path, query: how, .. } = input;
    if how.force && how.recovery_window_days.is_some() {
        return Err(invalid(
            "`force` means no recovery window; give only one of the two",
        ));
    }
    if how
        .recovery_window_days
        .is_some_and(|days| !RECOVERY_WINDOW_DAYS.contains(&days))
    {
        let (min, max) = (*RECOVERY_WINDOW_DAYS.start(), *RECOVERY_WINDOW_DAYS.end());
        return Err(invalid(format!("`recoveryWindowDays` is {min} to {max}")));
    }
    let (change, secret) = SecretChange::for_secret(context, path, Action::DeleteSecret).await?;
    let end = deletion_kind(&change, &secret, how).await;
    // Nobody purges a default secret. In a namespace that keeps nothing its product may delete it all the
    // same.
    let is_products = change.path.default_secret().is_some();
    let change = match end {
        DeletionKind::Window => change,
        DeletionKind::Nothing if is_products => change,
        DeletionKind::Nothing | DeletionKind::Forced => change.also(Action::PurgeSecret).await?,
    };
    let outcome = delete(&change, &secret, how, end).await;
    change.settle(outcome).await
}

/// What becomes of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeletionKind {
    /// A recovery window opens.
    Window,
    /// It is destroyed, because the caller says so.
    Forced,
    /// It is destroyed: it was made in a namespace that keeps nothing, which still does, and the caller asks
    /// for no window.
    Nothing,
}

async fn deletion_kind(change: &SecretChange, secret: &SecretView, how: DeleteSecretQuery) -> DeletionKind {
    if how.force {
        return DeletionKind::Forced;
    }
    let keeps_nothing = secret.recovery == Recovery::Nothing
        && how.recovery_window_days.is_none()
        && secret.state == SecretState::Live
        && change.gateway.namespaces.recovery(change.namespace()).await == Recovery::Nothing;
    if keeps_nothing {
        DeletionKind::Nothing
    } else {
        DeletionKind::Window
    }
}

async fn delete(
    change: &SecretChange,
    secret: &SecretView,
    how: DeleteSecretQuery,
    end: DeletionKind,
) -> Result<DeleteSecretAnswer, ChangeError> {
    if let (SecretState::PendingDeletion { until, .. }, false) = (secret.state, how.force) {
        return Err(Refusal::InRecoveryWindow { until }.into());
    }
    let client = &change.gateway.client;
    let objects = ObjectClient::<ManagedSecret>::new(&change.gateway, change.namespace());
    if let Some(object) = objects.declaring(secret).await? {
        // Whoever keeps the source would make the object again.
        refuse_other_owner(&object, &["spec", "source"])?;
        objects.delete(&object).await?;
    }
    let ours = secret
        .materialized
        .iter()
        .map(|native| (native.name.clone(), native.uid.to_string()));
    // A rename may not have come to its end.
    let former = secret_labels::former_natives(&secret.labels);
    let former = former.map(|(name, uid)| (name.to_owned(), uid.to_owned()));
    for (name, uid) in former.chain(ours) {
        let leftover = LeftoverSecret {
            namespace: change.namespace(),
            name: &name,
            written: WrittenSecret {
                uid: Uid::new(uid),
                secret: secret.id.to_string(),
                versions: secret
                    .versions
                    .iter()
                    .map(|version| version.id.to_string())
                    .collect(),
            },
            object: secret
                .object
                .as_ref()
                .map(|object| (object.name.clone(), object.uid.to_string())),
        };
        remove_native_secret(client, &EventWriter::new(client), &leftover)
            .await
            .map_err(kube_problem)?;
    }
    if secret.materialized.is_some() {
        let command = BindMaterialized {
            secret: secret.id,
            materialized: None,
        };
        // Its own record names the caller as well.
        change.run_beside(command).await?;
    }
    let window_days = match (
        how.force,
        how.recovery_window_days,
        secret_labels::deletion(&secret.labels),
    ) {
        (true, ..) => None,
        (false, Some(days), _) => Some(days),
        (false, None, secret_labels::Deletion::Window(days)) => Some(days),
        // It stays when its object goes; here somebody deletes the secret itself.
        (false, None, secret_labels::Deletion::Retain) => None,
    };
    if end == DeletionKind::Nothing {
        change.run(DestroySecret { secret: secret.id }).await?;
        return Ok(DeleteSecretAnswer { deletion: None });
    }
    if secret.recovery == Recovery::Nothing && !how.force {
        change
            .run_beside(KeepRecoveryWindow { secret: secret.id })
            .await?;
    }
    let command = DeleteSecret {
        secret: secret.id,
        deletion: Deletion {
            window_days,
            force: how.force,
        },
    };
    let deletion = change.run(command).await?.map(time);
    Ok(DeleteSecretAnswer { deletion })
}
