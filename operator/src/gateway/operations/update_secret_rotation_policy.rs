//! UpdateSecretRotationPolicy: `PUT /v1/namespaces/{namespace}/secrets/{name}/rotation`: a RotationSchedule
//! of the secret's own, named as its ManagedSecret is. A schedule of somebody else's that names the secret is
//! left alone.

use kube::ResourceExt;
use kube::core::ObjectMeta;
use strongroom_api::v1::RotationPolicy;
use strongroom_crds::v1alpha1::{
    ManagedSecret, RotationSchedule, RotationScheduleSpec, Schedule, ScheduledSecrets,
};
use strongroom_rules::policy::Action;
use strongroom_rules::rotation::RotationRefusal;
use strongroom_store::vault::SecretView;

use super::change::{ChangeError, SecretChange};
use crate::gateway::objects::{ObjectClient, managed_elsewhere, refuse_other_owner};
use crate::gateway::operation::{Input, NoQuery};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::{OperationContext, SecretPath};
use crate::rotation::{default_rotator, find_rotator};

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, NoQuery, RotationPolicy>,
) -> Result<RotationPolicy, Problem> {
    let Input { path, body, .. } = input;
    let action = Action::UpdateSecretRotationPolicy;
    let (change, secret) = SecretChange::for_secret(context, path, action).await?;
    let outcome = update(&change, &secret, body).await;
    change.settle(outcome).await
}

async fn update(
    change: &SecretChange,
    secret: &SecretView,
    policy: RotationPolicy,
) -> Result<RotationPolicy, ChangeError> {
    let (gateway, namespace) = (&change.gateway, change.namespace());
    let object = ObjectClient::<ManagedSecret>::new(gateway, namespace)
        .declaring(secret)
        .await?;
    let object = object.ok_or_else(|| {
        let why = "no ManagedSecret declares the secret, so no value can be generated";
        Problem::new(Code::NotRotatable, why)
    })?;
    // What is to rotate nothing may stand beside an immutable Secret.
    let harmless =
        |refusal: &RotationRefusal| !policy.enabled && matches!(refusal, RotationRefusal::Immutable { .. });
    if let Some(refusal) = RotationRefusal::for_spec(&object.spec).filter(|refusal| !harmless(refusal)) {
        return Err(Problem::new(Code::NotRotatable, refusal.to_string()).into());
    }
    let name = object.name_any();
    let schedules = ObjectClient::<RotationSchedule>::new(gateway, namespace);
    let all = schedules
        .list_filtered(|schedule| {
            let own = schedule.name_any() == name;
            (own || schedule.spec.secrets.names(&name)).then(|| if own { schedule } else { short(schedule) })
        })
        .await?;
    if let Some(other) = all.iter().find(|schedule| schedule.name_any() != name) {
        let why = "it also names the secret, and two schedules for one secret rotate nothing";
        return Err(managed_elsewhere("RotationSchedule", &other.name_any(), why).into());
    }
    let secrets = ScheduledSecrets {
        names: Some(vec![name.clone()]),
        selector: None,
    };
    let before = all.iter().find(|schedule| schedule.name_any() == name);
    if let Some(before) = before {
        refuse_other_owner(before, &["spec", "schedule"])?;
        if before.spec.secrets != secrets {
            let why = "it rotates more than this secret";
            return Err(managed_elsewhere("RotationSchedule", &name, why).into());
        }
    }
    let every = policy
        .every
        .or_else(|| before.and_then(|schedule| schedule.spec.schedule.every))
        .ok_or_else(|| invalid("`every` is required: the secret has no schedule with an interval yet"))?;
    let spec = RotationScheduleSpec {
        secrets,
        schedule: Schedule {
            every: Some(every),
            ..Schedule::default()
        },
        window: None,
        jitter: None,
        rotator: before.map_or_else(default_rotator, |schedule| {
            find_rotator(Some(&schedule.spec.rotator)).applied()
        }),
        suspend: Some(!policy.enabled),
    };
    schedules.apply(&RotationSchedule::new(&name, spec)).await?;
    let detail = if policy.enabled {
        format!("rotation every {every}")
    } else {
        "rotation suspended".to_owned()
    };
    change.note(&detail).await?;
    Ok(RotationPolicy {
        every: Some(every),
        ..policy
    })
}

/// A schedule of which only the name counts.
fn short(mut schedule: RotationSchedule) -> RotationSchedule {
    schedule.spec.secrets = ScheduledSecrets::default();
    schedule.metadata = ObjectMeta {
        name: schedule.metadata.name,
        ..ObjectMeta::default()
    };
    schedule.status = None;
    schedule
}
