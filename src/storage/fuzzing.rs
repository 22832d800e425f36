//! Doors to readers that are private to the storage, for the fuzz targets in `tests/fuzz`: one file, read under a fixed key. No server comes here.

use std::path::Path;

use ulid::Ulid;
use zeroize::Zeroizing;

use super::error::StorageError;
use super::mark::{self, Mark};
use super::place::{RowId, RowPlanes, SCALE_LEN, SegmentRows};
use super::segment::format::{Plane, SegmentContext, file_name};
use super::segment::reader::SegmentReader;
use super::segment::writer::SegmentWriter;
use crate::keys::secret::SecretKey;
use crate::model::signature::Dimension;

/// The mark's file in a directory.
pub const MARK_FILE: &str = mark::MARK_FILE;
/// Dimension of the segment.
const DIM: usize = 32;
/// Rows of the segment; the second is a hole.
const ROWS: u32 = 5;

fn key() -> SecretKey {
    SecretKey::from_bytes([7; 32])
}

fn context() -> SegmentContext {
    let tenant = "acme".parse().expect("a valid id");
    SegmentContext::new(&tenant, Dimension::new(DIM).expect("a valid dimension"), &key())
}

fn ulid() -> Ulid {
    Ulid::from_bytes([7; 16])
}

/// Name of the segment's file.
pub fn segment_file() -> String {
    file_name(ulid())
}

/// Writes a small segment into `dir`.
pub fn write_segment(dir: &Path) -> Result<(), StorageError> {
    let rows = ROWS as usize;
    let ids = (1..=u64::from(ROWS)).map(|n| match n {
        2 => RowId::HOLE,
        n => RowId {
            reference: n,
            subject: n,
        },
    });
    let ids: Vec<RowId> = ids.collect();
    let plane = |stride: usize| -> Vec<u8> {
        let row = |id: &RowId| vec![u8::try_from(id.reference).expect("few rows"); stride];
        ids.iter().flat_map(row).collect()
    };
    let rows_of_segment = SegmentRows {
        planes: RowPlanes {
            sign: plane(DIM / 8),
            refine: plane(3 * DIM / 8),
            scale: plane(SCALE_LEN),
        },
        exact: Zeroizing::new(plane(2 * DIM)),
        ids,
    };
    let mut writer = SegmentWriter::create_as(dir, &context(), ulid(), ROWS)?;
    writer.push(&rows_of_segment, 0..rows)?;
    writer.finish().map(drop)
}

/// Opens the segment in `dir` and reads every plane and row; returns the rows that are no holes.
pub fn read_segment(dir: &Path) -> Result<usize, StorageError> {
    let reader = SegmentReader::open(dir, &context(), ulid(), ROWS)?;
    let mut live = 0;
    for plane in Plane::ALL {
        let opened = reader.open_plane(plane)?;
        for row in 0..ROWS {
            assert_eq!(
                reader.sealed_row(row)?.len(),
                Plane::Exact.stride(context().dimension)
            );
            live += usize::from(plane == Plane::Exact && reader.row_in_block(row, &opened).is_some());
        }
    }
    Ok(live)
}

/// Writes the mark of a new tenant into `dir`.
pub fn write_mark(dir: &Path) -> Result<(), StorageError> {
    Mark::create(dir, &key(), 0)
}

/// Reads the mark in `dir`.
pub fn read_mark(dir: &Path) -> Result<u64, StorageError> {
    mark::read(dir, &key())
}
