//! CPU-bound work: keys are generated and documents rendered on separate threads, so that it delays no
//! request, and the namespaces that it is for take turns. Must not know what the work is.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use crate::MetricRegistry;
use crate::priority::lower_thread_priority;

/// Threads at least, so that one namespace never has all of them.
const MIN_THREADS: usize = 2;
type Job = Box<dyn FnOnce() + Send>;

/// Work came to nothing: it broke, no thread can be started, or the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was not finished; it is tried again")]
pub struct WorkError;

/// The threads and what waits for them; cheap to clone. They end with the last clone.
#[derive(Clone, Debug)]
pub struct WorkPool(Arc<Owner>);

impl WorkPool {
    /// A pool for the processors of this process, whose metrics are in the registry.
    #[must_use]
    pub fn by_processors(registry: &mut MetricRegistry) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self::new(threads, WorkMetrics::register(registry))
    }

    /// A pool with this many threads, and at least two. They are started when there is work for them.
    #[must_use]
    pub fn with_threads(threads: usize) -> Self {
        Self::new(threads, WorkMetrics::default())
    }

    fn new(threads: usize, numbers: WorkMetrics) -> Self {
        let threads = threads.max(MIN_THREADS);
        let queue = Queue {
            threads,
            share: threads.div_ceil(2),
            ..Queue::default()
        };
        Self(Arc::new(Owner(Arc::new(Shared {
            queue: Mutex::new(queue),
            news: Condvar::new(),
            numbers,
        }))))
    }

    /// Does `work` for a namespace in its turn. At most half of the threads work for one namespace. Work
    /// whose future is dropped before its turn is not done.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn run<T: Send + 'static>(
        &self,
        namespace: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            if !answer.is_closed() {
                // Nobody may wait any more by then.
                let _ = answer.send(work());
            }
        };
        Shared::enter(&self.0.0, namespace, Box::new(job))?;
        answered.await.map_err(|_| WorkError)
    }
}

/// Ends the threads when it is dropped.
#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.queue.lock().closed = true;
        self.0.news.notify_all();
    }
}

crate::metrics! {
    /// What is counted of the work.
    struct WorkMetrics {
        /// Jobs of key generation and rendering that wait for a thread.
        waiting: Gauge = "work_waiting",
        /// Jobs of key generation and rendering under way.
        running: Gauge = "work_running",
        /// Jobs of key generation and rendering that are done.
        done: Counter = "work",
    }
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    news: Condvar,
    numbers: WorkMetrics,
}

impl Shared {
    fn enter(shared: &Arc<Self>, namespace: &str, job: Job) -> Result<(), WorkError> {
        let mut queue = shared.queue.lock();
        // One that idles may have been woken for other work already.
        if queue.started < queue.threads && queue.idle <= queue.jobs {
            let own = Arc::clone(shared);
            let thread = thread::Builder::new().name("work".to_owned());
            let started = thread.spawn(move || own.work());
            match started {
                Ok(_) => queue.started = queue.started.saturating_add(1),
                Err(error) if queue.started == 0 => {
                    tracing::warn!(%error, "worker thread start failed");
                    return Err(WorkError);
                }
                // Those that there are do it.
                Err(_) => {}
            }
        }
        queue.enter(namespace, job);
        shared.numbers.waiting.inc();
        drop(queue);
        shared.news.notify_one();
        Ok(())
    }

    /// What each thread does.
    fn work(&self) {
        lower_thread_priority();
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return;
            }
            let Some((namespace, job)) = queue.next() else {
                queue.idle = queue.idle.saturating_add(1);
                self.news.wait(&mut queue);
                queue.idle = queue.idle.saturating_sub(1);
                continue;
            };
            drop(queue);
            self.numbers.waiting.dec();
            self.numbers.running.inc();
            // Whoever waits is told by the end of the channel.
            let _ = catch_unwind(AssertUnwindSafe(job));
            self.numbers.running.dec();
            self.numbers.done.inc();
            queue = self.queue.lock();
            queue.done(&namespace);
            // Work of the same namespace may have been kept back for this.
            self.news.notify_one();
        }
    }
}

