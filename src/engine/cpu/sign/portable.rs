//! Stage 1 in plain Rust: a byte of signs at a time. Uses no intrinsics.

use crate::engine::gallery::{PageView, TILE_ROWS};

use super::{Kept, SignProbe};

/// Finds the rows of a page that survive.
pub(in crate::engine::cpu) fn page(page: &PageView<'_>, probe: &SignProbe, kept: &mut Kept) {
    kept.clear(page.len());
    let words = probe.bytes.len() / 4;
    let tiles = page.signs.chunks_exact(words * TILE_ROWS);
    for (t, (tile, alphas)) in tiles.zip(page.alphas.chunks_exact(TILE_ROWS)).enumerate() {
        let mut sums = [0_u32; TILE_ROWS];
        for (word, tables) in tile
            .as_chunks::<TILE_ROWS>()
            .0
            .iter()
            .zip(probe.bytes.as_chunks::<4>().0)
        {
            for (sum, signs) in sums.iter_mut().zip(word) {
                let [a, b, c, d] = signs.to_le_bytes().map(usize::from);
                *sum += u32::from(tables[0][a])
                    + u32::from(tables[1][b])
                    + u32::from(tables[2][c])
                    + u32::from(tables[3][d]);
            }
        }
        for (row, (sum, alpha)) in sums.into_iter().zip(alphas).enumerate() {
            // Without a branch: the place is written always and counted only for a survivor.
            kept.positions[kept.len] = u32::try_from(t * TILE_ROWS + row).expect("a page has few rows");
            kept.len += usize::from(probe.survives(*alpha, sum));
        }
    }
}
