//! The processor, by turns of addresses: connections and their requests run on an executor that polls next a
//! task of whichever address has used the least. An address with a thousand requests gets the time that is
//! left, and a single request from another address waits only for the poll in progress, not for the thousand.
//!
//! Tokio polls in the order in which tasks become ready, whoever they are for. Its workers stay in charge of
//! timers, sockets and everything else: a few tasks of the runtime, the runners, poll ours. Must not know
//! what a task does.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_task::Runnable;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::task::coop::has_budget_remaining;

/// How far an address that was away comes before those that were not: a request takes several polls, and less
/// than this in all.
const NEWCOMER_ADVANCE: Duration = Duration::from_millis(2);
/// After how long a runner lets the other tasks of the runtime go first.
const BATCH_TIME: Duration = Duration::from_micros(100);
/// Addresses that are remembered without need before they are looked through.
const MAX_IDLE_ADDRESSES: usize = 1_024;
/// Addresses whose queues stay once nobody waits, and tasks that such a queue has room for: a port that is
/// quiet most of the time does not make them anew for each poll.
const KEPT_QUEUES: usize = 16;
const KEPT_QUEUE_TASKS: usize = 64;

/// The executor of one port. Its tasks are not polled any more once it is dropped.
#[derive(Debug)]
pub(super) struct FairExecutor {
    shared: Arc<ExecutorState>,
    _runners: JoinSet<()>,
}

/// Spawns tasks at the expense of an address.
#[derive(Clone, Debug)]
pub(super) struct AddressExecutor {
    shared: Arc<ExecutorState>,
    address: IpAddr,
}

#[derive(Debug, Default)]
struct ExecutorState {
    queue: Mutex<Queue<Runnable>>,
    ready: Notify,
}

impl FairExecutor {
    /// Starts as many runners as the runtime has workers. Must be called on a runtime.
    pub(super) fn start() -> Self {
        let shared = Arc::<ExecutorState>::default();
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        let mut runners = JoinSet::new();
        for _ in 0..workers {
            runners.spawn(run(Arc::clone(&shared)));
        }
        Self {
            shared,
            _runners: runners,
        }
    }

    /// For tasks of this address.
    pub(super) fn for_address(&self, address: IpAddr) -> AddressExecutor {
        AddressExecutor {
            shared: Arc::clone(&self.shared),
            address,
        }
    }
}

impl AddressExecutor {
    /// Runs a future to its end.
    pub(super) fn spawn(&self, future: impl Future<Output: Send + 'static> + Send + 'static) {
        let (shared, address) = (Arc::clone(&self.shared), self.address);
        let schedule = move |task| shared.arrives(address, task);
        let (task, handle) = async_task::spawn(future, schedule);
        handle.detach();
        task.schedule();
    }
}

impl<F> hyper::rt::Executor<F> for AddressExecutor
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}

impl ExecutorState {
    fn arrives(&self, address: IpAddr, task: Runnable) {
        self.queue.lock().arrives(address, task);
        self.ready.notify_one();
    }
}

/// Whether a runner that has polled for so long goes on before the other tasks of the runtime.
fn has_time(polled: Duration) -> bool {
    polled < BATCH_TIME
}

/// Polls what is ready, one after the other.
async fn run(shared: Arc<ExecutorState>) {
    loop {
        let begin = Instant::now();
        let mut before = begin;
        // A task that is polled without budget does nothing.
        while has_time(before.duration_since(begin)) && has_budget_remaining() {
            let (next, more) = {
                let mut queue = shared.queue.lock();
                (queue.next(), !queue.order.is_empty())
            };
            let Some((address, task)) = next else {
                shared.ready.notified().await;
                before = Instant::now();
                continue;
            };
            if more {
                // Several may have become ready while one runner was told.
                shared.ready.notify_one();
            }
            // As for a task of the runtime: who panics ends alone.
            let _ = catch_unwind(AssertUnwindSafe(|| task.run()));
            let now = Instant::now();
            shared.queue.lock().ran(address, now.duration_since(before));
            before = now;
        }
        tokio::task::yield_now().await;
    }
}

