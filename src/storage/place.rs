//! Rows and where they are: the values that cross the seam of the storage. Planes are opaque bytes here.

use zeroize::Zeroizing;

/// Most rows of a segment.
pub const SEGMENT_ROWS_MAX: u32 = 65_536;
/// Bytes of a row's scale entry.
pub const SCALE_LEN: usize = 12;

/// Who a row belongs to. All zero is a hole: a dead row whose planes are zero as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId {
    /// Number of the reference, from 1, never used again.
    pub reference: u64,
    /// Handle of the subject, from 1, never used again.
    pub subject: u64,
}

impl RowId {
    /// No row.
    pub const HOLE: Self = Self {
        reference: 0,
        subject: 0,
    };
}

/// Codes of n rows, each plane contiguous, row after row.
#[derive(Clone, PartialEq, Eq)]
pub struct RowPlanes {
    /// D/8 bytes a row.
    pub sign: Vec<u8>,
    /// 3·D/8 bytes a row.
    pub refine: Vec<u8>,
    /// 12 bytes a row; all zero only for a hole.
    pub scale: Vec<u8>,
}

/// Rows for a segment.
pub struct SegmentRows {
    /// Codes.
    pub planes: RowPlanes,
    /// Half-precision coordinates, little-endian, 2·D bytes a row.
    pub exact: Zeroizing<Vec<u8>>,
    /// Who each row belongs to.
    pub ids: Vec<RowId>,
}

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// In a segment. Number and row stay the same when the segment is rewritten.
    Segment {
        /// Number of the segment.
        segment: u32,
        /// Row within it.
        row: u32,
    },
    /// Enrolled and not in a segment yet. Still answered after the flush.
    Pending {
        /// Number of the reference.
        reference: u64,
    },
}

/// One row in the clear. Wiped when dropped.
#[derive(PartialEq, Eq)]
pub struct StoredRow {
    /// Who it belongs to.
    pub id: RowId,
    /// Half-precision coordinates, little-endian, 2·D bytes.
    pub exact: Zeroizing<Vec<u8>>,
}

/// A segment of the gallery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number, stable across rewrites.
    pub number: u32,
    /// Rows, holes included.
    pub rows: u32,
}

/// How large a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSize {
    /// Rows, holes included.
    pub rows: u32,
    /// Holes.
    pub holes: u32,
}

/// What becomes resident of a segment.
pub struct LoadedSegment {
    /// Codes of all rows.
    pub planes: RowPlanes,
    /// Rows that must not be found: holes and tombstones, ascending.
    pub dead: Vec<u32>,
}
