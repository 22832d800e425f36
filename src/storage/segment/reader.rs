//! Reads one segment, wherever its bytes are. Every byte that it hands out was authenticated; nothing in the clear is kept.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ulid::Ulid;
use zeroize::Zeroizing;

use super::blocks::SegmentBlocks;
use super::format::{HEADER_LEN, HeaderFault, Plane, SegmentContext, VERSION, file_name};
use crate::storage::error::StorageError;
use crate::storage::map::Map;
use crate::storage::place::{RowPlanes, StoredRow};

/// Most bytes that are asked for at once where blocks follow one another: one request to a store of objects.
const RUN_LEN: usize = 8 << 20;

/// Where the bytes of a segment's file are.
pub(in crate::storage) trait SegmentBytes: Send + Sync {
    /// A range within the file, exactly.
    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, StorageError>;

    /// What messages call it.
    fn path(&self) -> &Path;

    /// They are not what was written.
    fn damaged(&self, fault: String) -> StorageError;

    /// How often they are read before they are called damaged: more than once where they may be spoiled on their way here.
    fn reads(&self) -> usize {
        1
    }
}

/// A mapped file.
struct Mapped {
    path: PathBuf,
    map: Map,
}

impl SegmentBytes for Mapped {
    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, StorageError> {
        let bytes = self.map.bytes().get(range).expect("the length was checked");
        Ok(Cow::Borrowed(bytes))
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn damaged(&self, fault: String) -> StorageError {
        StorageError::damaged(&self.path, fault)
    }
}

/// A segment whose header is authentic.
pub(in crate::storage) struct SegmentReader {
    bytes: Box<dyn SegmentBytes>,
    blocks: SegmentBlocks,
}

/// Blocks that are read at once.
struct Run {
    /// The number of the first one.
    first: usize,
    /// All of them.
    bytes: Range<usize>,
    /// Each of them.
    spans: Vec<Range<usize>>,
}

impl Run {
    /// Hands out each block of the bytes that were read.
    fn each(
        &self,
        read: &[u8],
        mut each: impl FnMut(usize, &[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.spans.iter().zip(self.first..).try_for_each(|(span, block)| {
            let bytes = read.get(span.start - self.bytes.start..span.end - self.bytes.start);
            each(block, bytes.expect("it is in the run"))
        })
    }
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
        let blocks = SegmentBlocks::new(context, ulid, rows);
        let map = Map::open(&path, blocks.layout().file_len())?;
        Self::over(Box::new(Mapped { path, map }), blocks)
    }

    /// Checks the header of a file whose length was checked against the catalog.
    pub(in crate::storage) fn over(
        bytes: Box<dyn SegmentBytes>,
        blocks: SegmentBlocks,
    ) -> Result<Self, StorageError> {
        let reader = Self { bytes, blocks };
        reader.authentic(0..HEADER_LEN, |header| reader.check_header(header))?;
        Ok(reader)
    }

    fn check_header(&self, page: &[u8]) -> Result<(), StorageError> {
        match self.blocks.header_fault(page) {
            None => Ok(()),
            Some(HeaderFault::Text(fault)) => Err(self.bytes.damaged(fault)),
            Some(HeaderFault::Newer(found)) => Err(StorageError::NewerFormat {
                path: self.bytes.path().to_owned(),
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
        let (mut piece, mut plain) = (Vec::new(), Zeroizing::new(Vec::new()));
        self.authentic(0..HEADER_LEN, |header| {
            piece.clear();
            piece.extend_from_slice(header);
            self.check_header(&piece)
        })?;
        to(&piece)?;
        for plane in Plane::ALL {
            for run in self.runs(plane, 0..self.blocks.count(plane)) {
                self.authentic(run.bytes.clone(), |sealed| {
                    piece.clear();
                    piece.extend_from_slice(sealed);
                    run.each(&piece, |block, bytes| {
                        plain.clear();
                        self.append_sealed(plane, block, bytes, &mut plain)
                    })
                })?;
                to(&piece)?;
            }
        }
        Ok(())
    }

    /// The file.
    pub(in crate::storage) fn path(&self) -> &Path {
        self.bytes.path()
    }

    /// Bytes of the file.
    pub(in crate::storage) fn file_len(&self) -> u64 {
        self.blocks.layout().file_len()
    }

    /// The file is not what was written.
    pub(in crate::storage) fn damaged(&self, fault: String) -> StorageError {
        self.bytes.damaged(fault)
    }

    /// Rows, holes included.
    pub(in crate::storage) fn rows(&self) -> u32 {
        self.blocks.layout().rows
    }

    /// Rows of a block of the exact plane.
    pub(in crate::storage) fn exact_block_rows(&self) -> u32 {
        u32::try_from(self.blocks.layout().plane(Plane::Exact).block_rows).expect("a block has few rows")
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
        self.blocks.count(plane) as u64
    }

    /// Opens a whole plane.
    pub(in crate::storage) fn open_plane(&self, plane: Plane) -> Result<Vec<u8>, StorageError> {
        let layout = self.blocks.layout();
        let mut out = Vec::with_capacity(layout.rows as usize * layout.plane(plane).stride);
        self.append_blocks(plane, 0..self.blocks.count(plane), &mut out)?;
        Ok(out)
    }

    /// The codes of all rows.
    pub(in crate::storage) fn codes(&self) -> Result<RowPlanes, StorageError> {
        Ok(RowPlanes {
            sign: self.open_plane(Plane::Sign)?,
            refine: self.open_plane(Plane::Refine)?,
            scale: self.open_plane(Plane::Scale)?,
        })
    }

    /// Opens the blocks that hold `count` rows from `first` on, which both stand at the edge of a block or the end.
    pub(in crate::storage) fn open_rows(
        &self,
        plane: Plane,
        first: usize,
        count: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        let block_rows = self.blocks.layout().plane(plane).block_rows;
        assert!(
            first.is_multiple_of(block_rows),
            "a run of rows begins with a block"
        );
        out.clear();
        self.append_blocks(
            plane,
            first / block_rows..(first + count).div_ceil(block_rows),
            out,
        )
    }

    /// Rows of the exact plane in the order asked for; `None` for a hole.
    pub(in crate::storage) fn rows_at(&self, rows: &[u32]) -> Result<Vec<Option<StoredRow>>, StorageError> {
        self.blocks
            .rows(rows, |block, plain| self.append_block(Plane::Exact, block, plain))
    }

    /// Cuts a row out of its opened block; `None` for a hole.
    pub(in crate::storage) fn row_in_block(&self, row: u32, block: &[u8]) -> Option<StoredRow> {
        self.blocks.row_in_block(row, block)
    }

    /// First byte of a row of the exact plane in the file.
    pub(in crate::storage) fn row_offset(&self, row: u32) -> usize {
        let layout = self.blocks.layout().plane(Plane::Exact);
        let row = row as usize;
        let (at, _) = layout.block(row / layout.block_rows);
        at + row % layout.block_rows * layout.stride
    }

    /// A row of the exact plane as it stands in the file, encrypted.
    pub(in crate::storage) fn sealed_row(&self, row: u32) -> Result<Cow<'_, [u8]>, StorageError> {
        let from = self.row_offset(row);
        let stride = self.blocks.layout().plane(Plane::Exact).stride;
        self.sealed(from..from + stride)
    }

    /// The same of a block that is authentic.
    pub(in crate::storage) fn authentic_row(&self, row: u32) -> Result<Vec<u8>, StorageError> {
        let layout = self.blocks.layout().plane(Plane::Exact);
        let (block, from) = (row as usize / layout.block_rows, self.row_offset(row));
        let span = self.blocks.span(Plane::Exact, block);
        let from = from - span.start;
        self.authentic(span, |sealed| {
            self.append_sealed(Plane::Exact, block, sealed, &mut Zeroizing::new(Vec::new()))?;
            let bytes = sealed.get(from..from + layout.stride);
            Ok(bytes.expect("the row is within its block").to_vec())
        })
    }

    fn append_block(&self, plane: Plane, block: usize, out: &mut Vec<u8>) -> Result<(), StorageError> {
        self.append_blocks(plane, block..block + 1, out)
    }

    /// Opens blocks that follow one another.
    fn append_blocks(
        &self,
        plane: Plane,
        blocks: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        for run in self.runs(plane, blocks) {
            let opened = out.len();
            self.authentic(run.bytes.clone(), |sealed| {
                out.truncate(opened);
                run.each(sealed, |block, bytes| {
                    self.append_sealed(plane, block, bytes, out)
                })
            })?;
        }
        Ok(())
    }

    /// Blocks that follow one another, by what is read of them at once.
    fn runs(&self, plane: Plane, blocks: Range<usize>) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for block in blocks {
            let span = self.blocks.span(plane, block);
            match runs.last_mut() {
                Some(run) if span.end - run.bytes.start <= RUN_LEN => {
                    run.bytes.end = span.end;
                    run.spans.push(span);
                }
                _ => runs.push(Run {
                    first: block,
                    bytes: span.clone(),
                    spans: vec![span],
                }),
            }
        }
        runs
    }

    /// Opens a block and its tag.
    fn append_sealed(
        &self,
        plane: Plane,
        block: usize,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        self.blocks
            .open(plane, block, bytes, out)
            .map_err(|fault| self.bytes.damaged(fault))
    }

    /// What `open` finds authentic in a range of the file. It may be asked again, of what the range is read as then.
    fn authentic<T>(
        &self,
        range: Range<usize>,
        mut open: impl FnMut(&[u8]) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut read = 0;
        loop {
            read += 1;
            match open(&self.sealed(range.clone())?) {
                Err(error) if read < self.bytes.reads() => {
                    tracing::warn!(%error, read, "it is read again");
                }
                done => return done,
            }
        }
    }

    /// Bytes of the file as they are.
    fn sealed(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, StorageError> {
        self.bytes.read(range)
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
