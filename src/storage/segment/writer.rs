//! Writes one segment file, block by block as rows come. A file that is not finished is destroyed; nothing is ever changed afterwards.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ulid::Ulid;
use zeroize::Zeroizing;

use super::format::{Layout, Plane, SegmentContext, SegmentSeal, file_name};
use crate::keys::aead::TAG_LEN;
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::place::{RowId, SegmentRows};

/// Sealed blocks are handed to the operating system in pieces of about this size.
const WRITE_LEN: usize = 256 << 10;

/// A segment that is durable on disk and not in the catalog yet.
#[derive(Debug, Clone)]
pub(in crate::storage) struct WrittenSegment {
    /// Its file.
    pub(in crate::storage) ulid: Ulid,
    /// Where that is.
    pub(in crate::storage) path: PathBuf,
    /// Rows, holes included.
    pub(in crate::storage) rows: u32,
    /// Holes.
    pub(in crate::storage) holes: u32,
}

/// A segment file in the making.
pub(in crate::storage) struct SegmentWriter {
    path: PathBuf,
    file: Option<File>,
    seal: SegmentSeal,
    layout: Layout,
    planes: [PlaneWriter; 4],
    rows: usize,
    holes: u32,
}

impl SegmentWriter {
    /// Begins a file of exactly `rows` rows in `dir`.
    pub(in crate::storage) fn create(
        dir: &Path,
        context: &SegmentContext,
        rows: u32,
    ) -> Result<Self, StorageError> {
        Self::create_as(dir, context, Ulid::generate(), rows)
    }

    /// The same under a ULID that no file of this tenant ever had.
    pub(in crate::storage) fn create_as(
        dir: &Path,
        context: &SegmentContext,
        ulid: Ulid,
        rows: u32,
    ) -> Result<Self, StorageError> {
        let path = dir.join(file_name(ulid));
        let layout = Layout::new(context.dimension, rows);
        let file = durable::create_file(&path)?;
        let planes = Plane::ALL.map(|plane| PlaneWriter::new(plane, &layout));
        Ok(Self {
            path,
            file: Some(file),
            seal: context.seal(ulid),
            layout,
            planes,
            rows: 0,
            holes: 0,
        })
    }

    /// The file's id.
    pub(in crate::storage) fn ulid(&self) -> Ulid {
        self.seal.ulid
    }

    /// Rows that are still to come.
    pub(in crate::storage) fn room(&self) -> usize {
        self.layout.rows as usize - self.rows
    }

    /// Appends some of `rows`.
    pub(in crate::storage) fn push(
        &mut self,
        rows: &SegmentRows,
        range: Range<usize>,
    ) -> Result<(), StorageError> {
        check_rows(rows, &self.layout)?;
        assert!(
            range.len() <= self.room(),
            "a segment has as many rows as it was created with"
        );
        let file = self.file.as_ref().expect("open until finished");
        for row in range {
            let id = *rows.ids.get(row).expect("the range is within the rows");
            let parts = RowParts::of(rows, row, &self.layout);
            parts.check(id)?;
            self.holes += u32::from(id == RowId::HOLE);
            let mut ids = [0; 16];
            let (reference, subject) = ids.split_at_mut(8);
            reference.copy_from_slice(&id.reference.to_le_bytes());
            subject.copy_from_slice(&id.subject.to_le_bytes());
            let [sign, refine, scale, exact] = &mut self.planes;
            for (plane, bytes) in [(sign, parts.sign), (refine, parts.refine), (scale, parts.scale)] {
                plane.plain.extend_from_slice(bytes);
            }
            exact.plain.extend_from_slice(parts.exact);
            exact.plain.extend_from_slice(&ids);
            for plane in &mut self.planes {
                plane.seal_full(&self.seal);
                plane.write(file, &self.path, WRITE_LEN)?;
            }
            self.rows += 1;
        }
        Ok(())
    }

    /// Writes what is left and the header; durable when it returns.
    pub(in crate::storage) fn finish(mut self) -> Result<WrittenSegment, StorageError> {
        assert_eq!(self.room(), 0, "a segment is finished when all its rows came");
        let file = self.file.as_ref().expect("open until finished");
        for plane in &mut self.planes {
            plane.seal_rest(&self.seal);
            plane.write(file, &self.path, 1)?;
        }
        // The header comes last: a file without one is never taken for a segment.
        file.write_all_at(&self.seal.header(&self.layout), 0)
            .and_then(|()| file.sync_all())
            .map_err(|e| StorageError::io("write", &self.path, e))?;
        durable::sync_dir(self.path.parent().expect("a segment stands in a directory"))?;
        self.file = None;
        Ok(WrittenSegment {
            ulid: self.seal.ulid,
            path: self.path.clone(),
            rows: self.layout.rows,
            holes: self.holes,
        })
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What can't be destroyed now is an orphan, which the next open destroys.
            let _ = durable::destroy_file(&self.path);
        }
    }
}

