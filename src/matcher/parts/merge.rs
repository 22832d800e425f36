//! Which segments of a gallery are written into one: small ones, since each costs a search a scan of its own and the catalog a row, and those that are mostly holes, whose rows take memory and time for nobody; and when that is tried again. Reads no row.
//!
//! A row is written anew by few merges: each at least doubles the rows of its segment, or ends them, since a segment that is more than half full stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::MERGE_SEGMENTS_MAX;
use super::catalog::{CatalogError, ListedGallery};
use super::gallery::Gallery;
use crate::cluster::view::Edition;
use crate::storage::place::{SEGMENT_ROWS_MAX, SegmentSize};

/// A segment of more rows that are no holes stays as it is.
const SMALL_ROWS_MAX: u32 = SEGMENT_ROWS_MAX / 2;
/// A merge is taken back once its owners had the time for so many loads.
const LOADS_WAITED: u32 = 2;
/// How often the rest after a failure is twice the one before.
const RESTS_DOUBLED_MAX: u32 = 10;
/// From so many holes on, where they are more than the rows, a segment is written anew without them, also alone. Fewer than a usual flush has.
const HOLES_MIN: u32 = 1_024;

/// How merges of a gallery go.
#[derive(Default)]
pub(super) struct Merges {
    /// None begins before that.
    rests_until: Option<Instant>,
    /// How many failed, one after the other.
    failed: u32,
    /// Which one is on its way, and since when that is known.
    under_way: Option<((Edition, u32), Instant)>,
}

impl Merges {
    fn rest(&mut self, time: Duration) {
        self.rests_until = Some(Instant::now() + time);
    }

    /// Twice as long after each failure, up to a thousand times this.
    fn fail(&mut self, rest: Duration) {
        self.rest(rest * (1 << self.failed.min(RESTS_DOUBLED_MAX)));
        self.failed += 1;
    }
}

impl Gallery {
    /// Whether there may be something to merge, as it is listed. Not while nodes may have rows of the last merge twice, while a segment is on its way, or while receipts wait for a purge that has begun: it would have to begin anew.
    pub(super) fn may_merge(&self, listed: &ListedGallery) -> bool {
        let at_least = self.common.config.merge_segments;
        let is_at_rest = !listed.has_retired && listed.view.segments().len() == listed.live.len();
        let rests = |merges: &Merges| merges.rests_until.is_some_and(|until| Instant::now() < until);
        at_least > 0
            && is_at_rest
            && !rests(&self.merges.lock())
            && !self.purge.lock().is_under_way()
            && !choose(&listed.live, at_least).is_empty()
    }

    /// Writes the rows of segments into another one, which its owners load then. Blocks.
    pub(super) fn merge(&self, listed: &ListedGallery) -> Result<(), CatalogError> {
        if !self.may_merge(listed) {
            return Ok(());
        }
        let rest = self.common.config.retry_after;
        let begun = self.begin_merge(listed);
        let mut merges = self.merges.lock();
        match &begun {
            Ok(true) => {}
            // What could be merged is not settled or not purged yet, or others were faster.
            Ok(false) => merges.rest(rest),
            Err(_) => merges.fail(rest),
        }
        begun.map(drop)
    }

    fn begin_merge(&self, listed: &ListedGallery) -> Result<bool, CatalogError> {
        let writing = self.catalog.begin_writing()?;
        if !self.follows() {
            return Ok(false);
        }
        let mergeable = self.catalog.mergeable(&listed.live.keys().copied().collect())?;
        let mut live = listed.live.clone();
        live.retain(|number, _| mergeable.contains(number));
        let segments = choose(&live, self.common.config.merge_segments);
        if segments.is_empty() {
            return Ok(false);
        }
        self.catalog.merge(&segments, listed.head.edition, writing)
    }

    /// A merge is on its way that its owners have not loaded. Where they have not for long it is taken back: it holds up receipts, and its rows are there twice.
    pub(super) fn wait_for_merge(&self, merge: (Edition, u32)) -> Result<(), CatalogError> {
        let config = &self.common.config;
        let since = {
            let mut merges = self.merges.lock();
            let known = merges.under_way.filter(|(known, _)| *known == merge);
            let (_, since) = known.unwrap_or((merge, Instant::now()));
            merges.under_way = Some((merge, since));
            since
        };
        let (_, segment) = merge;
        if since.elapsed() >= LOADS_WAITED * config.load_max && self.catalog.withdraw(segment)? {
            tracing::warn!(tenant = %self.tenant, segment, "its owners can't load what small segments were merged into; they stay as they are for now");
            self.merges.lock().fail(config.retry_after);
        }
        Ok(())
    }

    /// A segment counts; if it is the merge that was waited for, that went well.
    pub(super) fn merged(&self, segment: u32) {
        let mut merges = self.merges.lock();
        if merges
            .under_way
            .take_if(|((_, known), _)| *known == segment)
            .is_some()
        {
            merges.failed = 0;
        }
    }
}

/// What a segment has, and its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Small {
    rows: u32,
    number: u32,
    holes: u32,
}

/// Those that are mostly holes; else the smallest of the segments that count, as many as fit into one, and none while they are fewer than `at_least` and leave room for another small one. Segments without any row go with
/// whatever is merged: where there are so many of them, the smallest one with rows is enough.
fn choose(live: &BTreeMap<u32, SegmentSize>, at_least: usize) -> BTreeSet<u32> {
    let at_least = at_least.max(2);
    let empty = live.values().filter(|size| size.rows == size.holes).count();
    let small = live.iter().map(|(number, size)| Small {
        rows: size.rows.saturating_sub(size.holes),
        number: *number,
        holes: size.holes,
    });
    let mut small: Vec<Small> = small
        .filter(|it| (1..=SMALL_ROWS_MAX).contains(&it.rows))
        .collect();
    small.sort_unstable();
    let is_hollow = |it: &Small| it.holes > it.rows && it.holes >= HOLES_MIN;
    let hollow: Vec<Small> = small.iter().copied().filter(is_hollow).collect();
    if !hollow.is_empty() {
        return numbers(&fitting(&hollow));
    }
    let mut fit = fitting(&small);
    let next = small.get(fit.len());
    let is_full = next.is_some_and(|next| rows(&fit) + next.rows > SEGMENT_ROWS_MAX);
    while !is_full
        && let Some((last, before)) = fit.split_last()
        && !before.is_empty()
        && last.rows > rows(before)
    {
        fit.pop();
    }
    if fit.len() >= at_least || is_full && fit.len() > 1 {
        numbers(&fit)
    } else if empty >= at_least {
        numbers(small.get(..1).unwrap_or_default())
    } else {
        BTreeSet::new()
    }
}

/// As many of these as go into one segment and one merge.
fn fitting(of: &[Small]) -> Vec<Small> {
    let mut together = 0;
    let fit = of.iter().take(MERGE_SEGMENTS_MAX).take_while(|it| {
        together += it.rows;
        together <= SEGMENT_ROWS_MAX
    });
    fit.copied().collect()
}

/// Each is a half of [`SEGMENT_ROWS_MAX`] at most, and there are few.
fn rows(of: &[Small]) -> u32 {
    of.iter().map(|it| it.rows).sum()
}

fn numbers(of: &[Small]) -> BTreeSet<u32> {
    of.iter().map(|it| it.number).collect()
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
