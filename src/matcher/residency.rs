//! Which row of a gallery is which stored row. Rows never move: a flush turns a stretch of pending rows into a segment in place. Holds no codes.

use std::collections::BTreeSet;

use crate::storage::place::Place;

/// Stands for a row that never counted, such as one of a refused enrolment: no reference has this number.
const VACANT: u64 = 0;
/// Most rows that never counted between two pending stretches that are joined; bounds what a flush writes as holes.
const VACANT_RUN_MAX: u32 = 64;

/// A gallery's rows as stretches, by rising first row. A row that lies in none is not acknowledged
/// (an enrolment or import under way, or one that failed) and does not count as found.
#[derive(Debug, Default, Clone)]
pub(super) struct Residency {
    extents: Vec<Extent>,
    /// First rows of the stretches that imports under way have placed: they may yet count.
    reserved: BTreeSet<u32>,
}

#[derive(Debug, Clone)]
struct Extent {
    first: u32,
    rows: Rows,
}

#[derive(Debug, Clone)]
enum Rows {
    /// Rows 0.. of a segment.
    Segment { segment: u32, count: u32 },
    /// References in the catalog, or [`VACANT`].
    Pending(Vec<u64>),
}

impl Extent {
    fn count(&self) -> u32 {
        match &self.rows {
            Rows::Segment { count, .. } => *count,
            Rows::Pending(references) => u32::try_from(references.len()).expect("row numbers have 32 bits"),
        }
    }
}

impl Residency {
    /// The rows from `first` on are those of an import that has not ended: no stretch may grow over them.
    pub(super) fn reserve(&mut self, first: u32) {
        self.reserved.insert(first);
    }

    /// The import of the rows from `first` has failed: they never count.
    pub(super) fn release(&mut self, first: u32) {
        self.reserved.remove(&first);
    }

    /// The rows `first..first + count` are the rows of a segment.
    pub(super) fn add_segment(&mut self, first: u32, segment: u32, count: u32) {
        self.release(first);
        self.insert(Extent {
            first,
            rows: Rows::Segment { segment, count },
        });
    }

    /// The rows from `first` are these references, which wait in the catalog.
    pub(super) fn add_pending(&mut self, first: u32, references: &[u64]) {
        if let Some(last) = self.extents.last_mut() {
            let end = last.first + last.count();
            let gap = first.checked_sub(end);
            if let Rows::Pending(known) = &mut last.rows
                && let Some(gap) = gap.filter(|gap| *gap <= VACANT_RUN_MAX)
                && self.reserved.range(end..first).next().is_none()
            {
                known.extend(std::iter::repeat_n(VACANT, gap as usize));
                known.extend_from_slice(references);
                return;
            }
        }
        self.insert(Extent {
            first,
            rows: Rows::Pending(references.to_vec()),
        });
    }

    fn insert(&mut self, extent: Extent) {
        let at = self.extents.partition_point(|other| other.first < extent.first);
        self.extents.insert(at, extent);
    }

    /// Where a row is stored.
    pub(super) fn place(&self, row: u32) -> Option<Place> {
        let at = self
            .extents
            .partition_point(|extent| extent.first <= row)
            .checked_sub(1)?;
        let extent = self.extents.get(at)?;
        let offset = row - extent.first;
        match &extent.rows {
            Rows::Segment { segment, count } => (offset < *count).then_some(Place::Segment {
                segment: *segment,
                row: offset,
            }),
            Rows::Pending(references) => references
                .get(offset as usize)
                .filter(|&&reference| reference != VACANT)
                .map(|&reference| Place::Pending { reference }),
        }
    }

    /// Which row is stored there.
    pub(super) fn row(&self, place: Place) -> Option<u32> {
        self.extents
            .iter()
            .find_map(|extent| match (&extent.rows, place) {
                (Rows::Segment { segment, count }, Place::Segment { segment: wanted, row }) => {
                    (*segment == wanted && row < *count).then_some(extent.first + row)
                }
                (Rows::Pending(references), Place::Pending { reference }) => {
                    let offset = references.iter().position(|&known| known == reference)?;
                    Some(extent.first + u32::try_from(offset).expect("row numbers have 32 bits"))
                }
                _ => None,
            })
    }

    /// Row numbers that were given out.
    pub(super) fn rows(&self) -> u32 {
        self.extents.last().map_or(0, |last| last.first + last.count())
    }

    /// All acknowledged rows, for a search that must look at each.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.extents
            .iter()
            .flat_map(|extent| (0..extent.count()).filter_map(|offset| self.place(extent.first + offset)))
    }

    /// References that wait in the catalog.
    pub(super) fn pending_count(&self) -> usize {
        self.extents
            .iter()
            .map(|extent| match &extent.rows {
                Rows::Pending(references) => references.len(),
                Rows::Segment { .. } => 0,
            })
            .sum()
    }

    /// The oldest stretch of pending references, at most `limit` of them; 0 stands for a row that never counted.
    pub(super) fn oldest_pending(&self, limit: usize) -> Option<Vec<u64>> {
        self.extents.iter().find_map(|extent| match &extent.rows {
            Rows::Pending(references) => Some(references.iter().take(limit).copied().collect()),
            Rows::Segment { .. } => None,
        })
    }

    /// The stretch that [`Residency::oldest_pending`] gave is now this segment.
    pub(super) fn settle(&mut self, segment: u32, count: u32) {
        let Some(at) = self
            .extents
            .iter()
            .position(|extent| matches!(extent.rows, Rows::Pending(_)))
        else {
            return;
        };
        let Some(extent) = self.extents.get_mut(at) else {
            return;
        };
        let first = extent.first;
        if let Rows::Pending(references) = &mut extent.rows {
            references.drain(..(count as usize).min(references.len()));
            extent.first += count;
            if references.is_empty() {
                self.extents.remove(at);
            }
        }
        self.add_segment(first, segment, count);
    }
}

#[cfg(test)]
#[path = "residency_tests.rs"]
mod tests;
