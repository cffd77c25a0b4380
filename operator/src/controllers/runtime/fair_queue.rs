//! The order in which objects are looked at: the namespaces take turns, and within one it is first come,
//! first served.
//!
//! kube's queue takes any of the objects that wait, so that under load one can wait for as long as others
//! keep coming. It is handed only as many as are worked on at once; the others wait here. One that waits for
//! a thread to make its value steps aside ([`FairQueue::aside`]): it takes nobody's place then, and of its
//! namespace only some do so at once. What is due at a time, and that no object is worked on twice at once,
//! stays with kube. Must not decide whether an object is looked at.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::{Stream, StreamExt, stream};
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

/// Objects of a namespace that may stand aside at once.
const MAX_ASIDE_PER_NAMESPACE: usize = 8;
/// Objects that may stand aside at once.
pub(in crate::controllers) const MAX_ASIDE: u16 = 256;

/// What waits in a line of its namespace.
pub(in crate::controllers) trait QueueItem: Hash + Eq + Clone {
    /// Its namespace; nothing for what has none.
    fn namespace(&self) -> &str;
}

impl<K: Resource<DynamicType = ()>> QueueItem for ObjectRef<K> {
    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }
}

/// What waits, and what was handed over.
#[derive(Debug)]
pub(in crate::controllers) struct FairQueue<T> {
    inner: Arc<Mutex<Inner<T>>>,
}

#[derive(Debug)]
struct Inner<T> {
    /// Most that are handed over at once, beside those that stand aside.
    most: usize,
    /// What waits of each namespace.
    lines: HashMap<String, VecDeque<Arc<T>>>,
    /// The namespaces of which something waits, each once: the next is first.
    homes: VecDeque<String>,
    in_line: HashSet<Arc<T>>,
    handed_over: HashSet<T>,
    /// How many of each namespace stand aside, and in all.
    aside: HashMap<String, usize>,
    all_aside: usize,
    waker: Option<Waker>,
}

