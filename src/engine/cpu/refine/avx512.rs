//! Stage 2 with AVX-512 VNNI: 64 rows a block, one 32-bit lane a row. Must be called where the processor has F, BW and VNNI.
#![expect(unsafe_code, reason = "vector loads and stores take pointers")]

use std::arch::x86_64::{
    __m128i, __m512i, _MM_HINT_T0, _mm_add_epi32, _mm_prefetch, _mm256_add_epi32, _mm256_castsi256_si128,
    _mm256_extracti128_si256, _mm512_add_epi32, _mm512_and_si512, _mm512_castsi512_si256,
    _mm512_cmpge_epi32_mask, _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64, _mm512_load_si512,
    _mm512_maskz_loadu_epi8, _mm512_maskz_loadu_epi32, _mm512_max_epi32, _mm512_set1_epi8, _mm512_set1_epi32,
    _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_srli_epi32, _mm512_store_si512, _mm512_storeu_si512,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use zeroize::Zeroize;

use crate::engine::gallery::{PageView, TILE_ROWS};

use super::block::{BLOCK_ROWS, UNREACHABLE, thresholds};
use super::listed::{TOGETHER, fours};
use super::{Batch, Hits, VECTOR_LEN, Vector};

/// Words of one vector.
const VECTOR_WORDS: usize = 16;
/// Tiles of a block.
const BLOCK_TILES: usize = BLOCK_ROWS / TILE_ROWS;
/// Probes that share a pass over a block: with its four tiles 16 sums are in flight, which hides the latency of their instruction.
const GROUP: usize = 4;

/// Four coordinates of each row of a tile, a byte each.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Lanes([u32; TILE_ROWS]);

/// A block as it is multiplied: for each four coordinates, in the order of words, one vector a tile.
struct Unpacked(Vec<Lanes>);

impl Drop for Unpacked {
    fn drop(&mut self) {
        for lanes in &mut self.0 {
            lanes.0.zeroize();
        }
    }
}

/// Scans pages.
pub(in crate::engine::cpu) fn pages(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    // SAFETY: the table of kernels hands this function out only where the processor has the features.
    unsafe { scan(pages, batch, hits) }
}

/// Looks at some rows of a page for one probe.
pub(in crate::engine::cpu) fn rows(
    page: &PageView<'_>,
    positions: &[u16],
    batch: &Batch,
    probe: usize,
    hits: &mut Hits<'_>,
) {
    // SAFETY: the table of kernels hands this function out only where the processor has the features.
    unsafe { look(page, positions, batch, probe, hits) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn look(page: &PageView<'_>, positions: &[u16], batch: &Batch, probe: usize, hits: &mut Hits<'_>) {
    let (vectors, own) = (
        batch.vectors_of(probe).as_chunks::<2>().0,
        batch.figures_of(probe),
    );
    let row_len = batch.dim / 2;
    for four in fours(positions) {
        let mask = four.survivors(page, totals(page, four.positions, vectors, row_len), own);
        if mask != 0 {
            hits.add_listed(page, probe, four.positions, mask);
        }
    }
}

/// X of four rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn totals(
    page: &PageView<'_>,
    positions: [u16; TOGETHER],
    vectors: &[[Vector; 2]],
    row_len: usize,
) -> __m128i {
    let low_nibbles = _mm512_set1_epi8(15);
    let mut sums = [_mm512_setzero_si512(); TOGETHER];
    for (chunk, [even, odd]) in vectors.iter().enumerate() {
        let wanted = u64::MAX >> VECTOR_LEN.saturating_sub(row_len - chunk * VECTOR_LEN);
        // SAFETY: a vector is 64 bytes long and aligned.
        let (even, odd) = unsafe {
            (
                _mm512_load_si512(even.0.as_ptr().cast()),
                _mm512_load_si512(odd.0.as_ptr().cast()),
            )
        };
        for (sum, position) in sums.iter_mut().zip(positions) {
            let bytes = &page.nibbles[usize::from(position) * row_len..][chunk * VECTOR_LEN..row_len];
            // SAFETY: the mask keeps the load within `bytes`.
            let packed = unsafe { _mm512_maskz_loadu_epi8(wanted, bytes.as_ptr().cast()) };
            *sum = _mm512_dpbusd_epi32(*sum, _mm512_and_si512(packed, low_nibbles), even);
            let high = _mm512_and_si512(_mm512_srli_epi32::<4>(packed), low_nibbles);
            *sum = _mm512_dpbusd_epi32(*sum, high, odd);
        }
    }
    let [a, b, c, d] = sums;
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let lanes = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let halves = _mm256_add_epi32(
        _mm512_castsi512_si256(lanes),
        _mm512_extracti64x4_epi64::<1>(lanes),
    );
    _mm_add_epi32(
        _mm256_castsi256_si128(halves),
        _mm256_extracti128_si256::<1>(halves),
    )
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn scan(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    let mut unpacked = Unpacked(vec![Lanes([0; TILE_ROWS]); batch.dim / 4 * BLOCK_TILES]);
    let mut limits = vec![UNREACHABLE; batch.len()];
    for page in pages {
        for position in (0..page.len()).step_by(BLOCK_ROWS) {
            if !thresholds(page, position, batch, &mut limits) {
                continue;
            }
            match ((page.len() - position) / TILE_ROWS).min(BLOCK_TILES) {
                4 => block::<4>(page, position, batch, &limits, &mut unpacked.0, hits),
                3 => block::<3>(page, position, batch, &limits, &mut unpacked.0, hits),
                2 => block::<2>(page, position, batch, &limits, &mut unpacked.0, hits),
                _ => block::<1>(page, position, batch, &limits, &mut unpacked.0, hits),
            }
        }
    }
}

/// Scans a block of T tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn block<const T: usize>(
    page: &PageView<'_>,
    position: usize,
    batch: &Batch,
    limits: &[i32],
    unpacked: &mut [Lanes],
    hits: &mut Hits<'_>,
) {
    let tile_len = TILE_ROWS * batch.dim / 2;
    for t in 0..T {
        let at = (position / TILE_ROWS + t) * tile_len;
        prefetch(page.nibbles, at + T * tile_len, tile_len);
        unpack::<T>(&page.nibbles[at..at + tile_len], t, unpacked);
    }
    let rows = unpacked.as_chunks::<T>().0;
    for (group, values) in batch.values.chunks(GROUP * batch.dim).enumerate() {
        let first = group * GROUP;
        if values.len() == GROUP * batch.dim {
            let sums = sums::<T, GROUP>(rows, values, batch.dim);
            for (i, sums) in sums.iter().enumerate() {
                judge(page, position, sums, first + i, limits, batch, hits);
            }
            continue;
        }
        for (i, values) in values.chunks(batch.dim).enumerate() {
            let [sums] = sums::<T, 1>(rows, values, batch.dim);
            judge(page, position, &sums, first + i, limits, batch, hits);
        }
    }
}

/// X of 16·T rows with each of N probes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn sums<const T: usize, const N: usize>(rows: &[[Lanes; T]], values: &[i8], dim: usize) -> [[__m512i; T]; N] {
    let mut sums = [[_mm512_setzero_si512(); T]; N];
    let words = values.as_chunks::<4>().0;
    let probes: [&[[i8; 4]]; N] = std::array::from_fn(|n| &words[n * dim / 4..(n + 1) * dim / 4]);
    for (w, rows) in rows.iter().take(dim / 4).enumerate() {
        // SAFETY: lanes are 64 bytes long and aligned.
        let rows: [__m512i; T] =
            std::array::from_fn(|t| unsafe { _mm512_load_si512(rows[t].0.as_ptr().cast()) });
        for n in 0..N {
            let word = i32::from_ne_bytes(probes[n][w].map(i8::cast_unsigned));
            let coordinates = _mm512_set1_epi32(word);
            for t in 0..T {
                sums[n][t] = _mm512_dpbusd_epi32(sums[n][t], rows[t], coordinates);
            }
        }
    }
    sums
}

/// Looks closer where a sum reaches the block's limit.
#[target_feature(enable = "avx512f")]
#[inline]
fn judge<const T: usize>(
    page: &PageView<'_>,
    position: usize,
    sums: &[__m512i; T],
    probe: usize,
    limits: &[i32],
    batch: &Batch,
    hits: &mut Hits<'_>,
) {
    let mut largest = sums[0];
    for sums in &sums[1..] {
        largest = _mm512_max_epi32(largest, *sums);
    }
    if _mm512_cmpge_epi32_mask(largest, _mm512_set1_epi32(limits[probe])) == 0 {
        return;
    }
    let mut stored = [[0_i32; TILE_ROWS]; T];
    for (stored, sums) in stored.iter_mut().zip(sums) {
        // SAFETY: there is room for 16 sums.
        unsafe { _mm512_storeu_si512(stored.as_mut_ptr().cast(), *sums) };
    }
    hits.take(
        page,
        position,
        stored.as_flattened(),
        probe,
        batch.figures_of(probe),
    );
}

/// Asks for the cache lines of a later block. A lone probe is bound by memory, and the hardware looks less far ahead.
#[target_feature(enable = "avx512f")]
#[inline]
fn prefetch(nibbles: &[u8], at: usize, len: usize) {
    for line in nibbles.get(at..at + len).unwrap_or_default().chunks(64) {
        _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
    }
}

/// Turns the 16 nibble rows of tile `t` of T into vectors of equal coordinates.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn unpack<const T: usize>(nibbles: &[u8], t: usize, unpacked: &mut [Lanes]) {
    let row_len = nibbles.len() / TILE_ROWS;
    let low_nibbles = _mm512_set1_epi8(15);
    for (chunk, lanes) in unpacked
        .chunks_mut(2 * VECTOR_WORDS * T)
        .enumerate()
        .take(row_len.div_ceil(4 * VECTOR_WORDS))
    {
        let words = (row_len / 4 - chunk * VECTOR_WORDS).min(VECTOR_WORDS);
        let wanted = u16::MAX >> (VECTOR_WORDS - words);
        let rows: [__m512i; 16] = std::array::from_fn(|row| {
            let at = row * row_len + chunk * VECTOR_WORDS * 4;
            // SAFETY: the mask keeps the load within the row, as many words as the chunk has.
            unsafe { _mm512_maskz_loadu_epi32(wanted, nibbles.as_ptr().add(at).cast()) }
        });
        let columns = transpose_16(&rows);
        for (pair, column) in lanes.chunks_exact_mut(2 * T).zip(columns).take(words) {
            let low = _mm512_and_si512(column, low_nibbles);
            let high = _mm512_and_si512(_mm512_srli_epi32::<4>(column), low_nibbles);
            // SAFETY: lanes are 64 bytes long and aligned.
            unsafe {
                _mm512_store_si512(pair[t].0.as_mut_ptr().cast(), low);
                _mm512_store_si512(pair[T + t].0.as_mut_ptr().cast(), high);
            }
        }
    }
}

