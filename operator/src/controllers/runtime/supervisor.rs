//! Tasks by name: where one ends that should go on, the log says which and how, and the others end with it.

use std::collections::HashMap;
use std::fmt;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

/// The tasks that run together.
#[derive(Debug, Default)]
pub(in crate::controllers) struct Supervisor {
    tasks: JoinSet<()>,
    running: HashMap<Id, SupervisedTask>,
}

#[derive(Clone, Copy, Debug)]
struct SupervisedTask {
    name: &'static str,
    role: TaskRole,
}

/// What the end of the process means for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TaskRole {
    /// It finishes what is under way and ends.
    Work,
    /// It only feeds the work, and is dropped when that has ended.
    Feed,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TaskEnd {
    Returned,
    Panicked,
    Cancelled,
}

impl fmt::Display for TaskEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Returned => "ended before the process does",
            Self::Panicked => "panicked",
            Self::Cancelled => "was cancelled",
        })
    }
}

/// A task that should go on has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task `{task}` of the controllers {end}")]
pub(crate) struct TaskFailure {
    task: &'static str,
    end: TaskEnd,
}

impl Supervisor {
    /// Starts a task that ends by itself when the process is to end, and is waited for.
    pub(in crate::controllers) fn work(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn(name, TaskRole::Work, task);
    }

    /// Starts a task that runs for as long as there is work.
    pub(in crate::controllers) fn feed(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn(name, TaskRole::Feed, task);
    }

    fn spawn(&mut self, name: &'static str, role: TaskRole, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.running.insert(id, SupervisedTask { name, role });
    }

    /// Waits until the work has ended after `stop` turned true, and ends the rest.
    ///
    /// # Errors
    /// [`TaskFailure`]: a task panicked, or ended although nobody stopped it.
    pub(in crate::controllers) async fn run(
        mut self,
        stop: watch::Receiver<bool>,
    ) -> Result<(), TaskFailure> {
        let outcome = self.first_failure(&stop).await;
        self.tasks.shutdown().await;
        outcome
    }

    async fn first_failure(&mut self, stop: &watch::Receiver<bool>) -> Result<(), TaskFailure> {
        while self.running.values().any(|task| task.role == TaskRole::Work) {
            let Some(ended) = self.tasks.join_next_with_id().await else {
                break;
            };
            let (id, end) = match ended {
                Ok((id, ())) => (id, TaskEnd::Returned),
                Err(error) if error.is_panic() => (error.id(), TaskEnd::Panicked),
                Err(error) => (error.id(), TaskEnd::Cancelled),
            };
            let Some(task) = self.running.remove(&id) else {
                continue;
            };
            if end == TaskEnd::Returned && is_stopped(stop) {
                tracing::debug!(task = task.name, "task ended");
                continue;
            }
            tracing::error!(task = task.name, %end, "task failed");
            return Err(TaskFailure { task: task.name, end });
        }
        Ok(())
    }
}

/// Whether `stop` turned true, or its sender is gone: then nobody can stop us any more, because the process
/// ends.
fn is_stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// Ends when the tasks have to.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    async fn for_ever() {
        std::future::pending::<()>().await;
    }

    async fn panics() {
        panic!("as told to")
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_finished_after_a_stop_and_what_feeds_it_is_dropped() {
        let (stop, stopping) = watch::channel(false);
        let finished = Arc::new(AtomicBool::new(false));
        let mut tasks = Supervisor::default();
        let (told, done) = (stopping.clone(), Arc::clone(&finished));
        tasks.work("queue", async move {
            stopped(told).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            done.store(true, Ordering::SeqCst);
        });
        tasks.feed("watches", for_ever());
        // What ends with the stop, before the work has, holds up nothing.
        tasks.feed("resync", stopped(stopping.clone()));
        let running = tokio::spawn(tasks.run(stopping));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!running.is_finished());
        stop.send(true).unwrap();
        assert_eq!(running.await.unwrap(), Ok(()));
        assert!(finished.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_task_that_ends_too_early_is_named_and_ends_all() {
        async fn end_of(task: impl Future<Output = ()> + Send + 'static) -> Result<(), TaskFailure> {
            let (_stop, stopping) = watch::channel(false);
            let mut tasks = Supervisor::default();
            tasks.work("queue", for_ever());
            tasks.feed("resync", task);
            tasks.run(stopping).await
        }
        let failed = |end| -> Result<(), TaskFailure> { Err(TaskFailure { task: "resync", end }) };
        assert_eq!(end_of(async {}).await, failed(TaskEnd::Returned));
        assert_eq!(end_of(panics()).await, failed(TaskEnd::Panicked));
        let failure = end_of(async {}).await.unwrap_err();
        assert_eq!(
            failure.to_string(),
            "task `resync` of the controllers ended before the process does"
        );
    }

    #[tokio::test]
    async fn a_panic_is_told_also_while_the_process_ends() {
        let (stop, stopping) = watch::channel(true);
        let mut tasks = Supervisor::default();
        tasks.work("queue", panics());
        let end = TaskEnd::Panicked;
        assert_eq!(tasks.run(stopping).await, Err(TaskFailure { task: "queue", end }));
        drop(stop);
    }
}
