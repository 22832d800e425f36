//! Stage 2 with AVX-512 VNNI: 16 rows a tile, one 32-bit lane a row. Must be called where the processor has F, BW and VNNI.
#![expect(unsafe_code, reason = "vector loads and stores take pointers")]

use std::arch::x86_64::{
    __m512, __m512i, _CMP_GE_OQ, _MM_HINT_T0, _mm_prefetch, _mm512_add_epi32, _mm512_and_si512,
    _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_maskz_loadu_epi32, _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_srli_epi32, _mm512_storeu_si512,
    _mm512_sub_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64,
};

use crate::engine::gallery::{PageView, TILE_ROWS};

use super::{Batch, Figures, Hits, tiles};

/// Words of one vector.
const VECTOR_WORDS: usize = 16;
/// Tiles that memory is asked for ahead of their use.
const PREFETCH_TILES: usize = 4;
/// Probes that share a pass over a tile.
const GROUP: usize = 4;

/// One word of each row of a tile.
#[derive(Clone)]
#[repr(align(64))]
struct Lanes([u32; TILE_ROWS]);

/// Scans pages.
pub(super) fn pages(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    // SAFETY: `pages_fn` hands this function out only where the processor has the features.
    unsafe { scan(pages, batch, hits) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn scan(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    let words = batch.dim / 8;
    let tile_len = TILE_ROWS * batch.dim / 2;
    let mut tile = vec![Lanes([0; TILE_ROWS]); words];
    for page in pages {
        for t in 0..tiles(page) {
            prefetch(page.nibbles, (t + PREFETCH_TILES) * tile_len, tile_len);
            transpose(&page.nibbles[t * tile_len..(t + 1) * tile_len], &mut tile);
            let at = t * TILE_ROWS;
            let scale = load(&page.scale[at..at + TILE_ROWS]);
            let residual = load(&page.residual[at..at + TILE_ROWS]);
            let first_row = page.first_row + u32::try_from(at).expect("a page has few rows");
            let groups = batch.values.chunks(GROUP * batch.dim);
            for (group, (values, figures)) in groups.zip(batch.figures.chunks(GROUP)).enumerate() {
                let first = group * GROUP;
                if figures.len() == GROUP {
                    let dots = dots::<GROUP>(&tile, values);
                    for (i, (dot, figures)) in dots.into_iter().zip(figures).enumerate() {
                        hits.add(first + i, first_row, mask(dot, scale, residual, figures));
                    }
                    continue;
                }
                for (i, (values, figures)) in values.chunks(batch.dim).zip(figures).enumerate() {
                    let [dot] = dots::<1>(&tile, values);
                    hits.add(first + i, first_row, mask(dot, scale, residual, figures));
                }
            }
        }
    }
}

/// Σ uᵢ·pᵢ of 16 rows with each of N probes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn dots<const N: usize>(tile: &[Lanes], values: &[i8]) -> [__m512i; N] {
    let low_nibbles = _mm512_set1_epi8(15);
    let mut low_sums = [_mm512_setzero_si512(); N];
    let mut high_sums = [_mm512_setzero_si512(); N];
    let words = values.as_chunks::<4>().0;
    let stride = tile.len() * 2;
    assert!(
        words.len() >= N * stride,
        "a probe has two words for each word of a row"
    );
    for (w, rows) in tile.iter().enumerate() {
        // SAFETY: `rows` is 64 bytes long.
        let packed = unsafe { _mm512_loadu_si512(rows.0.as_ptr().cast()) };
        let low = _mm512_and_si512(packed, low_nibbles);
        let high = _mm512_and_si512(_mm512_srli_epi32::<4>(packed), low_nibbles);
        for n in 0..N {
            let at = n * stride + w * 2;
            low_sums[n] = _mm512_dpbusd_epi32(low_sums[n], low, broadcast(words[at]));
            high_sums[n] = _mm512_dpbusd_epi32(high_sums[n], high, broadcast(words[at + 1]));
        }
    }
    std::array::from_fn(|n| _mm512_add_epi32(low_sums[n], high_sums[n]))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn broadcast(bytes: [i8; 4]) -> __m512i {
    _mm512_set1_epi32(i32::from_ne_bytes(bytes.map(i8::cast_unsigned)))
}

/// The bound of 16 rows against a probe's limit.
#[target_feature(enable = "avx512f")]
#[inline]
fn mask(dot: __m512i, scale: __m512, residual: __m512, figures: &Figures) -> u32 {
    let integer = _mm512_sub_epi32(_mm512_add_epi32(dot, dot), _mm512_set1_epi32(figures.offset));
    let product = _mm512_mul_ps(scale, _mm512_cvtepi32_ps(integer));
    let bound = _mm512_fmadd_ps(residual, _mm512_set1_ps(figures.weight), product);
    u32::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(
        bound,
        _mm512_set1_ps(figures.limit),
    ))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(values: &[f32]) -> __m512 {
    assert_eq!(values.len(), TILE_ROWS, "one value a row");
    // SAFETY: the slice is 16 values long.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

/// Asks for the cache lines of a later tile. A lone probe is bound by memory, and the hardware looks less far ahead.
#[target_feature(enable = "avx512f")]
#[inline]
fn prefetch(nibbles: &[u8], at: usize, len: usize) {
    for line in nibbles.get(at..at + len).unwrap_or_default().chunks(64) {
        _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
    }
}

/// Turns 16 nibble rows into vectors of equal words.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose(nibbles: &[u8], tile: &mut [Lanes]) {
    let row_len = tile.len() * 4;
    assert_eq!(nibbles.len(), TILE_ROWS * row_len, "16 whole rows");
    for (chunk, words) in tile.chunks_mut(VECTOR_WORDS).enumerate() {
        let wanted = u16::MAX >> (VECTOR_WORDS - words.len());
        let rows: [__m512i; 16] = std::array::from_fn(|row| {
            let at = row * row_len + chunk * VECTOR_WORDS * 4;
            // SAFETY: the mask keeps the load within the row, as many words as `words` has left.
            unsafe { _mm512_maskz_loadu_epi32(wanted, nibbles.as_ptr().add(at).cast()) }
        });
        let columns = transpose_16(&rows);
        for (word, column) in words.iter_mut().zip(columns) {
            // SAFETY: a word of the tile is 64 bytes long.
            unsafe { _mm512_storeu_si512(word.0.as_mut_ptr().cast(), column) };
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
