//! Which segments of a gallery are written into one: small ones, since each costs a search a scan of its own and the catalog a row, and those that are mostly holes, whose rows take memory and time for nobody. Reads and writes nothing.
//!
//! A row is written anew by few merges: each at least doubles the rows of its segment, or ends them, since a segment that is more than half full stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use super::MERGE_SEGMENTS_MAX;
use super::catalog::{CatalogError, ListedGallery};
use super::gallery::Gallery;
use crate::storage::place::{SEGMENT_ROWS_MAX, SegmentSize};

/// A segment of more rows that are no holes stays as it is.
const SMALL_ROWS_MAX: u32 = SEGMENT_ROWS_MAX / 2;
/// From so many holes on, where they are more than the rows, segments are written anew without them, however few they are.
const HOLES_MIN: u64 = 4_096;

impl Gallery {
    /// What is to be merged of it, as it is listed: nothing while something is to be purged, which comes first, or while a segment is on its way; and never what came last, as long as nodes may still have the view before it.
    pub(super) fn to_merge(&self, listed: &ListedGallery) -> BTreeSet<u32> {
        let segments = listed.view.segments();
        let at_least = self.common.config.merge_segments;
        if at_least == 0 || listed.is_littered() || segments.len() != listed.live.len() {
            return BTreeSet::new();
        }
        let last = self.former_views();
        let is_settled = |number: &u32| {
            let from = segments.get(number).and_then(|segment| segment.live_from());
            last.is_none() || from != last
        };
        let live = listed.live.iter().filter(|(number, _)| is_settled(number));
        choose(&live.map(|(number, size)| (*number, *size)).collect(), at_least)
    }

    /// Writes the rows of segments into another one, which its owners load then. Blocks.
    pub(super) fn merge(&self, listed: &ListedGallery) -> Result<(), CatalogError> {
        let segments = self.to_merge(listed);
        if segments.is_empty() {
            return Ok(());
        }
        let writing = self.catalog.begin_writing()?;
        if !self.follows() {
            return Ok(());
        }
        // Where that can't be done yet, or others were faster, a later round looks again.
        self.catalog
            .merge(&segments, listed.head.edition, writing)
            .map(drop)
    }
}

/// The smallest of the segments that count, as many as fit into one; none while they are fewer than `at_least` and leave room for others that are small, unless most of them is holes.
fn choose(live: &BTreeMap<u32, SegmentSize>, at_least: usize) -> BTreeSet<u32> {
    let mut small: Vec<(u32, u32, u32)> = live
        .iter()
        .map(|(number, size)| (size.rows.saturating_sub(size.holes), *number, size.holes))
        .filter(|(rows, _, _)| (1..=SMALL_ROWS_MAX).contains(rows))
        .collect();
    small.sort_unstable();
    let mut together = 0;
    let fit = small.iter().take(MERGE_SEGMENTS_MAX).take_while(|(rows, _, _)| {
        together += rows;
        together <= SEGMENT_ROWS_MAX
    });
    let mut fit: Vec<_> = fit.copied().collect();
    let is_full = fit.len() < small.len() && fit.len() > 1;
    let rows = |of: &[(u32, u32, u32)]| of.iter().map(|(rows, _, _)| u64::from(*rows)).sum::<u64>();
    while !is_full
        && fit
            .split_last()
            .is_some_and(|(last, before)| !before.is_empty() && u64::from(last.0) > rows(before))
    {
        fit.pop();
    }
    let rows = rows(&fit);
    let holes: u64 = fit.iter().map(|(_, _, holes)| u64::from(*holes)).sum();
    let is_hollow = holes > rows && holes >= HOLES_MIN;
    if fit.len() >= at_least.max(2) || is_full || is_hollow {
        fit.into_iter().map(|(_, number, _)| number).collect()
    } else {
        BTreeSet::new()
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