#[derive(Default)]
struct Queue {
    threads: usize,
    started: usize,
    idle: usize,
    /// Work that waits.
    jobs: usize,
    /// Most threads that work for one namespace.
    share: usize,
    closed: bool,
    /// Namespaces with work that waits, each once: the next is first.
    turns: VecDeque<Arc<str>>,
    waiting: HashMap<Arc<str>, VecDeque<Job>>,
    running: HashMap<Arc<str>, usize>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Queue {
    fn enter(&mut self, namespace: &str, job: Job) {
        self.jobs = self.jobs.saturating_add(1);
        if let Some(jobs) = self.waiting.get_mut(namespace) {
            jobs.push_back(job);
            return;
        }
        let namespace: Arc<str> = namespace.into();
        self.turns.push_back(Arc::clone(&namespace));
        self.waiting.insert(namespace, VecDeque::from([job]));
    }

    /// The next work of the first namespace that has not its share of the threads; that namespace goes to the
    /// end.
    fn next(&mut self) -> Option<(Arc<str>, Job)> {
        let at = self.turns.iter().position(|namespace| {
            self.running
                .get(namespace)
                .is_none_or(|running| *running < self.share)
        })?;
        let namespace = self.turns.remove(at)?;
        let jobs = self.waiting.get_mut(&namespace)?;
        let job = jobs.pop_front();
        self.jobs = self.jobs.saturating_sub(1);
        if jobs.is_empty() {
            self.waiting.remove(&namespace);
        } else {
            self.turns.push_back(Arc::clone(&namespace));
        }
        let running = self.running.entry(Arc::clone(&namespace)).or_default();
        *running = running.saturating_add(1);
        job.map(|job| (namespace, job))
    }

    fn done(&mut self, namespace: &str) {
        if let Some(running) = self.running.get_mut(namespace) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// How long anything may take: far more than it does.
    const DEADLINE: Duration = Duration::from_secs(20);

    /// Work that goes on until it is let go, and tells its name when it begins.
    struct BlockedPool {
        begun: mpsc::Receiver<&'static str>,
        tell: mpsc::Sender<&'static str>,
        gates: Vec<mpsc::Sender<()>>,
        running: tokio::task::JoinSet<Result<(), WorkError>>,
    }

    impl BlockedPool {
        fn new() -> Self {
            let (tell, begun) = mpsc::channel();
            Self {
                begun,
                tell,
                gates: Vec::new(),
                running: tokio::task::JoinSet::new(),
            }
        }

        fn begin(&mut self, pool: &WorkPool, namespace: &'static str) {
            let (gate, opened) = mpsc::channel::<()>();
            let (pool, tell) = (pool.clone(), self.tell.clone());
            self.gates.push(gate);
            self.running.spawn(async move {
                let work = move || {
                    tell.send(namespace).unwrap();
                    let _ = opened.recv();
                };
                pool.run(namespace, work).await
            });
        }

        fn next(&self) -> &'static str {
            self.begun.recv_timeout(DEADLINE).unwrap()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_namespace_with_much_work_leaves_threads_for_others() {
        let pool = WorkPool::with_threads(4);
        let mut held = BlockedPool::new();
        for _ in 0..300 {
            held.begin(&pool, "much");
        }
        assert_eq!([held.next(), held.next()], ["much", "much"]);
        // Nothing of `much` ends, and its other work waits; that of others is done at once.
        for round in 0..50 {
            let done = tokio::time::timeout(DEADLINE, pool.run("little", move || round)).await;
            assert_eq!(done.unwrap(), Ok(round));
        }
        assert!(held.begun.try_recv().is_err(), "more than its share");
        held.gates.clear();
        while let Some(done) = held.running.join_next().await {
            assert_eq!(done.unwrap(), Ok(()));
        }
    }

    #[test]
    fn namespaces_take_turns() {
        let mut queue = Queue {
            share: 2,
            ..Queue::default()
        };
        for namespace in ["a", "a", "a", "b", "a", "c"] {
            queue.enter(namespace, Box::new(|| {}));
        }
        let mut taken = Vec::new();
        while let Some((namespace, _)) = queue.next() {
            taken.push(namespace.to_string());
        }
        assert_eq!(taken, ["a", "b", "c", "a"], "the share of `a` is two");
        queue.done("a");
        assert_eq!(&*queue.next().unwrap().0, "a");
        assert!(queue.next().is_none());
        queue.done("a");
        queue.done("a");
        assert_eq!(&*queue.next().unwrap().0, "a");
        assert!(queue.turns.is_empty() && queue.waiting.is_empty());
    }

    #[tokio::test]
    async fn work_that_breaks_is_told_and_the_thread_goes_on() {
        let pool = WorkPool::with_threads(1);
        for _ in 0..5 {
            assert_eq!(pool.run("a", || panic!("broken")).await, Err::<(), _>(WorkError));
        }
        assert_eq!(pool.run("a", || 7).await, Ok(7));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_nobody_waits_for_is_not_done() {
        let pool = WorkPool::with_threads(2);
        let mut held = BlockedPool::new();
        held.begin(&pool, "a");
        held.next();
        let (tell, told) = mpsc::channel();
        let waiting = pool.run("a", move || tell.send(()).unwrap());
        let gone = tokio::time::timeout(Duration::ZERO, waiting).await;
        assert!(gone.is_err());
        held.gates.clear();
        assert_eq!(pool.run("a", || 1).await, Ok(1));
        assert!(told.recv_timeout(DEADLINE).is_err(), "it went with its queue");
    }

    #[tokio::test]
    async fn one_thread_of_a_runtime_goes_on_beside_it() {
        let pool = WorkPool::with_threads(2);
        let mut held = BlockedPool::new();
        held.begin(&pool, "a");
        // The test's runtime has one thread, and it is not the one that works.
        while held.begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        let beats = async {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, beats).await.unwrap();
        held.gates.clear();
        assert_eq!(held.running.join_next().await.unwrap().unwrap(), Ok(()));
    }
}
