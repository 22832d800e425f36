//! Stage 1 with Advanced SIMD: 32 rows a strip; one instruction looks up one group of 16. Must be called where the processor has Advanced SIMD.
#![expect(unsafe_code, reason = "vector loads and stores take pointers")]

use std::arch::aarch64::{
    float32x4_t, uint8x16_t, uint16x8_t, uint32x4_t, vaddq_f32, vaddw_high_u8, vaddw_high_u16, vaddw_u8,
    vaddw_u16, vandq_u8, vcgeq_f32, vcombine_u8, vcombine_u16, vcvtq_f32_u32, vdupq_n_f32, vdupq_n_u8,
    vdupq_n_u16, vdupq_n_u32, vget_low_u8, vget_low_u16, vgetq_lane_u32, vld1_u16, vld1q_u8, vld4q_u8,
    vmovn_u16, vmovn_u32, vmulq_f32, vpaddq_u8, vqtbl1q_u8, vreinterpretq_f32_u32, vreinterpretq_u32_u8,
    vshll_n_u16, vshrq_n_u8, vst1q_u8,
};

use half::bf16;

use crate::engine::gallery::{PageView, TILE_ROWS};

use super::{KEPT_ROWS, Kept, SUMS, Scratch, SignBatch, WORD_GROUPS, WORDS_IN_16_BITS};

/// Tiles of a strip; a row of a tile is a byte of a register.
const STRIP_TILES: usize = 2;
/// Rows of a strip.
const STRIP_ROWS: usize = STRIP_TILES * TILE_ROWS;
/// Rows of a register of 16-bit numbers, and how many of those a strip has.
const HALF_ROWS: usize = 8;
const HALVES: usize = STRIP_ROWS / HALF_ROWS;
/// Rows of a register of 32-bit numbers, and how many of those a strip has.
const QUARTER_ROWS: usize = 4;
const QUARTERS: usize = STRIP_ROWS / QUARTER_ROWS;
/// Probes that share a pass over a strip: their sums take 16 of 32 registers.
const GROUP: usize = 4;

/// Indices of a word of each row of a strip, in the order of [`WordEntries`].
type WordIndices = [[[u8; TILE_ROWS]; STRIP_TILES]; WORD_GROUPS];
/// Entries of a word: those of the low nibbles of its bytes, then those of the high ones.
type WordEntries = [[u8; SUMS]; WORD_GROUPS];

/// Finds the rows of a page that survive.
pub(in crate::engine::cpu) fn page(
    page: &PageView<'_>,
    _next: &[u32],
    batch: &SignBatch,
    scratch: &mut Scratch,
    kept: &mut [Kept],
) {
    // SAFETY: the table of kernels hands this function out only where the processor has the feature.
    unsafe { scan(page, batch, scratch, kept) }
}

#[target_feature(enable = "neon")]
fn scan(page: &PageView<'_>, batch: &SignBatch, scratch: &mut Scratch, kept: &mut [Kept]) {
    kept.fill(Kept::default());
    let indices = scratch.indices(batch.words * size_of::<WordIndices>() / size_of::<super::Indices>());
    let indices: &mut [WordIndices] = bytemuck::cast_slice_mut(indices);
    let whole = batch.len() / GROUP * GROUP;
    let strips = page
        .signs
        .chunks(batch.words * STRIP_ROWS)
        .zip(page.alphas.chunks(STRIP_ROWS));
    for (strip, (signs, alphas)) in strips.enumerate() {
        index_signs(signs, indices);
        let alphas = widened(alphas);
        let (word, shift) = (strip * STRIP_ROWS / KEPT_ROWS, strip * STRIP_ROWS % KEPT_ROWS);
        let mut keep = |probe: usize, sums: [uint32x4_t; QUARTERS]| {
            kept[probe].0[word] |= u64::from(survivors(sums, &alphas, batch, probe)) << shift;
        };
        for first in (0..whole).step_by(GROUP) {
            for (i, sums) in sums::<GROUP>(indices, batch, first).into_iter().enumerate() {
                keep(first + i, sums);
            }
        }
        for probe in whole..batch.len() {
            let [sums] = sums::<1>(indices, batch, probe);
            keep(probe, sums);
        }
    }
}

/// α of a strip in single precision; of rows that are not there it is infinite, which no sum reaches.
#[target_feature(enable = "neon")]
#[inline]
fn widened(alphas: &[bf16]) -> [float32x4_t; QUARTERS] {
    let mut widened = [vdupq_n_f32(f32::INFINITY); QUARTERS];
    for (widened, alphas) in widened.iter_mut().zip(alphas.as_chunks::<QUARTER_ROWS>().0) {
        // SAFETY: four of 2 bytes each.
        let alphas = unsafe { vld1_u16(alphas.as_ptr().cast()) };
        *widened = vreinterpretq_f32_u32(vshll_n_u16::<16>(alphas));
    }
    widened
}

