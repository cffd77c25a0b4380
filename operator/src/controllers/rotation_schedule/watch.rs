//! The watch of `RotationSchedule`s, and what each event sets in motion; nothing is decided here.

use std::sync::Arc;

use futures::Stream;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, store::Writer};
use strongroom_crds::v1alpha1::RotationSchedule;

use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::controllers::runtime::watch::{KindChange, cached, is_in};
use crate::controllers::triggers::Triggers;

/// The `RotationSchedule`s, kept in `writer`; the answer is what has to be looked at.
pub(in crate::controllers) fn schedules(
    ctx: Arc<Ctx>,
    writer: Writer<CachedObject<RotationSchedule>>,
    triggers: Triggers,
) -> impl Stream<Item = ObjectRef<CachedObject<RotationSchedule>>> + Send {
    let (following, again) = (Arc::clone(&ctx), triggers.clone());
    cached(
        ctx,
        |ctx| &ctx.left_out.schedules,
        writer,
        move |namespace, name| again.schedule(namespace, name),
        move |change| {
            follow(&following, &triggers, change);
            true
        },
    )
}

/// What follows from a change.
fn follow(ctx: &Ctx, triggers: &Triggers, change: KindChange<'_, RotationSchedule>) {
    match change {
        KindChange::Applied { kept, listed, .. } => {
            let news = seen_schedule(ctx, kept);
            if news && !listed {
                triggers.namespace(ctx, &kept.namespace().unwrap_or_default());
            }
        }
        KindChange::Deleted(object) => {
            let namespace = object.namespace().unwrap_or_default();
            ctx.coverage.lost_schedule(&namespace, &object.name_any());
            ctx.metrics.rotates(&namespace, &object.name_any(), None);
            triggers.namespace(ctx, &namespace);
        }
        KindChange::Cached { .. } => {}
        KindChange::Listed(cache) => {
            let is_there = is_in(cache);
            ctx.coverage.keep_schedules(is_there);
            ctx.metrics.keep_rotations(is_there);
            ctx.left_out.schedules.listed(is_there);
            for object in ctx.managed_secrets.state() {
                let namespace = object.namespace().unwrap_or_default();
                if !ctx.coverage.schedules(&namespace).is_empty() {
                    triggers.managed_secret(&namespace, &object.name_any());
                }
            }
        }
    }
}

/// Remembers a schedule. True when it differs from what is remembered in more than its status.
fn seen_schedule(ctx: &Ctx, kept: &CachedObject<RotationSchedule>) -> bool {
    let (namespace, name) = (kept.namespace().unwrap_or_default(), kept.name_any());
    let Ok(mut schedule) = kept.parse() else {
        // What cannot be read rotates nothing; its own status says why.
        ctx.coverage.lost_schedule(&namespace, &name);
        return true;
    };
    schedule.status = None;
    let known = ctx
        .coverage
        .schedules(&namespace)
        .into_iter()
        .find(|known| known.name_any() == name);
    let same = known.is_some_and(|known| {
        known.spec == schedule.spec
            && known.uid() == schedule.uid()
            && known.annotations() == schedule.annotations()
    });
    if !same {
        ctx.coverage.saw_schedule(&namespace, Arc::new(schedule));
    }
    !same
}
