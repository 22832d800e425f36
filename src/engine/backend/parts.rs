//! Cuts work into the parts that devices scan, and joins what they found. Asks no device.

use std::ops::Range;

use super::super::{SURVIVORS_MAX, Survivors};
use super::{Found, PART_ROWS, Work};

/// Rows of one piece of work that one device scans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Which piece of work.
    pub(super) work: usize,
    pub(super) rows: Range<u32>,
}

impl Part {
    /// The part as work of its own.
    pub(super) fn of<'a>(&self, work: &[Work<'a>]) -> Work<'a> {
        let whole = work.get(self.work).expect("the part was cut from this work");
        Work {
            gallery: whole.gallery,
            rows: self.rows.clone(),
            probes: whole.probes.clone(),
        }
    }
}

/// The rows that none of the devices holds; each range begins at a multiple of [`PART_ROWS`], so that a few rows before it, which a device
/// scans too, may be in it. A gallery without rows gives one empty range.
pub(super) fn rest(rows: u32, held: &mut [Range<u32>]) -> Vec<Range<u32>> {
    held.sort_unstable_by_key(|range| range.start);
    let mut gaps = Vec::new();
    let mut at = 0;
    for range in held {
        if range.start > at {
            gaps.push(at / PART_ROWS * PART_ROWS..range.start);
        }
        at = at.max(range.end);
    }
    if at < rows || rows == 0 {
        gaps.push(at / PART_ROWS * PART_ROWS..rows);
    }
    gaps
}

/// Joins what was found in the parts of one piece of work with so many probes: a row survives that survived in any part.
pub(super) fn join(probes: usize, mut parts: Vec<Found>) -> Found {
    if parts.len() == 1
        && let Some(found) = parts.pop()
    {
        return found;
    }
    let by_sign = parts.iter().any(|part| part.by_sign);
    let mut joined = vec![Survivors::Rows(Vec::new()); probes];
    for part in parts {
        for (joined, survivors) in joined.iter_mut().zip(part.survivors) {
            match (&mut *joined, survivors) {
                (Survivors::Rows(all), Survivors::Rows(rows)) => all.extend(rows),
                _ => *joined = Survivors::All,
            }
        }
    }
    for survivors in &mut joined {
        if let Survivors::Rows(rows) = survivors {
            rows.sort_unstable();
            rows.dedup();
            if rows.len() > SURVIVORS_MAX {
                *survivors = Survivors::All;
            }
        }
    }
    Found {
        survivors: joined,
        by_sign,
    }
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
