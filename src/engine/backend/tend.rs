//! What is done between batches: devices are opened again, rows are brought to where they are to be, a bounded number a round, and what
//! happened is told.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::device::Tended;
use super::{
    BackendError, Backends, DeviceStatus, GalleryId, GalleryView, aim, bytes, placement, seats, speed,
};
use crate::engine::residency::Residency;

/// Rows are not moved for the sake of speed more often than this.
pub(super) const REBALANCE_INTERVAL: Duration = Duration::from_secs(30);
/// Rows put on devices in one round, so that scans wait for milliseconds: 9 MB at 256 dimensions.
pub(super) const ROWS_PER_ROUND_MAX: u32 = 1 << 16;
/// Changes of devices in one round, where galleries are small.
pub(super) const CHANGES_PER_ROUND_MAX: usize = 16;

impl Backends {
    /// Looks after the devices. Called by the engine's thread between batches; never waits for a driver to open. Returns after how long it
    /// wants to be called again even if nothing happens.
    pub(in crate::engine) fn tend(&mut self, residency: &Residency) -> Option<Duration> {
        if self.gpus.is_empty() {
            return None;
        }
        for gpu in &mut self.gpus {
            let tended = gpu.tend(&*self.host);
            self.news |= tended != Tended::Unchanged;
            self.stale |= tended == Tended::Usable;
        }
        let now = self.host.now();
        if self.stale || now >= self.review_at {
            self.review(now);
        }
        self.move_rows(residency);
        if self.pending.is_empty() && !self.stale {
            for gpu in &mut self.gpus {
                self.news |= gpu.settled();
            }
        }
        self.publish();
        if !self.pending.is_empty() || self.stale {
            return Some(Duration::ZERO);
        }
        let review = self.grown.then(|| self.review_at.saturating_duration_since(now));
        self.gpus
            .iter()
            .filter_map(|gpu| gpu.due(now))
            .chain(review)
            .min()
    }

    /// Decides anew where every gallery is to be.
    fn review(&mut self, now: Instant) {
        self.stale = false;
        if now >= self.review_at {
            self.review_at = now + REBALANCE_INTERVAL;
            self.grown = false;
            let class = self.spent.review();
            let gpus: Vec<Option<f64>> = self.gpus.iter().map(|gpu| gpu.speed.of(class)).collect();
            self.speeds = speed::complete(self.cpu_speed.of(class), &gpus);
        }
        let cpu = self.speeds.0;
        for (id, placed) in &mut self.galleries {
            let seats = seats(&self.gpus, &self.speeds.1, placed);
            let goals = placement::place(placed.rows, &seats, cpu, &placed.goals);
            let settled = now.saturating_duration_since(placed.moved_at) >= REBALANCE_INTERVAL;
            if placement::worth(placed.rows, &seats, cpu, (&placed.goals, &goals), settled) {
                aim(&mut self.gpus, placed, goals);
                placed.moved_at = now;
                self.pending.insert(*id);
            }
        }
    }

    /// Brings devices closer to what they are to hold, gallery by gallery.
    fn move_rows(&mut self, residency: &Residency) {
        let (mut rows, mut changes) = (ROWS_PER_ROUND_MAX, 0);
        while rows > 0
            && changes < CHANGES_PER_ROUND_MAX
            && let Some(id) = self.pending.first().copied()
        {
            let view = residency.view(id).ok();
            let Some((gallery, (at, held, changed))) = view.zip(self.next_step(id, rows)) else {
                self.pending.remove(&id);
                continue;
            };
            changes += 1;
            rows = rows.saturating_sub(changed.end - changed.start);
            let changed = Some(changed).filter(|rows| !rows.is_empty());
            self.hold(gallery, at, &held, changed.as_slice());
        }
    }

