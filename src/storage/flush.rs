//! Flush: pending rows become a segment. Writes the file beside running reads and writes; only the catalog's transaction holds them up.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;
use zeroize::Zeroizing;

use super::catalog::seam::LOCATED_MAX;
use super::catalog::segments::Located;
use super::error::StorageError;
use super::place::{RowId, RowPlanes, SEGMENT_ROWS_MAX, SegmentRows};
use super::store::{Shared, Store, Unclaimed};
use super::write::FlushOutcome;

/// Names no row: a hole.
const NO_REFERENCE: u64 = 0;

impl Store {
    /// Moves pending rows to a new segment. Row i of it is `references[i]`; 0 or one that was erased before is a hole, one
    /// that is erased meanwhile a tombstone, and both are in [`FlushOutcome::dead`]. `encode` makes the codes of n rows of
    /// half-precision coordinates (n × 2·D bytes); rows that are zero are holes and their codes are not looked at.
    pub fn flush(
        &self,
        references: &[u64],
        encode: &dyn Fn(&[u8], usize) -> RowPlanes,
    ) -> Result<FlushOutcome, StorageError> {
        self.flush_in_order(references, encode, |claim| claim())
    }

    /// The same for a caller who has an order of changes of his own: once the segment is where it is to stay, which may take long, `in_order` is called, and makes it count by what it is given, or
    /// leaves that and the segment is destroyed.
    pub fn flush_in_order<T, E: From<StorageError>>(
        &self,
        references: &[u64],
        encode: &dyn Fn(&[u8], usize) -> RowPlanes,
        in_order: impl FnOnce(&mut dyn FnMut() -> Result<FlushOutcome, StorageError>) -> Result<T, E>,
    ) -> Result<T, E> {
        let shared = &*self.0;
        // Who is erased from now on may be in the file: nothing is called purged before it counts or is gone.
        let _moving = shared.moving.lock();
        let count = check_references(references)?;
        shared.writer.lock().check()?;
        let (ids, exact) = shared.pending_rows(references)?;
        let mut planes = encode(&exact, references.len());
        clear_holes(&mut planes, &ids);
        let rows = SegmentRows { planes, exact, ids };
        let mut file = shared.files.create(count)?;
        file.push(&rows, 0..rows.ids.len())?;
        let written = shared.files.finish(file)?;
        let mut unclaimed = Some(Unclaimed::new(&shared.files, written.ulid));
        in_order(&mut || {
            let again = || StorageError::Rows("a segment is made to count once".to_owned());
            let unclaimed = unclaimed.take().ok_or_else(again)?;
            let _upkeep = shared.upkeep.lock();
            let claimed = shared.change(|catalog| {
                catalog.flush(&written, &rows.ids, &mut |flushed| {
                    let buried = Arc::new(RwLock::new(flushed.buried.clone()));
                    shared.publish([shared.map(flushed.entry, buried)?]);
                    Ok(())
                })
            });
            let flushed = unclaimed.settle(claimed)?;
            Ok(FlushOutcome {
                segment: flushed.entry.number,
                dead: flushed.dead,
            })
        })
    }
}

impl Shared {
    /// Ids and coordinates of pending rows; holes for those that are gone.
    fn pending_rows(&self, references: &[u64]) -> Result<(Vec<RowId>, Zeroizing<Vec<u8>>), StorageError> {
        let len = 2 * self.spec.dimension.get();
        let mut ids = Vec::with_capacity(references.len());
        let mut exact = Zeroizing::new(Vec::with_capacity(references.len() * len));
        for references in references.chunks(LOCATED_MAX) {
            for (reference, located) in references.iter().zip(self.readers.locate(references)?) {
                match located {
                    None => {
                        ids.push(RowId::HOLE);
                        exact.extend(std::iter::repeat_n(0, len));
                    }
                    Some(Located::Placed { .. }) => {
                        return Err(StorageError::Rows(format!(
                            "reference {reference} is in a segment already"
                        )));
                    }
                    Some(Located::Pending(row)) => {
                        ids.push(row.id);
                        exact.extend_from_slice(&row.exact);
                    }
                }
            }
        }
        Ok((ids, exact))
    }
}

fn check_references(references: &[u64]) -> Result<u32, StorageError> {
    let count = u32::try_from(references.len())
        .ok()
        .filter(|count| *count <= SEGMENT_ROWS_MAX)
        .ok_or(StorageError::Limit {
            limit: "rows of a segment",
            max: u64::from(SEGMENT_ROWS_MAX),
            value: references.len() as u64,
        })?;
    let named = references.iter().filter(|reference| **reference != NO_REFERENCE);
    let distinct: HashSet<&u64> = named.clone().collect();
    if count == 0 || distinct.len() != named.count() {
        return Err(StorageError::Rows(
            "a flush takes at least one reference, and each once".to_owned(),
        ));
    }
    Ok(count)
}

/// Whatever the encoder made of rows that are not there.
pub(super) fn clear_holes(planes: &mut RowPlanes, ids: &[RowId]) {
    for plane in [&mut planes.sign, &mut planes.refine, &mut planes.scale] {
        let stride = plane.len() / ids.len();
        for (row, id) in plane.chunks_exact_mut(stride.max(1)).zip(ids) {
            if *id == RowId::HOLE {
                row.fill(0);
            }
        }
    }
}

#[cfg(test)]
#[path = "flush_tests.rs"]
mod tests;
