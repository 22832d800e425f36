//! Stage 1 in plain Rust: eight probes side by side, which compilers turn into vectors, or a few probes a byte of signs at a time. Uses no intrinsics.

use crate::engine::gallery::{PageView, TILE_ROWS};

use super::{
    ByteSums, KEPT_ROWS, Kept, LANES, Lanes, Scratch, SignBatch, WORD_BYTES, WORD_GROUPS, WORDS_IN_16_BITS,
};

/// Finds the rows of a page that survive.
pub(in crate::engine::cpu) fn page(
    page: &PageView<'_>,
    _next: &[u32],
    batch: &SignBatch,
    _scratch: &mut Scratch,
    kept: &mut [Kept],
) {
    kept.fill(Kept::default());
    // The entries of a few probes stay in the first cache while a page is read.
    let side_by_side = batch.lanes.chunks_exact(batch.words * WORD_GROUPS);
    for (some, (lanes, kept)) in side_by_side.zip(kept.chunks_mut(LANES)).enumerate() {
        keep(page, batch, some * LANES, kept, |tile, row| {
            lane_sums(tile, row, lanes)
        });
    }
    let one_by_one = batch.bytes.chunks_exact(batch.words * WORD_BYTES);
    for (probe, (bytes, kept)) in one_by_one.zip(kept.chunks_mut(1)).enumerate() {
        keep(page, batch, probe, kept, |tile, row| byte_sums(tile, row, bytes));
    }
}

/// Keeps the rows that survive for N probes from the first on, whose sums a function knows for a row of a tile.
#[inline]
fn keep<const N: usize>(
    page: &PageView<'_>,
    batch: &SignBatch,
    first: usize,
    kept: &mut [Kept],
    sums: impl Fn(&[[u32; TILE_ROWS]], usize) -> [u32; N],
) {
    let tiles = page.signs.chunks_exact(batch.words * TILE_ROWS);
    for (t, (tile, alphas)) in tiles.zip(page.alphas.chunks_exact(TILE_ROWS)).enumerate() {
        let tile = tile.as_chunks().0;
        for (row, alpha) in alphas.iter().enumerate() {
            let position = t * TILE_ROWS + row;
            for (i, (kept, sum)) in kept.iter_mut().zip(sums(tile, row)).enumerate() {
                let survives = u64::from(batch.survives(first + i, *alpha, sum));
                kept.0[position / KEPT_ROWS] |= survives << (position % KEPT_ROWS);
            }
        }
    }
}

/// L of a row of a tile for one probe.
#[inline]
fn byte_sums(tile: &[[u32; TILE_ROWS]], row: usize, bytes: &[ByteSums]) -> [u32; 1] {
    let words = tile.iter().zip(bytes.as_chunks::<WORD_BYTES>().0);
    let sums = words.map(|(word, [a, b, c, d])| {
        let [i, j, k, l] = word[row].to_le_bytes().map(usize::from);
        u32::from(a[i]) + u32::from(b[j]) + u32::from(c[k]) + u32::from(d[l])
    });
    [sums.sum()]
}

/// L of a row of a tile for each lane.
#[inline]
fn lane_sums(tile: &[[u32; TILE_ROWS]], row: usize, lanes: &[Lanes]) -> [u32; LANES] {
    let mut sums = [0_u32; LANES];
    for (words, lanes) in tile
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