/// Transposes 16 × 16 words: pairs, quadruples, then 128-bit lanes.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose_16(rows: &[__m512i; 16]) -> [__m512i; 16] {
    let mut pairs = *rows;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    // Lane l of `quads[4 * i + j]` holds word 4·l + j of rows 4·i to 4·i + 3.
    let mut quads = pairs;
    for i in 0..4 {
        quads[4 * i] = _mm512_unpacklo_epi64(pairs[4 * i], pairs[4 * i + 2]);
        quads[4 * i + 1] = _mm512_unpackhi_epi64(pairs[4 * i], pairs[4 * i + 2]);
        quads[4 * i + 2] = _mm512_unpacklo_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
        quads[4 * i + 3] = _mm512_unpackhi_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
    }
    let mut columns = quads;
    for j in 0..4 {
        let low_a = _mm512_shuffle_i32x4::<0x44>(quads[j], quads[4 + j]);
        let high_a = _mm512_shuffle_i32x4::<0xee>(quads[j], quads[4 + j]);
        let low_b = _mm512_shuffle_i32x4::<0x44>(quads[8 + j], quads[12 + j]);
        let high_b = _mm512_shuffle_i32x4::<0xee>(quads[8 + j], quads[12 + j]);
        columns[j] = _mm512_shuffle_i32x4::<0x88>(low_a, low_b);
        columns[4 + j] = _mm512_shuffle_i32x4::<0xdd>(low_a, low_b);
        columns[8 + j] = _mm512_shuffle_i32x4::<0x88>(high_a, high_b);
        columns[12 + j] = _mm512_shuffle_i32x4::<0xdd>(high_a, high_b);
    }
    columns
}
