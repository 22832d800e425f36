//! Stage 2 in plain Rust: one row at a time, its nibbles unpacked once for all probes. Uses no intrinsics.

use crate::engine::gallery::{PageView, TILE_ROWS};
use crate::model::signature::DIM_MAX;

use super::{Batch, Figures, Hits, tiles};

/// Scans pages.
pub(super) fn pages(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    let mut unpacked = [0_i16; DIM_MAX];
    let unpacked = &mut unpacked[..batch.dim];
    let row_len = batch.dim / 2;
    for page in pages {
        for row in 0..tiles(page) * TILE_ROWS {
            unpack(&page.nibbles[row * row_len..(row + 1) * row_len], unpacked);
            let (scale, residual) = (page.scale[row], page.residual[row]);
            let number = page.first_row + u32::try_from(row).expect("a page has few rows");
            for (probe, (values, figures)) in batch
                .values
                .chunks_exact(batch.dim)
                .zip(&batch.figures)
                .enumerate()
            {
                let survives = survives(scale, residual, dot(unpacked, values), figures);
                hits.add(probe, number, u32::from(survives));
            }
        }
    }
}

/// Low nibbles of each four bytes, then the high ones.
fn unpack(nibbles: &[u8], unpacked: &mut [i16]) {
    for (eight, word) in unpacked
        .as_chunks_mut::<8>()
        .0
        .iter_mut()
        .zip(nibbles.as_chunks::<4>().0)
    {
        for i in 0..4 {
            eight[i] = i16::from(word[i] & 15);
            eight[i + 4] = i16::from(word[i] >> 4);
        }
    }
}

/// Products of 16-bit numbers summed in 32 bits: compilers have an instruction for that on most machines.
fn dot(unpacked: &[i16], values: &[i8]) -> i32 {
    unpacked
        .iter()
        .zip(values)
        .map(|(u, p)| i32::from(*u) * i32::from(i16::from(*p)))
        .sum()
}

#[expect(clippy::cast_precision_loss, reason = "below 2^24, so exact")]
fn survives(scale: f32, residual: f32, dot: i32, figures: &Figures) -> bool {
    scale * (2 * dot - figures.offset) as f32 + figures.weight * residual >= figures.limit
}
