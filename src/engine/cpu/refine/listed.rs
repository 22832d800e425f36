//! Rows of a list, four at a time: what the kernels share that look at survivors of stage 1. Multiplies nothing.

/// Rows that are looked at together.
pub(super) const TOGETHER: usize = 4;

/// Up to four rows of a page.
#[derive(Clone, Copy)]
pub(super) struct Four {
    /// Places that are not filled repeat the first position.
    pub(super) positions: [u16; TOGETHER],
    /// A bit for each place that is filled.
    pub(super) filled: u32,
}

/// The rows of a list in their order.
#[inline]
pub(super) fn fours(positions: &[u16]) -> impl Iterator<Item = Four> {
    positions.chunks(TOGETHER).map(|some| {
        let mut positions = [some[0]; TOGETHER];
        positions[..some.len()].copy_from_slice(some);
        Four {
            positions,
            filled: 0xf >> (TOGETHER - some.len()),
        }
    })
}
