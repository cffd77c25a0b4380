//! Keeps `status.consumers` current: the watch of pods with native Secrets, and a look at the objects whose consumers have changed. Many that change
//! within some seconds, as with every rotation, are one write.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use strongroom_crds::v1alpha1::VersionConsumers;

use super::store::SecretStore;
use super::watches::where_natives_are;
use super::{Ctx, Triggers};
use crate::consumers::News;
use crate::consumers::pods::spec::UsingPod;
use crate::kube_watch::Selection;

/// How often what has changed is looked at.
const STEP: Duration = Duration::from_secs(5);
/// Objects that are looked at in a step. Each look may end in a write, and reads by many callers of many secrets are news of all of them at once: what
/// is left waits for the next steps.
const LOOKS: usize = 250;

/// Watches pods until it is dropped.
pub(super) async fn pods<S: SecretStore>(ctx: Arc<Ctx<S>>) {
    where_natives_are::<UsingPod, S>(&ctx, "Pod", &Selection::whole())
        .for_each(|(scope, event)| {
            let news = ctx.consumers.pods().event(scope.as_deref(), &event);
            ctx.consumers.changed(news);
            std::future::ready(())
        })
        .await;
}

/// Has objects looked at until it is dropped.
pub(super) async fn run<S: SecretStore>(ctx: Arc<Ctx<S>>, triggers: Triggers) {
    let mut complete = false;
    let mut due = Due::default();
    loop {
        tokio::time::sleep(STEP).await;
        if !ctx.consumers.complete() {
            continue;
        }
        for news in due.step(|| ctx.consumers.news()) {
            look(&ctx, &triggers, news).await;
        }
        if !complete {
            complete = true;
            forgotten(&ctx, &triggers);
        }
    }
}

/// What is still to be looked at.
#[derive(Default)]
struct Due(VecDeque<News>);

impl Due {
    /// What this step looks at, at most [`LOOKS`]. Whole batches one after the other, so that nobody's news wait for ever behind others'.
    fn step<N: IntoIterator<Item = News>>(&mut self, news: impl FnOnce() -> N) -> Vec<News> {
        if self.0.is_empty() {
            self.0.extend(news());
        }
        self.0.drain(..LOOKS.min(self.0.len())).collect()
    }
}

async fn look<S: SecretStore>(ctx: &Ctx<S>, triggers: &Triggers, news: News) {
    match news {
        News::Native(namespace, name) => {
            if let Some(owner) = ctx.cluster.owner_of_native(&namespace, &name) {
                triggers.managed_secret(&namespace, &owner);
            }
        }
        News::Secret(namespace, secret) => match ctx.store.describe(secret).await {
            Ok(view) => {
                if let Some(object) = view.and_then(|view| view.object) {
                    triggers.managed_secret(&namespace, &object.name);
                }
            }
            // The next change, or the sweep, looks again.
            Err(error) => tracing::warn!(%secret, %error, "cannot find whose consumers changed"),
        },
        // They were made those of its secrets when they came.
        News::Pod(..) => {}
    }
}

/// Those whose status counts consumers of the process before this one.
fn forgotten<S: SecretStore>(ctx: &Ctx<S>, triggers: &Triggers) {
    #[derive(serde::Deserialize)]
    struct Only {
        #[serde(default)]
        consumers: Vec<VersionConsumers>,
    }
    let counts = |object: &super::Kept<super::ManagedSecret>| {
        object
            .status::<Only>()
            .is_some_and(|status| !status.consumers.is_empty())
    };
    for object in ctx.managed_secrets.state_filter(counts) {
        triggers.managed_secret(&object.namespace().unwrap_or_default(), &object.name_any());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(names: std::ops::Range<usize>) -> Vec<News> {
        let name = |number| News::Native("shop".to_owned(), format!("secret-{number}"));
        names.map(name).collect()
    }

    #[test]
    fn a_step_looks_at_so_many_and_a_batch_ends_before_the_next_begins() {
        let mut due = Due::default();
        assert_eq!(due.step(|| news(0..3)), news(0..3));
        assert_eq!(due.step(|| news(0..0)), []);
        let many = 2 * LOOKS + 1;
        assert_eq!(due.step(|| news(0..many)), news(0..LOOKS));
        // What changes meanwhile is gathered by those who tell it.
        let unasked = || -> Vec<News> { panic!("the batch is not at its end") };
        assert_eq!(due.step(unasked), news(LOOKS..2 * LOOKS));
        assert_eq!(due.step(unasked), news(2 * LOOKS..many));
        assert_eq!(due.step(|| news(5..6)), news(5..6));
    }
}
