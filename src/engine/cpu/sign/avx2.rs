//! Stage 1 with AVX2: 32 rows a strip; one instruction looks up one group of each. Must be called where the processor has AVX2.
#![expect(unsafe_code, reason = "vector loads and stores take pointers")]

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _CMP_GE_OQ, _mm_load_si128, _mm_loadu_si128, _mm256_add_epi16,
    _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_castsi256_ps,
    _mm256_castsi256_si128, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_cvtepu16_epi32,
    _mm256_extracti128_si256, _mm256_load_si256, _mm256_loadu_si256, _mm256_movemask_ps, _mm256_mul_ps,
    _mm256_permute4x64_epi64, _mm256_set1_epi8, _mm256_set1_ps, _mm256_setr_epi8, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_slli_epi32, _mm256_srli_epi16, _mm256_store_si256,
    _mm256_sub_epi16, _mm256_unpackhi_epi16, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi16, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use half::bf16;

use crate::engine::gallery::{PageView, TILE_ROWS};

use super::{Entries, Indices, KEPT_ROWS, Kept, SUMS, Scratch, SignBatch, WORD_GROUPS, WORDS_IN_16_BITS};

/// Rows of a strip: a byte of a vector each.
const STRIP_ROWS: usize = 32;
/// Rows of a vector of 32-bit numbers, and how many of those a strip has.
const QUARTER_ROWS: usize = 8;
const QUARTERS: usize = STRIP_ROWS / QUARTER_ROWS;
/// Probes that share a pass over a strip.
const GROUP: usize = 4;
/// Vectors of indices of a word: one a group, two in the memory of one [`Indices`].
const WORD_INDICES: usize = WORD_GROUPS / 2;

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

#[target_feature(enable = "avx2")]
fn scan(page: &PageView<'_>, batch: &SignBatch, scratch: &mut Scratch, kept: &mut [Kept]) {
    kept.fill(Kept::default());
    let indices = scratch.indices(batch.words * WORD_INDICES);
    let strips = page
        .signs
        .chunks(batch.words * STRIP_ROWS)
        .zip(page.alphas.chunks(STRIP_ROWS));
    for (strip, (signs, alphas)) in strips.enumerate() {
        index_signs(signs, batch.words, indices);
        let alphas = widened(alphas);
        let (word, shift) = (strip * STRIP_ROWS / KEPT_ROWS, strip * STRIP_ROWS % KEPT_ROWS);
        let groups = batch.entries.chunks(GROUP * batch.words * 2);
        for (group, entries) in groups.enumerate() {
            let first = group * GROUP;
            if entries.len() == GROUP * batch.words * 2 {
                for (i, sums) in sums::<GROUP>(indices, entries).iter().enumerate() {
                    let survivors = survivors(sums, &alphas, batch, first + i);
                    kept[first + i].0[word] |= u64::from(survivors) << shift;
                }
                continue;
            }
            for (i, entries) in entries.chunks_exact(batch.words * 2).enumerate() {
                let [sums] = sums::<1>(indices, entries);
                let survivors = survivors(&sums, &alphas, batch, first + i);
                kept[first + i].0[word] |= u64::from(survivors) << shift;
            }
        }
    }
}

/// α of a strip in single precision; of rows that are not there it is infinite, which no sum reaches.
#[target_feature(enable = "avx2")]
#[inline]
fn widened(alphas: &[bf16]) -> [__m256; QUARTERS] {
    let mut widened = [_mm256_set1_ps(f32::INFINITY); QUARTERS];
    for (widened, alphas) in widened.iter_mut().zip(alphas.as_chunks::<QUARTER_ROWS>().0) {
        // SAFETY: eight of 2 bytes each.
        let alphas = unsafe { _mm_loadu_si128(alphas.as_ptr().cast()) };
        *widened = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(alphas)));
    }
    widened
}

/// Makes the signs of a strip, one tile or two, indices: for each word four vectors of the low nibbles of its bytes, then four of the high ones. Byte
/// 16·l + 4·q + k of a vector is row 8·q + 4·l + k.
#[target_feature(enable = "avx2")]
#[inline]
fn index_signs(signs: &[u32], words: usize, indices: &mut [Indices]) {
    let nibble = _mm256_set1_epi8(15);
    let (first, second) = signs.split_at(words * TILE_ROWS);
    for (w, indices) in indices.as_chunks_mut::<WORD_INDICES>().0.iter_mut().enumerate() {
        let quarter = |tile: &[u32], half: usize| {
            let rows = tile
                .get(w * TILE_ROWS + half * QUARTER_ROWS..)
                .unwrap_or_default();
            // SAFETY: a chunk is eight words of 4 bytes.
            let load = |rows: &[u32; QUARTER_ROWS]| unsafe { _mm256_loadu_si256(rows.as_ptr().cast()) };
            rows.first_chunk().map_or_else(|| _mm256_setzero_si256(), load)
        };
        let bytes = transposed([
            quarter(first, 0),
            quarter(first, 1),
            quarter(second, 0),
            quarter(second, 1),
        ]);
        let low = bytes.map(|bytes| _mm256_and_si256(bytes, nibble));
        let high = bytes.map(|bytes| _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble));
        for (to, from) in indices
            .iter_mut()
            .zip(low.as_chunks::<2>().0.iter().chain(high.as_chunks::<2>().0))
        {
            let (left, right) = to.0.split_at_mut(32);
            // SAFETY: two vectors of 32 bytes, aligned.
            unsafe {
                _mm256_store_si256(left.as_mut_ptr().cast(), from[0]);
                _mm256_store_si256(right.as_mut_ptr().cast(), from[1]);
            }
        }
    }
}

