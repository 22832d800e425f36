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
/// A gallery may take so many times as many places as are left: others still find some.
const PLACES_LEFT_FACTOR: usize = 8;

/// The part of what is left until a deadline that may be spent waiting: rounds take longer than expected too, and what they leave is scored, recorded and sent. Without it a
/// queue that is always as long as it may be answers everybody a moment too late, and all scans are for nothing.
const WAIT_SHARE: (u32, u32) = (2, 3);

/// State that the engine's thread writes and callers read.
pub(super) struct Shared {
    galleries: RwLock<HashMap<GalleryId, Arc<Line>>>,
    /// Those of which scans wait or run: few, however many there are.
    busy: RwLock<HashMap<GalleryId, Arc<Line>>>,
    backend: RwLock<Arc<str>>,
    /// Scans that wait or run, and the work that they are together.
    waiting: AtomicUsize,
    work: AtomicU64,
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
    id: GalleryId,
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

    /// What a scan is.
    fn work(&self) -> u64 {
        self.bytes().max(WORK_MIN)
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
            self.shared.rest(&self.line);
        }
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        self.shared.work.fetch_sub(self.work, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(config: &EngineConfig) -> Self {
        Self {
            galleries: RwLock::default(),
            busy: RwLock::default(),
            backend: RwLock::new(Arc::from("")),
            waiting: AtomicUsize::new(0),
            work: AtomicU64::new(0),
            pace: Pace::default(),
            queue_max: config.queue_max,
            batch_max: config.batch_max,
            wait_max: Duration::from_millis(config.wait_ms_max),
            miss_probability: config.miss_probability,
            quantiles: RwLock::default(),
        }
    }

    /// Refuses where there is no place for one more scan, or where it could not be answered while somebody waits for it.
    pub(super) fn check_room(&self, line: &Line, deadline: Option<Instant>) -> Result<(), EngineError> {
        let waiting = self.waiting.load(Ordering::Relaxed);
        let own = line.waiting.load(Ordering::Relaxed);
        let left = self.queue_max.saturating_sub(waiting);
        if own >= left.saturating_mul(PLACES_LEFT_FACTOR) {
            return Err(EngineError::QueueFull { max: self.queue_max });
        }
        self.in_time(line, waiting, own, deadline)
    }

    /// Takes a place among the scans that wait or run.
    pub(super) fn ticket(
        self: &Arc<Self>,
        line: &Arc<Line>,
        deadline: Option<Instant>,
    ) -> Result<Ticket, EngineError> {
        self.check_room(line, deadline)?;
        let work = line.work();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.work.fetch_add(work, Ordering::Relaxed);
        if line.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            self.busy.write().insert(line.id, Arc::clone(line));
        }
        Ok(Ticket {
            shared: Arc::clone(self),
            line: Arc::clone(line),
            work,
        })
    }

    /// Refuses a scan that would wait for too long.
    fn in_time(
        &self,
        line: &Line,
        waiting: usize,
        own: usize,
        deadline: Option<Instant>,
    ) -> Result<(), EngineError> {
        if waiting == 0 {
            return Ok(());
        }
        let (part, of) = WAIT_SHARE;
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()) * part / of);
        let bound = left.map_or(self.wait_max, |left| left.min(self.wait_max));
        let all = self.work.load(Ordering::Relaxed) + line.work();
        // Cheap, and of all that wait: mostly it says enough.
        let galleries = self.busy.read().len();
        if self
            .expect(galleries, waiting + 1, all)
            .is_none_or(|wait| wait <= bound)
        {
            return Ok(());
        }
        let (galleries, probes, work) = self.before(line, own);
        let Some(wait) = self.expect(galleries, probes, work) else {
            return Ok(());
        };
        if wait > self.wait_max && probes > self.batch_max {
            let max = self.wait_max;
            return Err(EngineError::QueueLong { wait, max });
        }
        if left.is_some_and(|left| wait > left) {
            return Err(EngineError::TooLate { wait });
        }
        Ok(())
    }

    /// Takes a gallery from the busy ones, unless somebody came meanwhile.
    fn rest(&self, line: &Line) {
        let mut busy = self.busy.write();
        if line.waiting.load(Ordering::Relaxed) == 0 {
            busy.remove(&line.id);
        }
    }

    /// Galleries, probes and work until one more scan of a gallery that has `own` is answered: of each gallery as many are served before it as of its own.
    fn before(&self, line: &Line, own: usize) -> (usize, usize, u64) {
        let busy = self.busy.read();
        let served = busy.values().map(|other| {
            let count = other.waiting.load(Ordering::Relaxed).min(own + 1);
            (count, count as u64 * other.work())
        });
        let (probes, work) = served.fold((0, 0), |sum, (count, work)| (sum.0 + count, sum.1 + work));
        // Its own place is not taken yet.
        (busy.len(), probes + 1, work + line.work())
    }

    /// How long so many probes of so many galleries take, in rounds as large as may be.
    fn expect(&self, galleries: usize, probes: usize, work: u64) -> Option<Duration> {
        let batch = probes.min(self.batch_max) / galleries.max(1);
        self.pace.expect(batch, work)
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
            id,
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
