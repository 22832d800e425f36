//! Where the blocks of one segment are and how each is opened, wherever its bytes come from. Does no I/O.

use std::ops::Range;

use ulid::Ulid;
use zeroize::Zeroizing;

use super::format::{HeaderFault, Layout, Plane, SegmentContext, SegmentSeal};
use crate::keys::aead::TAG_LEN;
use crate::storage::error::StorageError;
use crate::storage::place::{RowId, StoredRow};

/// Layout and seal of one segment.
pub(in crate::storage) struct SegmentBlocks {
    seal: SegmentSeal,
    layout: Layout,
}

impl SegmentBlocks {
    /// Of the file that the catalog names, with as many rows as it says.
    pub(in crate::storage) fn new(context: &SegmentContext, ulid: Ulid, rows: u32) -> Self {
        Self {
            seal: context.seal(ulid),
            layout: Layout::new(context.dimension, rows),
        }
    }

    /// Where everything is.
    pub(in crate::storage) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Says what is wrong with a header, or nothing.
    pub(in crate::storage) fn header_fault(&self, page: &[u8]) -> Option<HeaderFault> {
        self.seal.header_fault(page, &self.layout)
    }

    /// Blocks of a plane.
    pub(in crate::storage) fn count(&self, plane: Plane) -> usize {
        (self.layout.rows as usize).div_ceil(self.layout.plane(plane).block_rows)
    }

    /// The bytes of a block in the file, its tag included.
    pub(in crate::storage) fn span(&self, plane: Plane, block: usize) -> Range<usize> {
        let (at, len) = self.layout.plane(plane).block(block);
        at..at + len + TAG_LEN
    }

    /// Opens a block and its tag onto the end of `out`, or says what is wrong and leaves `out` as it is.
    pub(in crate::storage) fn open(
        &self,
        plane: Plane,
        block: usize,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let (sealed, tag) = bytes
            .split_last_chunk::<TAG_LEN>()
            .expect("a block ends with its tag");
        let from = out.len();
        out.extend_from_slice(sealed);
        let plain = out.get_mut(from..).expect("just appended");
        if self.seal.open_block(plane, block, plain, tag) {
            return Ok(());
        }
        out.truncate(from);
        Err(format!(
            "block {block} of the {} plane fails authentication",
            plane.name()
        ))
    }

    /// Rows of the exact plane in the order asked for; `None` for a hole. Each block that has some of them is opened once, by `open`, and wiped.
    pub(in crate::storage) fn rows(
        &self,
        rows: &[u32],
        mut open: impl FnMut(usize, &mut Vec<u8>) -> Result<(), StorageError>,
    ) -> Result<Vec<Option<StoredRow>>, StorageError> {
        if let Some(row) = rows.iter().find(|row| **row >= self.layout.rows) {
            let fault = format!("row {row} of a segment of {} rows is asked for", self.layout.rows);
            return Err(StorageError::Rows(fault));
        }
        let block_rows = self.layout.plane(Plane::Exact).block_rows;
        let mut order: Vec<(u32, usize)> = rows.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut found: Vec<Option<StoredRow>> = Vec::with_capacity(rows.len());
        found.resize_with(rows.len(), || None);
        let mut plain = Zeroizing::new(Vec::new());
        let block_of = |row: u32| row as usize / block_rows;
        for of_block in order.chunk_by(|one, other| block_of(one.0) == block_of(other.0)) {
            let (first, _) = of_block.first().expect("no chunk is empty");
            plain.clear();
            open(block_of(*first), &mut plain)?;
            for (row, at) in of_block {
                *found.get_mut(*at).expect("one answer a row") = self.row_in_block(*row, &plain);
            }
        }
        Ok(found)
    }

    /// Cuts a row out of its opened block of the exact plane; `None` for a hole.
    pub(in crate::storage) fn row_in_block(&self, row: u32, block: &[u8]) -> Option<StoredRow> {
        let layout = self.layout.plane(Plane::Exact);
        let at = row as usize % layout.block_rows * layout.stride;
        let bytes = block
            .get(at..at + layout.stride)
            .expect("the row is within its block");
        let (exact, id) = split_exact(bytes);
        (id != RowId::HOLE).then(|| StoredRow {
            id,
            exact: Zeroizing::new(exact.to_vec()),
        })
    }
}

/// Splits a row of the exact plane into coordinates and id.
pub(in crate::storage) fn split_exact(row: &[u8]) -> (&[u8], RowId) {
    let (rest, subject) = row.split_last_chunk::<8>().expect("a row ends with its ids");
    let (exact, reference) = rest.split_last_chunk::<8>().expect("a row ends with its ids");
    let id = RowId {
        reference: u64::from_le_bytes(*reference),
        subject: u64::from_le_bytes(*subject),
    };
    (exact, id)
}
