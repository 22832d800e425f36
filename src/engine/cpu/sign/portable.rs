//! Stage 1 in plain Rust: one row at a time, eight probes side by side, which compilers turn into vectors. Uses no intrinsics.

use crate::engine::gallery::{PageView, TILE_ROWS};

use super::{KEPT_ROWS, Kept, LANES, Lanes, Scratch, SignBatch, WORD_GROUPS, WORDS_IN_16_BITS};

/// Finds the rows of a page that survive.
pub(in crate::engine::cpu) fn page(
    page: &PageView<'_>,
    _next: &[u32],
    batch: &SignBatch,
    _scratch: &mut Scratch,
    kept: &mut [Kept],
) {
    let groups = batch.words * WORD_GROUPS;
    // The entries of a few probes stay in the first cache while a page is read.
    for (some, (lanes, kept)) in batch
        .lanes
        .chunks_exact(groups)
        .zip(kept.chunks_mut(LANES))
        .enumerate()
    {
        kept.fill(Kept::default());
        let tiles = page.signs.chunks_exact(batch.words * TILE_ROWS);
        for (t, (tile, alphas)) in tiles.zip(page.alphas.chunks_exact(TILE_ROWS)).enumerate() {
            for (row, alpha) in alphas.iter().enumerate() {
                let sums = sums(tile, row, lanes);
                let position = t * TILE_ROWS + row;
                for (lane, (kept, sum)) in kept.iter_mut().zip(sums).enumerate() {
                    let survives = u64::from(batch.survives(some * LANES + lane, *alpha, sum));
                    kept.0[position / KEPT_ROWS] |= survives << (position % KEPT_ROWS);
                }
            }
        }
    }
}

/// L of one row of a tile for each lane.
#[inline]
fn sums(tile: &[u32], row: usize, lanes: &[Lanes]) -> [u32; LANES] {
    let mut sums = [0_u32; LANES];
    let words = tile.as_chunks::<TILE_ROWS>().0;
    for (words, lanes) in words
        .chunks(WORDS_IN_16_BITS)
        .zip(lanes.chunks(WORDS_IN_16_BITS * WORD_GROUPS))
    {
        let mut short_sums = [0_u16; LANES];
        for (word, groups) in words.iter().zip(lanes.as_chunks::<WORD_GROUPS>().0) {
            let mut signs = word[row];
            for entries in groups {
                for (sum, entry) in short_sums.iter_mut().zip(&entries[signs as usize & 15]) {
                    *sum += entry;
                }
                signs >>= 4;
            }
        }
        for (sum, short_sum) in sums.iter_mut().zip(short_sums) {
            *sum += u32::from(short_sum);
        }
    }
    sums
}
