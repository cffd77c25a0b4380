//! Keeps `status.consumers` current: the watch of pods with native Secrets, and a look at the objects whose
//! consumers have changed. Many that change within some seconds, as with every rotation, are one write.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_crds::view::CountedConsumers;

use super::Ctx;
use super::cached_object::CachedObject;
use super::cluster_watch::native_namespace_changes;
use super::triggers::Triggers;
use crate::consumers::ConsumerChange;
use crate::consumers::pods::spec::PartialPod;
use crate::kube::watch::Selection;

/// How often what has changed is looked at.
const STEP_INTERVAL: Duration = Duration::from_secs(5);
/// How many objects one step handles. Each may need a write, and many callers that read many secrets change
/// all of them at once: the rest waits for the next steps.
const LOOKS_PER_STEP: usize = 250;

/// Watches pods until it is dropped.
pub(super) async fn pods(ctx: Arc<Ctx>) {
    native_namespace_changes::<PartialPod>(&ctx, "Pod", &Selection::whole())
        .for_each(|(scope, change)| {
            let news = ctx.consumers.pods().change(scope.as_deref(), &change);
            ctx.consumers.changed(news);
            std::future::ready(())
        })
        .await;
}

/// Has objects looked at until it is dropped.
pub(super) async fn run(ctx: Arc<Ctx>, triggers: Triggers) {
    let mut complete = false;
    let mut due = Due::default();
    loop {
        tokio::time::sleep(STEP_INTERVAL).await;
        if !ctx.consumers.complete() {
            continue;
        }
        for news in due.step(|| ctx.consumers.take_changes()) {
            update_status(&ctx, &triggers, news).await;
        }
        if !complete {
            complete = true;
            forgotten(&ctx, &triggers);
        }
    }
}

/// What is still to be looked at.
#[derive(Default)]
struct Due(VecDeque<ConsumerChange>);

impl Due {
    /// What this step looks at, at most [`LOOKS_PER_STEP`]. Batches are handled as a whole, one after the
    /// other, so that no change waits for ever behind others.
    fn step<N: IntoIterator<Item = ConsumerChange>>(
        &mut self,
        news: impl FnOnce() -> N,
    ) -> Vec<ConsumerChange> {
        if self.0.is_empty() {
            self.0.extend(news());
        }
        self.0.drain(..LOOKS_PER_STEP.min(self.0.len())).collect()
    }
}

async fn update_status(ctx: &Ctx, triggers: &Triggers, news: ConsumerChange) {
    match news {
        ConsumerChange::Native(namespace, name) => {
            if let Some(owner) = ctx.cluster.owner_of_native(&namespace, &name) {
                triggers.managed_secret(&namespace, &owner);
            }
        }
        ConsumerChange::Secret(namespace, secret) => match ctx.store.describe(secret).await {
            Ok(view) => {
                if let Some(object) = view.and_then(|view| view.object) {
                    triggers.managed_secret(&namespace, &object.name);
                }
            }
            // The next change, or the resync, looks again.
            Err(error) => tracing::warn!(%secret, %error, "consumer lookup failed"),
        },
        // They were made those of its secrets when they came.
        ConsumerChange::Pod(..) => {}
    }
}

/// Those whose status counts consumers of the process before this one.
fn forgotten(ctx: &Ctx, triggers: &Triggers) {
    let counts = |object: &CachedObject<ManagedSecret>| {
        object
            .status::<CountedConsumers>()
            .is_some_and(|status| !status.consumers.is_empty())
    };
    for object in ctx.managed_secrets.state_filter(counts) {
        triggers.managed_secret(&object.namespace().unwrap_or_default(), &object.name_any());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(names: std::ops::Range<usize>) -> Vec<ConsumerChange> {
        let name = |number| ConsumerChange::Native("shop".to_owned(), format!("secret-{number}"));
        names.map(name).collect()
    }

    #[test]
    fn a_step_looks_at_so_many_and_a_batch_ends_before_the_next_begins() {
        let mut due = Due::default();
        assert_eq!(due.step(|| news(0..3)), news(0..3));
        assert_eq!(due.step(|| news(0..0)), []);
        let many = 2 * LOOKS_PER_STEP + 1;
        assert_eq!(due.step(|| news(0..many)), news(0..LOOKS_PER_STEP));
        // What changes meanwhile is gathered by those who tell it.
        let unasked = || -> Vec<ConsumerChange> { panic!("the batch is not at its end") };
        assert_eq!(due.step(unasked), news(LOOKS_PER_STEP..2 * LOOKS_PER_STEP));
        assert_eq!(due.step(unasked), news(2 * LOOKS_PER_STEP..many));
        assert_eq!(due.step(|| news(5..6)), news(5..6));
    }
}
