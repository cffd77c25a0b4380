//! Channels by which events elsewhere have an object reconciled.

use futures::channel::mpsc::UnboundedSender;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use strongroom_crds::v1alpha1::{ManagedSecret, RotationSchedule};

use super::Ctx;
use super::cached_object::CachedObject;

/// Where other events put the objects that have to be looked at.
#[derive(Clone, Debug)]
pub(super) struct Triggers {
    pub(super) managed_secrets: UnboundedSender<ObjectRef<CachedObject<ManagedSecret>>>,
    pub(super) schedules: UnboundedSender<ObjectRef<CachedObject<RotationSchedule>>>,
}

impl Triggers {
    /// Has a ManagedSecret looked at. A closed channel means that the process ends.
    pub(super) fn managed_secret(&self, namespace: &str, name: &str) {
        let _ = self
            .managed_secrets
            .unbounded_send(ObjectRef::new(name).within(namespace));
    }

    /// Has a RotationSchedule looked at.
    pub(super) fn schedule(&self, namespace: &str, name: &str) {
        let _ = self
            .schedules
            .unbounded_send(ObjectRef::new(name).within(namespace));
    }

    /// Has every `ManagedSecret` and every `RotationSchedule` of a namespace looked at.
    pub(super) fn namespace(&self, ctx: &Ctx, namespace: &str) {
        for object in ctx
            .managed_secrets
            .state_filter(|object| object.namespace().as_deref() == Some(namespace))
        {
            self.managed_secret(namespace, &object.name_any());
        }
        for schedule in ctx.coverage.schedules(namespace) {
            self.schedule(namespace, &schedule.name_any());
        }
    }
}