/// Makes the signs of a strip, one tile or two, indices. Those of a tile that is not there remain those of the strip before, which nobody looks at.
#[target_feature(enable = "neon")]
#[inline]
fn index_signs(signs: &[u32], indices: &mut [WordIndices]) {
    let tiles = signs.chunks_exact(indices.len() * TILE_ROWS);
    for (t, tile) in tiles.enumerate() {
        for (rows, indices) in tile.as_chunks::<TILE_ROWS>().0.iter().zip(&mut *indices) {
            // SAFETY: 16 words of 4 bytes.
            let bytes = unsafe { vld4q_u8(rows.as_ptr().cast()) };
            let (low, high) = indices.split_at_mut(WORD_GROUPS / 2);
            for ((low, high), byte) in low.iter_mut().zip(high).zip([bytes.0, bytes.1, bytes.2, bytes.3]) {
                // SAFETY: 16 bytes each.
                unsafe {
                    vst1q_u8(low[t].as_mut_ptr(), vandq_u8(byte, vdupq_n_u8(15)));
                    vst1q_u8(high[t].as_mut_ptr(), vshrq_n_u8::<4>(byte));
                }
            }
        }
    }
}

/// L of a strip for each of the N probes from `first` on, a register for each four rows.
#[target_feature(enable = "neon")]
#[inline]
fn sums<const N: usize>(
    indices: &[WordIndices],
    batch: &SignBatch,
    first: usize,
) -> [[uint32x4_t; QUARTERS]; N] {
    let entries: &[WordEntries] = bytemuck::cast_slice(&batch.entries);
    let mut sums = [[vdupq_n_u32(0); QUARTERS]; N];
    for (chunk, indices) in indices.chunks(WORDS_IN_16_BITS).enumerate() {
        let at = chunk * WORDS_IN_16_BITS;
        let probes: [&[WordEntries]; N] =
            std::array::from_fn(|n| &entries[(first + n) * batch.words + at..][..indices.len()]);
        let mut short_sums = [[vdupq_n_u16(0); HALVES]; N];
        for (w, groups) in indices.iter().enumerate() {
            for (g, tiles) in groups.iter().enumerate() {
                let tiles = tiles.each_ref().map(|tile| bytes(tile));
                for (sums, probe) in short_sums.iter_mut().zip(probes) {
                    let entries = bytes(&probe[w][g]);
                    for (sums, tile) in sums.as_chunks_mut::<2>().0.iter_mut().zip(tiles) {
                        let found = vqtbl1q_u8(entries, tile);
                        sums[0] = vaddw_u8(sums[0], vget_low_u8(found));
                        sums[1] = vaddw_high_u8(sums[1], found);
                    }
                }
            }
        }
        for (sums, short_sums) in sums.iter_mut().zip(short_sums) {
            add(sums, short_sums);
        }
    }
    sums
}

#[target_feature(enable = "neon")]
#[inline]
fn bytes(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: there are 16.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// Adds sums of 16 bits to those of 32.
#[target_feature(enable = "neon")]
#[inline]
fn add(sums: &mut [uint32x4_t; QUARTERS], short_sums: [uint16x8_t; HALVES]) {
    for (sums, short_sums) in sums.as_chunks_mut::<2>().0.iter_mut().zip(short_sums) {
        sums[0] = vaddw_u16(sums[0], vget_low_u16(short_sums));
        sums[1] = vaddw_high_u16(sums[1], short_sums);
    }
}

/// The rows of a strip whose sums reach the probe's line, a bit each.
#[target_feature(enable = "neon")]
#[inline]
fn survivors(
    sums: [uint32x4_t; QUARTERS],
    alphas: &[float32x4_t; QUARTERS],
    batch: &SignBatch,
    probe: usize,
) -> u32 {
    let (slope, intercept) = (
        vdupq_n_f32(batch.slopes[probe]),
        vdupq_n_f32(batch.intercepts[probe]),
    );
    let reached = |q: usize| {
        let line = vaddq_f32(vmulq_f32(slope, alphas[q]), intercept);
        vmovn_u32(vcgeq_f32(vcvtq_f32_u32(sums[q]), line))
    };
    let half = |h: usize| vmovn_u16(vcombine_u16(reached(2 * h), reached(2 * h + 1)));
    // Eight rows a byte: each contributes its bit, and neighbours are added three times.
    let weights = bytes(&[1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]);
    let [first, second] = [0, 2].map(|h| vandq_u8(vcombine_u8(half(h), half(h + 1)), weights));
    let pairs = vpaddq_u8(first, second);
    let fours = vpaddq_u8(pairs, pairs);
    vgetq_lane_u32::<0>(vreinterpretq_u32_u8(vpaddq_u8(fours, fours)))
}