    /// The next change of a device for a gallery; what is to leave a device goes before anything comes to another.
    fn next_step(&self, id: GalleryId, rows_max: u32) -> Option<(usize, Range<u32>, Range<u32>)> {
        let placed = self.galleries.get(&id)?;
        let ranges = placed.held.iter().zip(&placed.goals).enumerate();
        let steps = ranges.filter_map(|(at, (held, goal))| {
            let (held, changed) = placement::step(held, goal, rows_max)?;
            Some((at, held, changed))
        });
        steps.min_by_key(|(_, _, changed)| !changed.is_empty())
    }

    /// Lets a GPU hold rows of a gallery and follow the change of others, if it is in use.
    pub(super) fn hold(
        &mut self,
        gallery: GalleryView<'_>,
        at: usize,
        next: &Range<u32>,
        changed: &[Range<u32>],
    ) {
        let id = gallery.id();
        let (Some(placed), Some(gpu)) = (self.galleries.get_mut(&id), self.gpus.get_mut(at)) else {
            return;
        };
        let Some(held) = placed.held.get_mut(at) else {
            return;
        };
        let asked = gpu.ask(|backend| {
            if next.is_empty() {
                backend.forget(id)
            } else {
                backend.update(gallery, next.clone(), changed)
            }
        });
        match asked {
            None => {}
            Some(Ok(())) => {
                gpu.count(placed.dim, held, next);
                *held = next.clone();
                self.news = true;
            }
            Some(Err(error @ BackendError::Lost(_))) => self.lose(at, &error),
            Some(Err(error @ BackendError::OutOfMemory { .. })) => {
                // Rows that it held may have been erased, and it has not followed.
                let behind = changed
                    .iter()
                    .any(|rows| rows.start < held.end && held.start < rows.end);
                if held.start == held.end || behind {
                    self.drop_from(at, id);
                } else {
                    let goals = (0..).zip(&placed.goals);
                    let goals = goals.map(|(i, goal)| if i == at { held.clone() } else { goal.clone() });
                    let goals = goals.collect();
                    aim(&mut self.gpus, placed, goals);
                }
                self.fill(at, &error);
            }
        }
    }

    /// Takes a gallery off a GPU; the GPU is lost where that does not succeed.
    pub(super) fn drop_from(&mut self, at: usize, id: GalleryId) {
        let (Some(placed), Some(gpu)) = (self.galleries.get_mut(&id), self.gpus.get_mut(at)) else {
            return;
        };
        let asked = gpu.ask(|backend| backend.forget(id));
        if let (Some(held), Some(goal)) = (placed.held.get_mut(at), placed.goals.get_mut(at)) {
            gpu.count(placed.dim, held, &(0..0));
            gpu.planned = gpu.planned.saturating_sub(bytes(placed.dim, goal));
            (*held, *goal) = (0..0, 0..0);
        }
        if let Some(Err(error)) = asked {
            self.lose(at, &error);
        }
    }

    /// A GPU has no memory for more than it holds.
    pub(super) fn fill(&mut self, at: usize, error: &BackendError) {
        if let Some(gpu) = self.gpus.get_mut(at).filter(|gpu| gpu.is_ready()) {
            gpu.fill(&*self.host, &error.to_string());
        }
        (self.stale, self.news) = (true, true);
    }

    /// Gives a GPU up: from now on others scan what it held.
    pub(super) fn lose(&mut self, at: usize, error: &BackendError) {
        if let Some(gpu) = self.gpus.get_mut(at) {
            gpu.lose(&*self.host, &error.to_string());
        }
        for placed in self.galleries.values_mut() {
            for ranges in [&mut placed.held, &mut placed.goals] {
                if let Some(range) = ranges.get_mut(at) {
                    *range = 0..0;
                }
            }
        }
        (self.stale, self.news) = (true, true);
    }

    /// Tells what has changed of the devices.
    pub(super) fn publish(&mut self) {
        if !std::mem::take(&mut self.news) {
            return;
        }
        let statuses: Arc<[DeviceStatus]> = self.gpus.iter().map(super::Supervised::status).collect();
        for status in &*statuses {
            status.gauge();
        }
        self.statuses.send_replace(statuses);
    }
}