/// What is ready, by addresses, and how much of the processor each has used.
#[derive(Debug)]
struct Queue<T> {
    lines: HashMap<IpAddr, AddressQueue<T>>,
    /// The addresses of which something is ready, by what they have used.
    order: BTreeSet<(Duration, IpAddr)>,
    /// What the address that was polled last had used. A newcomer starts with that, less
    /// [`NEWCOMER_ADVANCE`].
    floor: Duration,
    /// Tasks that are being polled.
    running: usize,
}

#[derive(Debug)]
struct AddressQueue<T> {
    used: Duration,
    ready: VecDeque<T>,
    running: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            order: BTreeSet::new(),
            // Whoever comes first has its advance too.
            floor: NEWCOMER_ADVANCE,
            running: 0,
        }
    }
}

impl<T> Queue<T> {
    /// A task became ready.
    fn arrives(&mut self, address: IpAddr, task: T) {
        let earliest = self.floor.saturating_sub(NEWCOMER_ADVANCE);
        let line = self.lines.entry(address).or_insert_with(|| AddressQueue {
            used: earliest,
            ready: VecDeque::new(),
            running: 0,
        });
        if line.ready.is_empty() {
            if line.running == 0 {
                line.used = line.used.max(earliest);
            }
            self.order.insert((line.used, address));
        }
        line.ready.push_back(task);
    }

    /// The task that is polled next.
    fn next(&mut self) -> Option<(IpAddr, T)> {
        let (used, address) = self.order.pop_first()?;
        self.floor = self.floor.max(used);
        let line = self.lines.get_mut(&address)?;
        let task = line.ready.pop_front()?;
        line.running = line.running.saturating_add(1);
        self.running = self.running.saturating_add(1);
        if !line.ready.is_empty() {
            self.order.insert((used, address));
        }
        Some((address, task))
    }

