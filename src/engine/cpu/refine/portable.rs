//! Stage 2 in plain Rust: one row at a time, its nibbles unpacked once for all probes. Uses no intrinsics.

use zeroize::Zeroizing;

use crate::engine::gallery::PageView;

use super::{Batch, Hits, TILE_ROWS, tiles};

/// Scans pages.
pub(in crate::engine::cpu) fn pages(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    let values = Zeroizing::new(widen(&batch.values));
    let mut unpacked = Zeroizing::new(vec![0_i16; batch.dim]);
    let row_len = batch.dim / 2;
    for page in pages {
        for position in 0..tiles(page) * TILE_ROWS {
            unpack(
                &page.nibbles[position * row_len..(position + 1) * row_len],
                &mut unpacked,
            );
            for (probe, values) in values.chunks_exact(batch.dim).enumerate() {
                hits.take_row(
                    page,
                    position,
                    dot(&unpacked, values),
                    probe,
                    batch.figures_of(probe),
                );
            }
        }
    }
}

/// Looks at some rows of a page for one probe.
pub(in crate::engine::cpu) fn rows(
    page: &PageView<'_>,
    positions: &[u32],
    batch: &Batch,
    probe: usize,
    hits: &mut Hits<'_>,
) {
    let values = Zeroizing::new(widen(&batch.values[probe * batch.dim..(probe + 1) * batch.dim]));
    let mut unpacked = Zeroizing::new(vec![0_i16; batch.dim]);
    let row_len = batch.dim / 2;
    for position in positions {
        let position = *position as usize;
        unpack(
            &page.nibbles[position * row_len..(position + 1) * row_len],
            &mut unpacked,
        );
        hits.take_row(
            page,
            position,
            dot(&unpacked, &values),
            probe,
            batch.figures_of(probe),
        );
    }
}

fn widen(values: &[i8]) -> Vec<i16> {
    values.iter().map(|value| i16::from(*value)).collect()
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
fn dot(unpacked: &[i16], values: &[i16]) -> i32 {
    unpacked
        .iter()
        .zip(values)
        .map(|(u, p)| i32::from(*u) * i32::from(*p))
        .sum()
}