/// One plane on its way to the file.
struct PlaneWriter {
    plane: Plane,
    /// Plaintext bytes of a full block.
    block_len: usize,
    /// Next block to seal.
    block: usize,
    /// Where `sealed` goes.
    at: u64,
    /// Rows of the next block; its capacity is a block's, so that no copy in the clear is left behind by growing.
    plain: Zeroizing<Vec<u8>>,
    sealed: Vec<u8>,
}

impl PlaneWriter {
    fn new(plane: Plane, layout: &Layout) -> Self {
        let layout = layout.plane(plane);
        let block_len = layout.block_rows * layout.stride;
        Self {
            plane,
            block_len,
            block: 0,
            at: layout.offset as u64,
            plain: Zeroizing::new(Vec::with_capacity(block_len)),
            sealed: Vec::with_capacity(WRITE_LEN + block_len + TAG_LEN),
        }
    }

    fn seal_full(&mut self, seal: &SegmentSeal) {
        if self.plain.len() == self.block_len {
            self.seal_rest(seal);
        }
    }

    fn seal_rest(&mut self, seal: &SegmentSeal) {
        if self.plain.is_empty() {
            return;
        }
        let from = self.sealed.len();
        self.sealed.extend_from_slice(&self.plain);
        seal.seal_block(self.plane, self.block, &mut self.sealed, from);
        self.block += 1;
        self.plain.clear();
    }

    fn write(&mut self, file: &File, path: &Path, len_min: usize) -> Result<(), StorageError> {
        if self.sealed.len() >= len_min {
            file.write_all_at(&self.sealed, self.at)
                .map_err(|e| StorageError::io("write", path, e))?;
            self.at += self.sealed.len() as u64;
            self.sealed.clear();
        }
        Ok(())
    }
}

/// One row, cut out of the planes.
struct RowParts<'a> {
    sign: &'a [u8],
    refine: &'a [u8],
    scale: &'a [u8],
    exact: &'a [u8],
}

impl<'a> RowParts<'a> {
    fn of(rows: &'a SegmentRows, row: usize, layout: &Layout) -> Self {
        let cut = |bytes: &'a [u8], stride: usize| {
            bytes
                .get(row * stride..(row + 1) * stride)
                .expect("lengths were checked")
        };
        let stride = |plane| layout.plane(plane).stride;
        Self {
            sign: cut(&rows.planes.sign, stride(Plane::Sign)),
            refine: cut(&rows.planes.refine, stride(Plane::Refine)),
            scale: cut(&rows.planes.scale, stride(Plane::Scale)),
            exact: cut(&rows.exact, 2 * layout.dimension.get()),
        }
    }

    /// A hole is zero throughout, and only a hole has a zero scale: a start tells them apart by that.
    fn check(&self, id: RowId) -> Result<(), StorageError> {
        let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        let hole = id == RowId::HOLE;
        if hole && !(zero(self.sign) && zero(self.refine) && zero(self.exact)) {
            return Err(StorageError::Rows("a hole is not zero throughout".to_owned()));
        }
        if hole != zero(self.scale) {
            return Err(StorageError::Rows(format!(
                "reference {} has {} scale",
                id.reference,
                if hole { "a" } else { "no" }
            )));
        }
        Ok(())
    }
}

/// Checks that the planes have as many rows as there are ids.
fn check_rows(rows: &SegmentRows, layout: &Layout) -> Result<(), StorageError> {
    let count = rows.ids.len();
    let stride = |plane| layout.plane(plane).stride;
    for (name, found, stride) in [
        ("sign", rows.planes.sign.len(), stride(Plane::Sign)),
        ("refine", rows.planes.refine.len(), stride(Plane::Refine)),
        ("scale", rows.planes.scale.len(), stride(Plane::Scale)),
        ("exact", rows.exact.len(), 2 * layout.dimension.get()),
    ] {
        if found != count * stride {
            return Err(StorageError::Rows(format!(
                "the {name} plane has {found} bytes; {count} rows take {}",
                count * stride
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
