//! A limited resource that many use: a maximum for each, and one for all together. What was taken is given
//! back when the [`Share`] is dropped.
//!
//! Must not know what is counted: connections, bytes, requests and streams are counted alike.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// Why nothing is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum ShareExhausted {
    /// Whoever asks has a whole share.
    Each,
    /// All together have everything.
    All,
}

/// What each holds.
#[derive(Debug)]
pub(in crate::gateway) struct Shares<K: Eq + Hash> {
    /// Bound of each.
    each: u64,
    /// Bound of all together.
    all: u64,
    held: Mutex<Usage<K>>,
}

#[derive(Debug)]
struct Usage<K> {
    all: u64,
    by_holder: HashMap<K, u64>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// So much for each, and so much for all.
    pub(in crate::gateway) fn new(each: u64, all: u64) -> Arc<Self> {
        let held = Mutex::new(Usage {
            all: 0,
            by_holder: HashMap::new(),
        });
        Arc::new(Self { each, all, held })
    }

    /// Bound of all together.
    pub(in crate::gateway) const fn all(&self) -> u64 {
        self.all
    }

    /// What all hold together now.
    pub(in crate::gateway) fn in_use(&self) -> u64 {
        self.held.lock().all
    }

    /// What one holds now.
    #[cfg(test)]
    pub(in crate::gateway) fn in_use_of(&self, holder: &K) -> u64 {
        self.held
            .lock()
            .by_holder
            .get(holder)
            .copied()
            .unwrap_or_default()
    }

    /// Takes so much.
    ///
    /// # Errors
    /// [`ShareExhausted`], and nothing is taken.
    pub(in crate::gateway) fn take(
        self: &Arc<Self>,
        holder: K,
        amount: u64,
    ) -> Result<Share<K>, ShareExhausted> {
        self.take_within(self.each, holder, amount)
    }

    /// The same for a holder whose bound is another.
    ///
    /// # Errors
    /// [`ShareExhausted`], and nothing is taken.
    pub(in crate::gateway) fn take_within(
        self: &Arc<Self>,
        each: u64,
        holder: K,
        amount: u64,
    ) -> Result<Share<K>, ShareExhausted> {
        self.add(each, &holder, amount)?;
        Ok(Share {
            shares: Arc::clone(self),
            each,
            holder,
            amount,
        })
    }

    fn add(&self, each: u64, holder: &K, amount: u64) -> Result<(), ShareExhausted> {
        let mut held = self.held.lock();
        let own = held.by_holder.get(holder).copied().unwrap_or_default();
        let own = own
            .checked_add(amount)
            .filter(|own| *own <= each)
            .ok_or(ShareExhausted::Each)?;
        held.all = held
            .all
            .checked_add(amount)
            .filter(|all| *all <= self.all)
            .ok_or(ShareExhausted::All)?;
        match held.by_holder.get_mut(holder) {
            Some(there) => *there = own,
            None => {
                held.by_holder.insert(holder.clone(), own);
            }
        }
        Ok(())
    }

    fn give_back(&self, holder: &K, amount: u64) {
        let mut held = self.held.lock();
        held.all = held.all.saturating_sub(amount);
        let Some(own) = held.by_holder.get_mut(holder) else {
            return;
        };
        *own = own.saturating_sub(amount);
        // A holder of nothing is not kept: anybody may come once.
        if *own == 0 {
            held.by_holder.remove(holder);
        }
    }
}

/// What somebody holds, until it is dropped.
#[derive(Debug)]
pub(in crate::gateway) struct Share<K: Eq + Hash + Clone> {
    shares: Arc<Shares<K>>,
    each: u64,
    holder: K,
    amount: u64,
}

impl<K: Eq + Hash + Clone> Share<K> {
    /// Takes so much more.
    ///
    /// # Errors
    /// [`ShareExhausted`], and it stays as it is.
    pub(in crate::gateway) fn grow(&mut self, more: u64) -> Result<(), ShareExhausted> {
        self.shares.add(self.each, &self.holder, more)?;
        self.amount = self.amount.saturating_add(more);
        Ok(())
    }

    /// Takes so much beside it, for the same holder.
    ///
    /// # Errors
    /// [`ShareExhausted`], and nothing is taken.
    pub(in crate::gateway) fn beside(&self, amount: u64) -> Result<Self, ShareExhausted> {
        self.shares.take_within(self.each, self.holder.clone(), amount)
    }
}

impl<K: Eq + Hash + Clone> Drop for Share<K> {
    fn drop(&mut self) {
        self.shares.give_back(&self.holder, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_more_than_a_share_and_all_no_more_than_there_is() {
        let shares = Shares::new(3, 5);
        let mut one = shares.take("a", 2).unwrap();
        assert_eq!(shares.take("a", 2).unwrap_err(), ShareExhausted::Each);
        assert_eq!(one.beside(2).unwrap_err(), ShareExhausted::Each);
        drop(one.beside(1).unwrap());
        one.grow(1).unwrap();
        assert_eq!(one.grow(1), Err(ShareExhausted::Each));
        let other = shares.take("b", 2).unwrap();
        assert_eq!(shares.take("c", 1).unwrap_err(), ShareExhausted::All);
        assert_eq!(shares.in_use(), 5);
        drop(one);
        let _ = shares.take("c", 3).unwrap();
        drop(other);
        assert_eq!(shares.in_use(), 0);
        assert!(
            shares.held.lock().by_holder.is_empty(),
            "who holds nothing is forgotten"
        );
        // Somebody whose bound is another.
        assert_eq!(shares.take_within(5, "d", 5).unwrap().amount, 5);
        assert_eq!(shares.take("e", u64::MAX).unwrap_err(), ShareExhausted::Each);
    }
}
