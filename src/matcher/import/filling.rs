//! Rows of an import until they fill a segment. Places and writes nothing.

use half::f16;
use zeroize::Zeroizing;

use crate::engine::code::Codes;
use crate::matcher::load::planes_of;
use crate::matcher::node::NodeError;
use crate::model::reject::Rejected;
use crate::model::signature::Dimension;
use crate::storage::place::{RowId, SEGMENT_ROWS_MAX, SegmentRows};

/// Half-precision rows of the segment that is being filled.
pub(in crate::matcher) struct Filling {
    dimension: Dimension,
    exact: Zeroizing<Vec<u16>>,
    ids: Vec<RowId>,
}

impl Filling {
    /// None yet.
    pub(in crate::matcher) fn new(dimension: Dimension) -> Self {
        Self {
            dimension,
            exact: Zeroizing::new(Vec::new()),
            ids: Vec::new(),
        }
    }

    /// Coordinates of a row.
    pub(in crate::matcher) fn dimension(&self) -> usize {
        self.dimension.get()
    }

    pub(in crate::matcher) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Refuses a chunk that has not as many coordinates as its rows, or more rows than are still to come after `taken`; gives how many have come with it.
    pub(in crate::matcher) fn check(
        &self,
        (coordinates, rows): (usize, usize),
        taken: u64,
        announced: u64,
    ) -> Result<u64, NodeError> {
        let dimension = self.dimension.get();
        if coordinates != rows * dimension {
            let came = coordinates;
            let problem = format!("{came} coordinates came for {rows} rows of dimension {dimension}");
            return Err(Rejected::new("rows", problem).into());
        }
        let taken = taken + rows as u64;
        if taken > announced {
            let problem = format!("{announced} rows were announced and more came");
            return Err(Rejected::new("header.rows", problem).into());
        }
        Ok(taken)
    }

    /// Adds a row. True where the segment is full.
    pub(in crate::matcher) fn push(&mut self, id: RowId, row: &[f32]) -> bool {
        self.ids.push(id);
        let halves = row.iter().map(|&value| f16::from_f32(value).to_bits());
        self.exact.extend(halves);
        self.ids.len() == SEGMENT_ROWS_MAX as usize
    }

    /// The rows so far, with their codes; none are left.
    pub(in crate::matcher) fn take(&mut self) -> (Codes, SegmentRows) {
        let exact = std::mem::replace(&mut self.exact, Zeroizing::new(Vec::new()));
        let ids = std::mem::take(&mut self.ids);
        let rows: &[f16] = bytemuck::cast_slice(&exact);
        let codes = Codes::encode(self.dimension, rows);
        let rows = SegmentRows {
            planes: planes_of(&codes),
            exact: Zeroizing::new(exact.iter().flat_map(|bits| bits.to_le_bytes()).collect()),
            ids,
        };
        (codes, rows)
    }
}
