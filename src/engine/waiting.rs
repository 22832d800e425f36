//! The scans that wait, in a line for each gallery, and who of them is next. Runs none and answers none.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use super::batcher::ScanJob;
use super::gallery::GalleryId;

/// Whoever names no deadline, or a later one, is served as one who waits so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gallery has the engine to itself when no other was asked for so long.
const ALONE_AFTER: Duration = Duration::from_secs(1);

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
    /// The two galleries that were asked last, the last one first, and when.
    asked: [Option<(GalleryId, Instant)>; 2],
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Puts a scan into its line.
    pub(super) fn push(&mut self, scan: ScanJob) {
        let patience = scan.since + PATIENCE;
        let due = scan.deadline.map_or(patience, |at| at.min(patience));
        self.arrivals += 1;
        if self.asked[0].is_some_and(|(last, _)| last != scan.gallery) {
            self.asked[1] = self.asked[0];
        }
        self.asked[0] = Some((scan.gallery, scan.since));
        let place = Place {
            due: Reverse((due, self.arrivals)),
            scan,
        };
        self.lines.entry(place.scan.gallery).or_default().push(place);
    }

    /// Takes out the scans whose deadline has passed, and drops those whose callers have gone.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<ScanJob> {
        let mut late = Vec::new();
        for line in self.lines.values_mut() {
            line.retain(|place| !place.scan.reply.is_closed());
            while line.peek().is_some_and(|place| is_late(&place.scan, now)) {
                late.extend(line.pop().map(|place| place.scan));
            }
        }
        self.lines.retain(|_, line| !line.is_empty());
        late
    }

    /// Whether nobody else waits, nor asked within [`ALONE_AFTER`]: who asks now and then finds no long round before it.
    fn is_alone(&self) -> bool {
        let [last, other] = self.asked;
        let longer_ago = |(last, other): ((_, Instant), (_, Instant))| {
            last.1.saturating_duration_since(other.1) > ALONE_AFTER
        };
        self.lines.len() == 1 && last.zip(other).is_none_or(longer_ago)
    }

    /// Takes out the next round: at most `scans_max`, as many of each gallery as of any other as far as it has them, in one batch a gallery. Where
    /// several wait it ends before a scan with which `fits`, of batches, scans and work, is false, so that none waits for long rounds of another.
    pub(super) fn take_round(
        &mut self,
        scans_max: usize,
        fits: impl Fn(usize, usize, u64) -> bool,
    ) -> Vec<Vec<ScanJob>> {
        let served = self.lines.len().min(scans_max);
        let share = fair_share(
            self.lines.values().take(served).map(BinaryHeap::len).collect(),
            scans_max,
        );
        let alone = self.is_alone();
        let (mut scans, mut work, mut full) = (0, 0, false);
        let mut unserved = 0;
        let mut round = Vec::new();
        // Behind those that are not served.
        let lines: Vec<_> = self.lines.drain(..served).collect();
        for (gallery, mut line) in lines {
            let mut batch = Vec::new();
            while batch.len() < share && scans < scans_max && !full {
                let Some(next) = line.peek().map(|place| place.scan.ticket.work) else {
                    break;
                };
                full = !alone && scans > 0 && !fits(round.len() + 1, scans + 1, work + next);
                if !full {
                    (scans, work) = (scans + 1, work + next);
                    batch.extend(line.pop().map(|place| place.scan));
                }
            }
            let left_over = (!line.is_empty()).then_some(line);
            match (batch.is_empty(), left_over) {
                // It comes first the next time.
                (true, Some(line)) => {
                    self.lines.shift_insert(unserved, gallery, line);
                    unserved += 1;
                }
                (false, Some(line)) => {
                    self.lines.insert(gallery, line);
                }
                (_, None) => {}
            }
            if !batch.is_empty() {
                round.push(batch);
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