    /// A task of this address was polled, for so long.
    fn ran(&mut self, address: IpAddr, took: Duration) {
        self.running = self.running.saturating_sub(1);
        if self.running == 0 && self.order.is_empty() {
            // Nobody waits: what anybody has used is no matter any more.
            self.floor = NEWCOMER_ADVANCE;
            if self.lines.len() > KEPT_QUEUES {
                self.lines = HashMap::new();
            }
            for line in self.lines.values_mut() {
                line.used = Duration::ZERO;
                line.running = 0;
                line.ready.shrink_to(KEPT_QUEUE_TASKS);
            }
            return;
        }
        if let Some(line) = self.lines.get_mut(&address) {
            let ready = self.order.remove(&(line.used, address));
            line.running = line.running.saturating_sub(1);
            line.used = line.used.saturating_add(took);
            if ready {
                self.order.insert((line.used, address));
            }
        }
        if self.lines.len() > MAX_IDLE_ADDRESSES.saturating_add(self.order.len().saturating_mul(2)) {
            let floor = self.floor;
            self.lines
                .retain(|_, line| !line.ready.is_empty() || line.running > 0 || line.used > floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::Poll;

    use tokio::sync::oneshot;

    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const C: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 3));
    const MILLISECOND: Duration = Duration::from_millis(1);

    /// The next task, which then runs for so long.
    fn runs(queue: &mut Queue<u32>, took: Duration) -> Option<u32> {
        let (address, task) = queue.next()?;
        queue.ran(address, took);
        Some(task)
    }

    #[test]
    fn who_comes_now_and_then_is_before_who_has_much_to_do() {
        let mut queue = Queue::default();
        for number in 0..100 {
            queue.arrives(A, number);
        }
        for number in 0..10 {
            assert_eq!(runs(&mut queue, MILLISECOND), Some(number));
        }
        // A request of three polls, each of which makes the next ready.
        for number in 1_000..1_003 {
            queue.arrives(B, number);
            assert_eq!(runs(&mut queue, MILLISECOND / 10), Some(number));
        }
        assert_eq!(runs(&mut queue, MILLISECOND), Some(10));
    }

    #[test]
    fn who_have_much_to_do_share_the_time_and_not_the_polls() {
        let mut queue = Queue::default();
        for number in 0..1_000 {
            queue.arrives(A, number);
            queue.arrives(B, 10_000 + number);
        }
        let (mut polls_of_a, mut polls_of_b) = (0_i32, 0_i32);
        for _ in 0..400 {
            let (address, _) = queue.next().unwrap();
            if address == A {
                polls_of_a += 1;
                queue.ran(A, MILLISECOND * 3);
            } else {
                polls_of_b += 1;
                queue.ran(B, MILLISECOND);
            }
        }
        assert!(
            (polls_of_b - 3 * polls_of_a).abs() <= 6,
            "{polls_of_a} {polls_of_b}"
        );
    }

    #[test]
    fn who_goes_for_a_moment_is_not_forgiven() {
        let mut queue = Queue::default();
        // The processor is never idle.
        queue.arrives(C, 0);
        queue.next().unwrap();
        for number in 0..10 {
            queue.arrives(A, number);
            assert_eq!(runs(&mut queue, MILLISECOND * 10), Some(number));
        }
        // Nothing of `A` was left each time.
        queue.arrives(A, 10);
        for number in 0..20 {
            queue.arrives(B, 100 + number);
        }
        for number in 0..12 {
            assert_eq!(runs(&mut queue, MILLISECOND), Some(100 + number));
        }
    }

    #[test]
    fn an_address_may_run_on_all_processors_and_nothing_of_it_stays() {
        let mut queue = Queue::default();
        for number in 0..3 {
            queue.arrives(A, number);
        }
        assert_eq!(queue.next(), Some((A, 0)));
        assert_eq!(queue.next(), Some((A, 1)));
        queue.ran(A, MILLISECOND);
        queue.arrives(B, 7);
        assert_eq!(queue.next(), Some((B, 7)));
        assert_eq!(queue.next(), Some((A, 2)));
        for (address, took) in [(B, MILLISECOND), (A, MILLISECOND), (A, MILLISECOND)] {
            queue.ran(address, took);
        }
        assert_eq!(queue.next(), None);
        assert!(queue.order.is_empty());
        assert!(
            queue
                .lines
                .values()
                .all(|line| line.used.is_zero() && line.running == 0)
        );
        queue.arrives(C, 0);
        queue.next().unwrap();
        let many = u32::try_from(MAX_IDLE_ADDRESSES).unwrap() + 10;
        for number in 0..many {
            queue.arrives(IpAddr::V4(number.into()), number);
            queue.next().unwrap();
            queue.ran(IpAddr::V4(number.into()), MILLISECOND);
        }
        assert!(queue.lines.len() < 20, "{}", queue.lines.len());
    }

    #[test]
    fn who_waits_runs_or_has_used_much_is_not_forgotten() {
        let mut queue = Queue::default();
        queue.arrives(C, 0);
        queue.next().unwrap();
        queue.arrives(A, 1);
        assert_eq!(runs(&mut queue, MILLISECOND * 1_000), Some(1));
        queue.arrives(B, 2);
        // Of those that have used as much as B, these have their turn first.
        let many = u32::try_from(MAX_IDLE_ADDRESSES).unwrap() + 10;
        for number in 0..many {
            queue.arrives(IpAddr::V4(number.into()), number);
            assert_eq!(runs(&mut queue, MILLISECOND), Some(number));
        }
        assert!(queue.lines.len() < 20, "{}", queue.lines.len());
        for address in [A, B, C] {
            assert!(queue.lines.contains_key(&address), "{address}");
        }
        assert_eq!(runs(&mut queue, MILLISECOND), Some(2));
    }

    #[test]
    fn so_many_addresses_are_remembered_and_with_one_more_they_are_looked_through() {
        let mut queue = Queue::default();
        // The processor is never idle.
        queue.arrives(C, 0);
        queue.next().unwrap();
        let most = u32::try_from(MAX_IDLE_ADDRESSES).unwrap();
        let mut polled = |number: u32| {
            queue.arrives(IpAddr::V4(number.into()), number);
            assert_eq!(runs(&mut queue, MILLISECOND), Some(number));
            queue.lines.len()
        };
        for number in 1..most {
            assert_eq!(polled(number), usize::try_from(number).unwrap() + 1);
        }
        assert_eq!(polled(most), 1, "only what is being polled stays");
    }

    #[test]
    fn a_runner_goes_on_until_its_time_is_over() {
        assert!(has_time(Duration::ZERO));
        assert!(has_time(BATCH_TIME - Duration::from_nanos(1)));
        assert!(!has_time(BATCH_TIME));
    }

    #[test]
    fn once_nobody_waits_all_are_equal_and_few_queues_stay() {
        let mut queue = Queue::default();
        queue.arrives(A, 0);
        assert_eq!(runs(&mut queue, MILLISECOND * 1_000), Some(0));
        assert_eq!(queue.lines.len(), 1, "its queue stays");
        // What A used while nobody waited is forgotten: both take turns.
        for number in 0..4 {
            queue.arrives(A, number);
            queue.arrives(B, 10 + number);
        }
        let turns: Vec<_> = (0..4).map_while(|_| runs(&mut queue, MILLISECOND)).collect();
        assert!(turns.iter().any(|number| *number >= 10), "{turns:?}");
        assert!(turns.iter().any(|number| *number < 10), "{turns:?}");
        while runs(&mut queue, MILLISECOND).is_some() {}
        let many = u32::try_from(KEPT_QUEUES).unwrap() + 1;
        for number in 0..many {
            queue.arrives(IpAddr::V4(number.into()), number);
        }
        while runs(&mut queue, MILLISECOND).is_some() {}
        assert!(queue.lines.is_empty());
    }

    #[tokio::test]
    async fn one_request_does_not_wait_for_the_thousand_of_another_address() {
        let executor = FairExecutor::start();
        let polls = Arc::new(AtomicUsize::new(0));
        for _ in 0..1_000 {
            let polls = Arc::clone(&polls);
            executor.for_address(A).spawn(async move {
                loop {
                    polls.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            });
        }
        while polls.load(Ordering::SeqCst) < 1_000 {
            tokio::task::yield_now().await;
        }
        for _ in 0..10 {
            let (tell, told) = oneshot::channel();
            let begin = polls.load(Ordering::SeqCst);
            let seen = Arc::clone(&polls);
            executor.for_address(B).spawn(async move {
                let _ = tell.send(seen.load(Ordering::SeqCst));
            });
            let waited = told.await.unwrap() - begin;
            assert!(waited < 50, "{waited} polls of others came first");
        }
    }

    #[tokio::test]
    async fn a_task_that_is_ready_again_at_once_leaves_the_runtime_to_others() {
        let executor = FairExecutor::start();
        let (polls, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (tell, mut told) = oneshot::channel();
        let (seen, is_over, begin) = (Arc::clone(&polls), Arc::clone(&over), Instant::now());
        let mut tell = Some(tell);
        executor.for_address(A).spawn(poll_fn(move |context| {
            seen.fetch_add(1, Ordering::SeqCst);
            let is_over = is_over.load(Ordering::SeqCst);
            // It ends by itself where nobody else has a turn.
            if !is_over && begin.elapsed() < Duration::from_secs(10) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let _ = tell.take().map(|tell| tell.send(is_over));
            Poll::Ready(())
        }));
        while polls.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(told.try_recv().is_err(), "it goes on");
        over.store(true, Ordering::SeqCst);
        assert!(told.await.unwrap());
    }

    #[tokio::test]
    async fn a_task_that_panics_ends_alone() {
        let executor = FairExecutor::start();
        executor.for_address(A).spawn(async { panic!("on purpose") });
        let (tell, told) = oneshot::channel();
        executor.for_address(A).spawn(async move {
            let _ = tell.send(());
        });
        told.await.unwrap();
    }
}
