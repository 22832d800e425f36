//! What all attackers have: where the server is, what they show, where they come from, and a count of their deeds. Attacks nothing.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

use super::wire::{Mask, Sources};
use crate::Failure;

/// Most deeds of one attack that are under way at once.
const AT_ONCE_MAX: usize = 512;

/// Where an attack takes place.
pub struct Field {
    /// The server.
    pub address: SocketAddr,
    /// Certificates of scanners of the tenant, each another's.
    pub masks: Vec<Mask>,
    /// No certificate.
    pub bare: Mask,
    /// A certificate of another authority.
    pub foreign: Mask,
    /// Addresses.
    pub sources: Sources,
    deeds: Mutex<BTreeMap<&'static str, u64>>,
    drawn: AtomicUsize,
}

impl Field {
    /// Nothing was done yet.
    pub fn new(
        address: SocketAddr,
        masks: Vec<Mask>,
        (bare, foreign): (Mask, Mask),
        sources: Sources,
    ) -> Self {
        Self {
            address,
            masks,
            bare,
            foreign,
            sources,
            deeds: Mutex::default(),
            drawn: AtomicUsize::new(0),
        }
    }

    /// The scanners' certificates in turn.
    pub fn mask(&self) -> Result<&Mask, Failure> {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mask = self.masks.get(number % self.masks.len().max(1));
        mask.ok_or_else(|| "attackers have no certificates".into())
    }

    /// One more deed of a kind.
    pub fn did(&self, what: &'static str) {
        *self.deeds().entry(what).or_default() += 1;
    }

    /// How many of a kind there were.
    pub fn count(&self, what: &'static str) -> u64 {
        self.deeds().get(what).copied().unwrap_or_default()
    }

    /// All deeds so far, by kind.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.deeds().clone()
    }

    fn deeds(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.deeds
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Begins `deed` so many times a second, but no more than there is room for. Never returns.
pub async fn every<F: Future<Output = ()> + Send + 'static>(per_second: u32, mut deed: impl FnMut() -> F) {
    let mut ticks = interval(Duration::from_secs(1) / per_second.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let tasks = TaskTracker::new();
    loop {
        ticks.tick().await;
        if tasks.len() < AT_ONCE_MAX {
            tasks.spawn(deed());
        }
    }
}

/// Runs so many of `deed` at once, each again and again, and begins them within a second, so that they don't march in step. Never returns.
pub async fn always<F: Future<Output = ()> + Send + 'static>(
    at_once: u32,
    deed: impl Fn() -> F + Clone + Send + 'static,
) {
    let tasks = TaskTracker::new();
    for number in 0..at_once {
        let deed = deed.clone();
        let after = Duration::from_secs(1) * number / at_once;
        tasks.spawn(async move {
            tokio::time::sleep(after).await;
            loop {
                deed().await;
                // Whoever is refused comes back, but does not spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    pending::<()>().await;
}
