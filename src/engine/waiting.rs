//! The scans that wait, in a line for each gallery, and who of them is next. Runs none and answers none.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use super::batcher::ScanJob;
use super::gallery::GalleryId;

/// Whoever names no deadline is served as one who waits so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A scan in its line: the one whose caller stops waiting first comes first, then the one that came first.
struct Place {
    due: Reverse<(Instant, u64)>,
    scan: ScanJob,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

/// All scans that wait.
#[derive(Default)]
pub(super) struct Waiting {
    /// Those that were not served for longest come first.
    lines: IndexMap<GalleryId, BinaryHeap<Place>>,
    arrivals: u64,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Puts a scan into its line.
    pub(super) fn push(&mut self, scan: ScanJob) {
        let due = scan.deadline.unwrap_or_else(|| scan.since + PATIENCE);
        self.arrivals += 1;
        let place = Place {
            due: Reverse((due, self.arrivals)),
            scan,
        };
        self.lines.entry(place.scan.gallery).or_default().push(place);
    }

    /// Takes out the scans whose callers have stopped waiting.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<ScanJob> {
        let mut late = Vec::new();
        for line in self.lines.values_mut() {
            while line.peek().is_some_and(|place| is_late(&place.scan, now)) {
                late.extend(line.pop().map(|place| place.scan));
            }
        }
        self.lines.retain(|_, line| !line.is_empty());
        late
    }

    /// Takes out the next round: at most `scans_max`, as many of each gallery as of any other as far as it has them, in one batch a gallery.
    pub(super) fn take_round(&mut self, scans_max: usize) -> Vec<Vec<ScanJob>> {
        let lengths = self.lines.values().map(BinaryHeap::len).take(scans_max);
        let share = fair_share(lengths.collect(), scans_max);
        let mut room = scans_max;
        let mut round = Vec::new();
        let mut served = Vec::new();
        for (gallery, line) in self.lines.iter_mut().take(scans_max) {
            let count = share.min(room).min(line.len());
            let batch: Vec<_> = std::iter::from_fn(|| line.pop()).take(count).collect();
            room -= batch.len();
            if !batch.is_empty() {
                round.push(batch.into_iter().map(|place| place.scan).collect());
                served.push(*gallery);
            }
        }
        for gallery in served {
            // Behind those that were not served.
            if let Some(line) = self.lines.shift_remove(&gallery)
                && !line.is_empty()
            {
                self.lines.insert(gallery, line);
            }
        }
        round
    }
}

fn is_late(scan: &ScanJob, now: Instant) -> bool {
    scan.deadline.is_some_and(|at| at <= now)
}

/// The most of each line with which the lines together fill `room`, the last of it perhaps for some alone: max-min fairness.
fn fair_share(mut lengths: Vec<usize>, room: usize) -> usize {
    lengths.sort_unstable();
    let mut left = room;
    let mut lines = lengths.len();
    for length in lengths {
        if length * lines >= left {
            return left.div_ceil(lines);
        }
        left -= length;
        lines -= 1;
    }
    room
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
