//! Shares of something that there is enough of for everybody, as long as nobody takes most of it: each has so many at once. Remembers nobody who has none.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// How many each one has, and may have.
pub struct Shares<K> {
    each_max: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

// Not derived: that would ask it of K.
impl<K> Clone for Shares<K> {
    fn clone(&self) -> Self {
        Self {
            each_max: self.each_max,
            taken: Arc::clone(&self.taken),
        }
    }
}

/// One of somebody's, until it is dropped.
pub struct Share<K: Eq + Hash> {
    who: K,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// `each_max` for each.
    pub fn new(each_max: usize) -> Self {
        Self {
            each_max,
            taken: Arc::default(),
        }
    }

    /// One more of somebody's; `None` where it has all it may have.
    pub fn take(&self, who: K) -> Option<Share<K>> {
        self.take_below(self.each_max, who)
    }

    /// The same where one may have no more than `max` for now, which is at least 1.
    pub fn take_below(&self, max: usize, who: K) -> Option<Share<K>> {
        let mut taken = self.taken.lock();
        let count = taken.entry(who.clone()).or_default();
        if *count >= self.each_max.min(max) {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Share {
            who,
            taken: Arc::clone(&self.taken),
        })
    }

    /// How many each may have.
    pub fn each_max(&self) -> usize {
        self.each_max
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        if let Some(count) = taken.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
