//! The order in which objects are looked at: first come, first served.
//!
//! kube's queue takes any of the objects that wait, so that under load one can wait for as long as others keep coming. It is handed only as many as
//! are worked on at once; the others wait here. What is due at a time, and that no object is worked on twice at once, stays with kube.
//! Must not decide whether an object is looked at.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::{Stream, StreamExt, stream};

/// What waits, and what was handed over.
#[derive(Debug)]
pub(super) struct Turns<T> {
    inner: Arc<Mutex<Inner<T>>>,
}

#[derive(Debug)]
struct Inner<T> {
    /// Most that are handed over at once.
    most: usize,
    line: VecDeque<Arc<T>>,
    in_line: HashSet<Arc<T>>,
    handed_over: HashSet<T>,
    waker: Option<Waker>,
}

impl<T> Clone for Turns<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<T: Hash + Eq + Clone> Turns<T> {
    /// Hands over so many at once.
    pub(super) fn new(most: u16) -> Self {
        let inner = Inner {
            most: usize::from(most.max(1)),
            line: VecDeque::new(),
            in_line: HashSet::new(),
            handed_over: HashSet::new(),
            waker: None,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        // A panic while the lock was held leaves at worst one that is looked at once more, or late.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `arrivals` bring, each in its turn, once for as often as it comes while it waits. It ends with them.
    pub(super) fn in_turn(self, arrivals: impl Stream<Item = T> + Send) -> impl Stream<Item = T> {
        let mut arrivals = Box::pin(arrivals);
        stream::poll_fn(move |context| self.poll(arrivals.as_mut(), context))
    }

    fn poll(
        &self,
        mut arrivals: Pin<&mut impl Stream<Item = T>>,
        context: &mut Context<'_>,
    ) -> Poll<Option<T>> {
        while let Poll::Ready(arrival) = arrivals.poll_next_unpin(context) {
            match arrival {
                Some(arrival) => self.inner().arrives(arrival),
                None => return Poll::Ready(None),
            }
        }
        let mut inner = self.inner();
        match inner.next() {
            Some(next) => Poll::Ready(Some(next)),
            None => {
                inner.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// One is done with, whether or not it was handed over here: the next may come.
    pub(super) fn done(&self, it: &T) {
        let mut inner = self.inner();
        inner.handed_over.remove(it);
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }
}

impl<T: Hash + Eq + Clone> Inner<T> {
    fn arrives(&mut self, arrival: T) {
        let arrival = Arc::new(arrival);
        if self.in_line.insert(Arc::clone(&arrival)) {
            self.line.push_back(arrival);
        }
    }

    /// The first that is not worked on.
    fn next(&mut self) -> Option<T> {
        if self.handed_over.len() >= self.most {
            return None;
        }
        let at = self.line.iter().position(|it| !self.handed_over.contains(it))?;
        let next = self.line.remove(at)?;
        self.in_line.remove(&next);
        if self.line.is_empty() {
            // After a burst.
            self.line.shrink_to_fit();
            self.in_line.shrink_to_fit();
        }
        let next = Arc::unwrap_or_clone(next);
        self.handed_over.insert(next.clone());
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::{UnboundedSender, unbounded};
    use futures::{FutureExt, StreamExt};

    use super::*;

    type Queue = Pin<Box<dyn Stream<Item = &'static str>>>;

    /// Two at once, and where others arrive.
    fn turns() -> (Turns<&'static str>, UnboundedSender<&'static str>, Queue) {
        let (arrive, arrivals) = unbounded();
        let turns = Turns::new(2);
        let queue = turns.clone().in_turn(arrivals);
        (turns, arrive, Box::pin(queue))
    }

    fn ready(queue: &mut (impl Stream<Item = &'static str> + Unpin)) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.next().now_or_never().flatten()).collect()
    }

    #[test]
    fn first_come_first_served() {
        let (turns, arrive, mut queue) = turns();
        for it in ["d", "a", "c", "a", "b", "d"] {
            arrive.unbounded_send(it).unwrap();
        }
        assert_eq!(ready(&mut queue), ["d", "a"]);
        turns.done(&"a");
        assert_eq!(ready(&mut queue), ["c"]);
        // It was done with, and comes again: at the end.
        arrive.unbounded_send("a").unwrap();
        turns.done(&"d");
        turns.done(&"c");
        assert_eq!(ready(&mut queue), ["b", "a"]);
    }

    #[test]
    fn what_is_worked_on_comes_again_when_it_is_done_with_and_holds_up_nobody() {
        let (turns, arrive, mut queue) = turns();
        arrive.unbounded_send("a").unwrap();
        assert_eq!(ready(&mut queue), ["a"]);
        for it in ["a", "b", "c"] {
            arrive.unbounded_send(it).unwrap();
        }
        assert_eq!(ready(&mut queue), ["b"]);
        turns.done(&"a");
        assert_eq!(ready(&mut queue), ["a"]);
        // One that kube took at a time of its own.
        turns.done(&"x");
        assert!(ready(&mut queue).is_empty());
        turns.done(&"a");
        assert_eq!(ready(&mut queue), ["c"]);
    }

    #[tokio::test]
    async fn who_waits_for_the_next_is_woken() {
        let (turns, arrive, mut queue) = turns();
        for it in ["a", "b", "c"] {
            arrive.unbounded_send(it).unwrap();
        }
        assert_eq!(ready(&mut queue), ["a", "b"]);
        let (next, ()) = futures::join!(queue.next(), async {
            tokio::task::yield_now().await;
            turns.done(&"b");
        });
        assert_eq!(next, Some("c"));
        drop(arrive);
        assert_eq!(queue.next().await, None);
    }
}