/// Turns four times eight words into four vectors of equal bytes.
#[target_feature(enable = "avx2")]
#[inline]
fn transposed(rows: [__m256i; QUARTERS]) -> [__m256i; 4] {
    #[rustfmt::skip]
    let gather = _mm256_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    );
    let [a, b, c, d] = rows.map(|rows| _mm256_shuffle_epi8(rows, gather));
    let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab_low, cd_low),
        _mm256_unpackhi_epi64(ab_low, cd_low),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// L of a strip for each of N probes, a vector for each eight rows.
#[target_feature(enable = "avx2")]
#[inline]
fn sums<const N: usize>(indices: &[Indices], entries: &[Entries]) -> [[__m256i; QUARTERS]; N] {
    let mut sums = [[_mm256_setzero_si256(); QUARTERS]; N];
    let words = indices.len() / WORD_INDICES;
    for (chunk, indices) in indices.chunks(WORDS_IN_16_BITS * WORD_INDICES).enumerate() {
        // Sums of the rows at odd bytes, and those of all: of the even ones 256 times the odd ones are to be taken away.
        let (mut odd, mut all) = ([_mm256_setzero_si256(); N], [_mm256_setzero_si256(); N]);
        let first = chunk * WORDS_IN_16_BITS * 2;
        let probes: [&[[u8; SUMS]]; N] = std::array::from_fn(|n| {
            let entries = &entries[n * words * 2 + first..][..indices.len() / WORD_INDICES * 2];
            bytemuck::cast_slice(entries)
        });
        for (i, indices) in indices.iter().enumerate() {
            let (left, right) = indices.0.split_at(32);
            for (side, indices) in [left, right].into_iter().enumerate() {
                // SAFETY: 32 bytes, aligned.
                let indices = unsafe { _mm256_load_si256(indices.as_ptr().cast()) };
                for n in 0..N {
                    // SAFETY: 16 entries of a byte, aligned as a part of four times as many.
                    let entries: __m128i = unsafe { _mm_load_si128(probes[n][2 * i + side].as_ptr().cast()) };
                    let found = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), indices);
                    all[n] = _mm256_add_epi16(all[n], found);
                    odd[n] = _mm256_add_epi16(odd[n], _mm256_srli_epi16::<8>(found));
                }
            }
        }
        for n in 0..N {
            let even = _mm256_sub_epi16(all[n], _mm256_slli_epi16::<8>(odd[n]));
            add(&mut sums[n], even, odd[n]);
        }
    }
    sums
}

/// Adds sums of 16 bits, which lie in the order of [`index_signs`], to those in the order of rows.
#[target_feature(enable = "avx2")]
#[inline]
fn add(sums: &mut [__m256i; QUARTERS], even: __m256i, odd: __m256i) {
    let halves = [_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd)];
    for (sums, half) in sums.as_chunks_mut::<2>().0.iter_mut().zip(halves) {
        // Lanes 0 and 1 hold four rows each of two quarters.
        let rows = _mm256_permute4x64_epi64::<0b11_01_10_00>(half);
        let (low, high) = (_mm256_castsi256_si128(rows), _mm256_extracti128_si256::<1>(rows));
        sums[0] = _mm256_add_epi32(sums[0], _mm256_cvtepu16_epi32(low));
        sums[1] = _mm256_add_epi32(sums[1], _mm256_cvtepu16_epi32(high));
    }
}

/// The rows of a strip whose sums reach the probe's line, a bit each.
#[target_feature(enable = "avx2")]
#[inline]
fn survivors(
    sums: &[__m256i; QUARTERS],
    alphas: &[__m256; QUARTERS],
    batch: &SignBatch,
    probe: usize,
) -> u32 {
    let (slope, intercept) = (
        _mm256_set1_ps(batch.slopes[probe]),
        _mm256_set1_ps(batch.intercepts[probe]),
    );
    let mut rows = 0;
    for q in 0..QUARTERS {
        let line = _mm256_add_ps(_mm256_mul_ps(slope, alphas[q]), intercept);
        let reached = _mm256_cmp_ps::<_CMP_GE_OQ>(_mm256_cvtepi32_ps(sums[q]), line);
        rows |= _mm256_movemask_ps(reached).cast_unsigned() << (q * QUARTER_ROWS);
    }
    rows
}
