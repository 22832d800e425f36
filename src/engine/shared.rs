//! What callers see of the engine without asking its thread: open galleries, the backend's name, and whether there is room for one more scan.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use crate::model::signature::Dimension;

use super::bound::sign;
use super::config::EngineConfig;
use super::error::EngineError;
use super::gallery::GalleryId;
use super::pace::Pace;

/// Work of a scan whatever its gallery, in bytes of codes that are read in the same time.
const WORK_MIN: u64 = 64 << 10;
/// Rounds that may always wait. Fewer would leave the engine idle while callers come back.
const ROUNDS_MIN: usize = 2;
/// A gallery may take so many times as many places as are left: others still find some.
const PLACES_LEFT_FACTOR: usize = 8;

/// State that the engine's thread writes and callers read.
pub(super) struct Shared {
    galleries: RwLock<HashMap<GalleryId, Arc<Line>>>,
    backend: RwLock<Arc<str>>,
    /// Scans that wait or run, and the work that they are together.
    waiting: AtomicUsize,
    work: AtomicU64,
    /// Galleries that have scans which wait or run.
    lines: AtomicUsize,
    pub(super) pace: Pace,
    queue_max: usize,
    batch_max: usize,
    wait_max: Duration,
    miss_probability: f64,
    /// Quantile of the sign bound by dimension.
    quantiles: RwLock<HashMap<usize, f64>>,
}

/// A gallery as callers see it.
pub(super) struct Line {
    pub(super) dim: Dimension,
    bytes: AtomicU64,
    /// Its scans that wait or run.
    waiting: AtomicUsize,
}

impl Line {
    /// Bytes of codes in host memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A place in the queue, given back when dropped.
pub(super) struct Ticket {
    shared: Arc<Shared>,
    line: Arc<Line>,
    /// What the scan is, in bytes of codes to be read.
    pub(super) work: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.line.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.shared.lines.fetch_sub(1, Ordering::Relaxed);
        }
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        self.shared.work.fetch_sub(self.work, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(config: &EngineConfig) -> Self {
        Self {
            galleries: RwLock::default(),
            backend: RwLock::new(Arc::from("")),
            waiting: AtomicUsize::new(0),
            work: AtomicU64::new(0),
            lines: AtomicUsize::new(0),
            pace: Pace::default(),
            queue_max: config.queue_max,
            batch_max: config.batch_max,
            wait_max: Duration::from_millis(config.wait_ms_max),
            miss_probability: config.miss_probability,
            quantiles: RwLock::default(),
        }
    }

    /// Takes a place among the scans that wait or run, where there is one and the scan can be answered while somebody waits for it.
    pub(super) fn ticket(
        self: &Arc<Self>,
        line: &Arc<Line>,
        deadline: Option<Instant>,
    ) -> Result<Ticket, EngineError> {
        let waiting = self.waiting.load(Ordering::Relaxed);
        let own = line.waiting.load(Ordering::Relaxed);
        let left = self.queue_max.saturating_sub(waiting);
        if own >= left.saturating_mul(PLACES_LEFT_FACTOR) {
            return Err(EngineError::QueueFull { max: self.queue_max });
        }
        if let Some(wait) = self.expected_wait(waiting, own) {
            let rounds = self.rounds(waiting, own);
            if rounds > ROUNDS_MIN && wait > self.wait_max {
                let max = self.wait_max;
                return Err(EngineError::QueueLong { wait, max });
            }
            if deadline.is_some_and(|at| Instant::now() + wait > at) {
                return Err(EngineError::TooLate { wait });
            }
        }
        let work = line.bytes().max(WORK_MIN);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.work.fetch_add(work, Ordering::Relaxed);
        if line.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            self.lines.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Ticket {
            shared: Arc::clone(self),
            line: Arc::clone(line),
            work,
        })
    }

    /// Rounds until one more scan of a gallery that has `own` is answered: by those before it in its own line, or by all that wait.
    fn rounds(&self, waiting: usize, own: usize) -> usize {
        let lines = self.lines.load(Ordering::Relaxed).max(1);
        let share = (self.batch_max / lines).max(1);
        (own / share).min(waiting / self.batch_max) + 1
    }

    /// How long one more scan would wait until it is answered; `None` while nothing waits or nothing is known.
    fn expected_wait(&self, waiting: usize, own: usize) -> Option<Duration> {
        if waiting == 0 {
            return None;
        }
        let probes = waiting.min(self.batch_max);
        let mean = self.work.load(Ordering::Relaxed) / waiting as u64;
        let round = self.pace.expect(probes, mean * probes as u64)?;
        let rounds = u32::try_from(self.rounds(waiting, own)).unwrap_or(u32::MAX);
        Some(round.saturating_mul(rounds))
    }

    pub(super) fn queue_max(&self) -> usize {
        self.queue_max
    }

    /// Scans that wait or run.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn miss_probability(&self) -> f64 {
        self.miss_probability
    }

    /// Quantile of the sign bound; computed once a dimension.
    pub(super) fn quantile(&self, dim: Dimension) -> f64 {
        let known = self.quantiles.read().get(&dim.get()).copied();
        known.unwrap_or_else(|| {
            let quantile = sign::quantile(dim.get(), self.miss_probability);
            self.quantiles.write().insert(dim.get(), quantile);
            quantile
        })
    }

    /// An open gallery.
    pub(super) fn gallery(&self, id: GalleryId) -> Option<Arc<Line>> {
        self.galleries.read().get(&id).cloned()
    }

    pub(super) fn open_gallery(&self, id: GalleryId, dim: Dimension) {
        let line = Line {
            dim,
            bytes: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        };
        self.galleries.write().insert(id, Arc::new(line));
    }

    pub(super) fn set_bytes(&self, id: GalleryId, bytes: u64) {
        if let Some(line) = self.galleries.read().get(&id) {
            line.bytes.store(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn remove_gallery(&self, id: GalleryId) {
        self.galleries.write().remove(&id);
    }

    pub(super) fn backend(&self) -> Arc<str> {
        Arc::clone(&self.backend.read())
    }

    pub(super) fn set_backend(&self, name: Arc<str>) {
        *self.backend.write() = name;
    }
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
