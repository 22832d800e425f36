//! Stage 2 in plain Rust: four rows at a time, their nibbles unpacked once for all probes. Uses no intrinsics.

use zeroize::Zeroizing;

use crate::engine::gallery::PageView;

use super::{Batch, Hits};

/// Rows that share a pass over a probe.
const STRIP: usize = 4;

/// Scans pages.
pub(in crate::engine::cpu) fn pages(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    let mut unpacked: [_; STRIP] = std::array::from_fn(|_| Zeroizing::new(vec![0_i16; batch.dim]));
    let row_len = batch.dim / 2;
    for page in pages {
        // A page is whole tiles, and a tile whole strips.
        for (strip, nibbles) in page.nibbles.chunks_exact(STRIP * row_len).enumerate() {
            for (unpacked, row) in unpacked.iter_mut().zip(nibbles.chunks_exact(row_len)) {
                unpack(row, unpacked);
            }
            let [a, b, c, d] = &unpacked;
            for (probe, values) in batch.wide.chunks_exact(batch.dim).enumerate() {
                let own = batch.figures_of(probe);
                for (row, sum) in dots([a, b, c, d], values).into_iter().enumerate() {
                    hits.take_row(page, strip * STRIP + row, sum, probe, own);
                }
            }
        }
    }
}

/// Looks at some rows of a page for one probe.
pub(in crate::engine::cpu) fn rows(
    page: &PageView<'_>,
    positions: &[u16],
    batch: &Batch,
    probe: usize,
    hits: &mut Hits<'_>,
) {
    let values = &batch.wide[probe * batch.dim..(probe + 1) * batch.dim];
    let mut unpacked = Zeroizing::new(vec![0_i16; batch.dim]);
    let row_len = batch.dim / 2;
    for position in positions {
        let position = usize::from(*position);
        unpack(
            &page.nibbles[position * row_len..(position + 1) * row_len],
            &mut unpacked,
        );
        hits.take_row(
            page,
            position,
            dot(&unpacked, values),
            probe,
            batch.figures_of(probe),
        );
    }
}

/// All low nibbles, then all high ones: the even coordinates, then the odd ones.
fn unpack(nibbles: &[u8], unpacked: &mut [i16]) {
    let (low, high) = unpacked.split_at_mut(nibbles.len());
    for ((low, high), byte) in low.iter_mut().zip(high).zip(nibbles) {
        *low = i16::from(byte & 15);
        *high = i16::from(byte >> 4);
    }
}

/// Products of 16-bit numbers summed in 32 bits: compilers have an instruction for that on most machines.
fn dot(unpacked: &[i16], values: &[i16]) -> i32 {
    let products = unpacked
        .iter()
        .zip(values)
        .map(|(u, p)| i32::from(*u) * i32::from(*p));
    products.sum()
}

/// The same for four rows, so that a coordinate of the probe is read once for them.
fn dots([a, b, c, d]: [&[i16]; STRIP], values: &[i16]) -> [i32; STRIP] {
    let mut sums = [0; STRIP];
    for ((((p, a), b), c), d) in values.iter().zip(a).zip(b).zip(c).zip(d) {
        let p = i32::from(*p);
        sums[0] += i32::from(*a) * p;
        sums[1] += i32::from(*b) * p;
        sums[2] += i32::from(*c) * p;
        sums[3] += i32::from(*d) * p;
    }
    sums
}
