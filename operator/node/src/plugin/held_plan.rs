//! The rendered files of a volume, in memory until they are written. Only a few exist at the same time:
//! otherwise many pods that start together would have theirs rendered and waiting, and the kernel would kill
//! the plugin for its memory.

use std::sync::Arc;

use strongroom_render::plan::Plan;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Plans in memory at the same time, at most; each is as large as its volume may become.
const MAX_HELD_PLANS: usize = 4;

/// A plan with its room in memory, which it gives back when it is dropped.
#[derive(Debug)]
pub(super) struct HeldPlan {
    pub(super) plan: Plan,
    /// None: it takes no room worth counting.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// The room for plans; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct PlanRoom(Arc<Semaphore>);

impl Default for PlanRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_HELD_PLANS)))
    }
}

impl PlanRoom {
    /// Waits for room, then makes a plan, all on this thread, which is one of the pool for such work.
    ///
    /// INVARIANT: whoever waits here waits for plans that threads write which are none of the pool.
    pub(super) fn hold<E>(
        &self,
        runtime: &Handle,
        make: impl FnOnce() -> Result<Plan, E>,
    ) -> Result<HeldPlan, E> {
        // Nobody closes it, so that there always is one.
        let room = runtime.block_on(Arc::clone(&self.0).acquire_owned()).ok();
        make().map(|plan| HeldPlan { plan, room })
    }
}

impl From<Plan> for HeldPlan {
    fn from(plan: Plan) -> Self {
        Self { plan, room: None }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn empty() -> Result<Plan, ()> {
        Ok(Plan {
            files: BTreeMap::new(),
            version_file: String::new(),
        })
    }

    #[test]
    fn one_plan_too_many_is_made_when_another_one_is_gone() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let room = PlanRoom::default();
        let hold = || room.hold(runtime.handle(), empty).unwrap();
        let mut held: Vec<HeldPlan> = (0..MAX_HELD_PLANS).map(|_| hold()).collect();
        let (sender, made) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let one_more = room.hold(runtime.handle(), || {
                    sender.send(()).unwrap();
                    empty()
                });
                assert!(one_more.unwrap().room.is_some());
            });
            assert!(made.recv_timeout(Duration::from_millis(50)).is_err());
            held.pop();
            made.recv_timeout(Duration::from_secs(60)).unwrap();
        });
        // One that fails keeps none.
        drop(held);
        for _ in 0..=MAX_HELD_PLANS {
            room.hold(runtime.handle(), || Err::<Plan, ()>(())).unwrap_err();
        }
    }
}
