//! Reads one mapped segment. Every byte that it hands out was authenticated; nothing in the clear is kept.

use std::path::{Path, PathBuf};

use ulid::Ulid;
use zeroize::Zeroizing;

use super::format::{
    HEADER_LEN, HeaderFault, Layout, Plane, SegmentContext, SegmentSeal, VERSION, file_name,
};
use crate::keys::aead::TAG_LEN;
use crate::storage::error::StorageError;
use crate::storage::map::Map;
use crate::storage::place::{RowId, StoredRow};

/// A mapped segment file whose header is authentic.
pub(in crate::storage) struct SegmentReader {
    path: PathBuf,
    map: Map,
    seal: SegmentSeal,
    layout: Layout,
}

impl SegmentReader {
    /// Maps the file that the catalog names and checks its header against the catalog.
    pub(in crate::storage) fn open(
        dir: &Path,
        context: &SegmentContext,
        ulid: Ulid,
        rows: u32,
    ) -> Result<Self, StorageError> {
        let path = dir.join(file_name(ulid));
        let layout = Layout::new(context.dimension, rows);
        let map = Map::open(&path, layout.file_len())?;
        let seal = context.seal(ulid);
        let page = map
            .bytes()
            .get(..HEADER_LEN)
            .expect("the length was checked")
            .to_vec();
        let reader = Self {
            path,
            map,
            seal,
            layout,
        };
        reader.check_header(&page)?;
        Ok(reader)
    }

    fn check_header(&self, page: &[u8]) -> Result<(), StorageError> {
        match self.seal.header_fault(page, &self.layout) {
            None => Ok(()),
            Some(HeaderFault::Text(fault)) => Err(StorageError::damaged(&self.path, fault)),
            Some(HeaderFault::Newer(found)) => Err(StorageError::NewerFormat {
                path: self.path.clone(),
                found,
                supported: VERSION,
            }),
        }
    }

    /// Hands the file on as it is, piece by piece from its beginning to its end. Each piece is copied out and the copy is authenticated, so that a file
    /// that is overwritten meanwhile is found and not copied.
    pub(in crate::storage) fn copy(
        &self,
        mut to: impl FnMut(&[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let bytes = |at: usize, len: usize| {
            let bytes = self.map.bytes().get(at..at + len);
            bytes.expect("the length was checked")
        };
        let header = bytes(0, HEADER_LEN).to_vec();
        self.check_header(&header)?;
        to(&header)?;
        let (mut piece, mut plain) = (Vec::new(), Zeroizing::new(Vec::new()));
        for plane in Plane::ALL {
            let layout = self.layout.plane(plane);
            for block in 0..(self.layout.rows as usize).div_ceil(layout.block_rows) {
                let (at, len) = layout.block(block);
                piece.clear();
                piece.extend_from_slice(bytes(at, len + TAG_LEN));
                plain.clear();
                self.append_sealed(plane, block, &piece, &mut plain)?;
                to(&piece)?;
            }
        }
        Ok(())
    }

    /// The file.
    pub(in crate::storage) fn path(&self) -> &Path {
        &self.path
    }

    /// Rows, holes included.
    pub(in crate::storage) fn rows(&self) -> u32 {
        self.layout.rows
    }

    /// Bytes of the file.
    pub(in crate::storage) fn file_len(&self) -> u64 {
        self.layout.file_len()
    }

    /// Rows of a block of the exact plane.
    pub(in crate::storage) fn exact_block_rows(&self) -> u32 {
        u32::try_from(self.layout.plane(Plane::Exact).block_rows).expect("a block has few rows")
    }

    /// Opens one block into `out`, replacing what is there.
    pub(in crate::storage) fn open_block(
        &self,
        plane: Plane,
        block: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        out.clear();
        self.append_block(plane, block, out)
    }

    /// Blocks of a plane.
    pub(in crate::storage) fn block_count(&self, plane: Plane) -> u64 {
        let rows = self.layout.rows as usize;
        rows.div_ceil(self.layout.plane(plane).block_rows) as u64
    }

    /// Opens a whole plane.
    pub(in crate::storage) fn open_plane(&self, plane: Plane) -> Result<Vec<u8>, StorageError> {
        let rows = self.layout.rows as usize;
        let layout = self.layout.plane(plane);
        let mut out = Vec::with_capacity(rows * layout.stride);
        for block in 0..rows.div_ceil(layout.block_rows) {
            self.append_block(plane, block, &mut out)?;
        }
        Ok(out)
    }

    /// Opens the blocks that hold `count` rows from `first` on, which both stand at the edge of a block or the end.
    pub(in crate::storage) fn open_rows(
        &self,
        plane: Plane,
        first: usize,
        count: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        let block_rows = self.layout.plane(plane).block_rows;
        assert!(
            first.is_multiple_of(block_rows),
            "a run of rows begins with a block"
        );
        out.clear();
        for block in first / block_rows..(first + count).div_ceil(block_rows) {
            self.append_block(plane, block, out)?;
        }
        Ok(())
    }

    /// Cuts a row out of its opened block; `None` for a hole.
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

    /// First byte of a row of the exact plane in the file.
    pub(in crate::storage) fn row_offset(&self, row: u32) -> usize {
        let layout = self.layout.plane(Plane::Exact);
        let row = row as usize;
        let (at, _) = layout.block(row / layout.block_rows);
        at + row % layout.block_rows * layout.stride
    }

    /// A row of the exact plane as it stands in the file, encrypted.
    pub(in crate::storage) fn sealed_row(&self, row: u32) -> &[u8] {
        let from = self.row_offset(row);
        let stride = self.layout.plane(Plane::Exact).stride;
        let sealed = self.map.bytes().get(from..from + stride);
        sealed.expect("the row is within the file")
    }

    fn append_block(&self, plane: Plane, block: usize, out: &mut Vec<u8>) -> Result<(), StorageError> {
        let (at, len) = self.layout.plane(plane).block(block);
        let bytes = self
            .map
            .bytes()
            .get(at..at + len + TAG_LEN)
            .expect("the length was checked");
        self.append_sealed(plane, block, bytes, out)
    }

    /// Opens a block and its tag.
    fn append_sealed(
        &self,
        plane: Plane,
        block: usize,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        let (sealed, tag) = bytes
            .split_last_chunk::<TAG_LEN>()
            .expect("a block ends with its tag");
        let from = out.len();
        out.extend_from_slice(sealed);
        let plain = out.get_mut(from..).expect("just appended");
        if self.seal.open_block(plane, block, plain, tag) {
            Ok(())
        } else {
            out.truncate(from);
            Err(StorageError::damaged(
                &self.path,
                format!("block {block} of the {} plane fails authentication", plane.name()),
            ))
        }
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

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