impl<T> Clone for FairQueue<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<T> FairQueue<T> {
    /// Hands over so many at once.
    pub(in crate::controllers) fn new(most: u16) -> Self {
        let inner = Inner {
            most: usize::from(most.max(1)),
            lines: HashMap::new(),
            homes: VecDeque::new(),
            in_line: HashSet::new(),
            handed_over: HashSet::new(),
            aside: HashMap::new(),
            all_aside: 0,
            waker: None,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// One of this namespace that was handed over waits for a thread from now on, until what is returned is
    /// dropped: another may come meanwhile.
    pub(in crate::controllers) fn aside(&self, home: &str) -> AsideGuard<T> {
        let mut inner = self.inner.lock();
        inner.all_aside = inner.all_aside.saturating_add(1);
        let aside = inner.aside.entry(home.to_owned()).or_default();
        *aside = aside.saturating_add(1);
        inner.wake();
        AsideGuard {
            turns: self.clone(),
            home: home.to_owned(),
        }
    }
}

/// One that stands aside.
pub(in crate::controllers) struct AsideGuard<T> {
    turns: FairQueue<T>,
    home: String,
}

impl<T> Drop for AsideGuard<T> {
    fn drop(&mut self) {
        let mut inner = self.turns.inner.lock();
        inner.all_aside = inner.all_aside.saturating_sub(1);
        if let Some(aside) = inner.aside.get_mut(&self.home) {
            *aside = aside.saturating_sub(1);
            if *aside == 0 {
                inner.aside.remove(&self.home);
            }
        }
        // Others of its namespace may have waited for that.
        inner.wake();
    }
}

impl<T: QueueItem> FairQueue<T> {
    /// Yields the objects of `arrivals`, each in its turn. One that arrives several times while it waits is
    /// yielded once. The stream ends with `arrivals`.
    pub(in crate::controllers) fn in_turn(
        self,
        arrivals: impl Stream<Item = T> + Send,
    ) -> impl Stream<Item = T> {
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
                Some(arrival) => self.inner.lock().arrives(arrival),
                None => return Poll::Ready(None),
            }
        }
        let mut inner = self.inner.lock();
        match inner.next() {
            Some(next) => Poll::Ready(Some(next)),
            None => {
                inner.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// One is done with, whether or not it was handed over here: the next may come.
    pub(in crate::controllers) fn done(&self, it: &T) {
        let mut inner = self.inner.lock();
        inner.handed_over.remove(it);
        inner.wake();
    }
}

impl<T> Inner<T> {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<T: QueueItem> Inner<T> {
    fn arrives(&mut self, arrival: T) {
        let arrival = Arc::new(arrival);
        if !self.in_line.insert(Arc::clone(&arrival)) {
            return;
        }
        match self.lines.get_mut(arrival.namespace()) {
            Some(line) => line.push_back(arrival),
            None => {
                let home = arrival.namespace().to_owned();
                self.homes.push_back(home.clone());
                self.lines.insert(home, VecDeque::from([arrival]));
            }
        }
    }

    /// The first that is not worked on, of the first namespace that has one.
    fn next(&mut self) -> Option<T> {
        if self.handed_over.len()
            >= self
                .most
                .saturating_add(self.all_aside.min(usize::from(MAX_ASIDE)))
        {
            return None;
        }
        for _ in 0..self.homes.len() {
            let home = self.homes.pop_front()?;
            let next = self.next_of(&home);
            if self.lines.contains_key(&home) {
                self.homes.push_back(home);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    fn next_of(&mut self, home: &str) -> Option<T> {
        if self
            .aside
            .get(home)
            .is_some_and(|aside| *aside >= MAX_ASIDE_PER_NAMESPACE)
        {
            return None;
        }
        let line = self.lines.get_mut(home)?;
        let at = line.iter().position(|it| !self.handed_over.contains(&**it))?;
        let next = line.remove(at)?;
        if line.is_empty() {
            self.lines.remove(home);
        }
        self.in_line.remove(&next);
        if self.in_line.is_empty() {
            // After a burst.
            self.in_line.shrink_to_fit();
            self.lines.shrink_to_fit();
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

    impl QueueItem for &'static str {
        /// What stands before a slash.
        fn namespace(&self) -> &str {
            self.split_once('/').map_or("", |(home, _)| home)
        }
    }

    type Queue = Pin<Box<dyn Stream<Item = &'static str>>>;

    /// Two at once, and where others arrive.
    fn turns() -> (FairQueue<&'static str>, UnboundedSender<&'static str>, Queue) {
        let (arrive, arrivals) = unbounded();
        let turns = FairQueue::new(2);
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

    #[test]
    fn namespaces_take_turns() {
        let (turns, arrive, mut queue) = turns();
        for it in ["a/1", "a/2", "a/3", "a/4", "b/1", "a/5"] {
            arrive.unbounded_send(it).unwrap();
        }
        assert_eq!(ready(&mut queue), ["a/1", "b/1"]);
        for (it, next) in [("a/1", "a/2"), ("a/2", "a/3"), ("b/1", "a/4")] {
            turns.done(&it);
            assert_eq!(ready(&mut queue), [next]);
        }
        arrive.unbounded_send("c/1").unwrap();
        turns.done(&"a/3");
        turns.done(&"a/4");
        assert_eq!(ready(&mut queue), ["a/5", "c/1"]);
    }

    #[test]
    fn what_stands_aside_takes_nobodys_place_and_of_one_namespace_only_some_do() {
        let (turns, arrive, mut queue) = turns();
        let names: Vec<&'static str> = (0..40).map(|number| &*format!("a/{number}").leak()).collect();
        for it in &names {
            arrive.unbounded_send(*it).unwrap();
        }
        let mut aside = Vec::new();
        let mut handed = ready(&mut queue);
        while aside.len() < handed.len() {
            aside.push(turns.aside("a"));
            handed.extend(ready(&mut queue));
        }
        assert_eq!(handed, names[..9], "eight, and the one that was there already");
        arrive.unbounded_send("b/1").unwrap();
        arrive.unbounded_send("b/2").unwrap();
        assert_eq!(ready(&mut queue), ["b/1", "b/2"]);
        // One goes on: it counts again, and another of its namespace may come once there is a place.
        aside.clear();
        assert!(ready(&mut queue).is_empty());
        for it in handed {
            turns.done(&it);
        }
        turns.done(&"b/1");
        assert_eq!(ready(&mut queue), ["a/9"]);
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
