//! Reconciles every `ManagedSecret` from time to time without an event: a change that no watch reported is
//! found after [`PERIOD`] at the latest.
//!
//! The UID decides when in the period an object has its turn, so they are spread evenly even if they were
//! created together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use kube::{Resource, ResourceExt};
use strongroom_crds::v1alpha1::ManagedSecret;

use super::Ctx;
use super::cached_object::CachedObject;
use super::triggers::Triggers;

/// How often some have their turn.
const STEP_INTERVAL: Duration = Duration::from_secs(60);
/// Turns in a round.
const STEPS: u64 = 360;
/// How long a round takes.
pub(super) const PERIOD: Duration = Duration::from_secs(STEP_INTERVAL.as_secs() * STEPS);

/// Runs until it is dropped.
pub(super) async fn run(ctx: Arc<Ctx>, triggers: Triggers) {
    for step in 0_u64.. {
        tokio::time::sleep(STEP_INTERVAL).await;
        let due = |object: &CachedObject<ManagedSecret>| {
            object
                .meta()
                .uid
                .as_deref()
                .is_some_and(|uid| step_of(uid) == step % STEPS)
        };
        for object in ctx.managed_secrets.state_filter(due) {
            triggers.managed_secret(&object.namespace().unwrap_or_default(), &object.name_any());
        }
    }
}

/// The turn of an object.
fn step_of(uid: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    hasher.finish() % STEPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread() {
        let mut counts = vec![0; usize::try_from(STEPS).unwrap()];
        for number in 0..36_000 {
            counts[usize::try_from(step_of(&format!("uid-{number}"))).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
    }
}
